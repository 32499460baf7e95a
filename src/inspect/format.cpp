#include "inspect/format.h"

#include "front/heap.h"

namespace ashlar::inspect {
namespace {

// A column of numbers, right-aligned.
void add_column(base::Text& text, size_t value, size_t width) {
  base::Line<24> digits;
  digits.add_decimal(value);
  for (size_t i = digits.size(); i < width; ++i) text.add(" ");
  text.add(digits.data(), digits.size());
}

void add_name(base::Text& text, const char* name, size_t width) {
  text.add(name);
  for (size_t i = base::length_of(name); i < width; ++i) text.add(" ");
}

// As XML has it in an attribute.
void add_escaped(base::Text& text, const char* name) {
  for (; *name != '\0'; ++name) {
    switch (*name) {
      case '<': text.add("&lt;"); break;
      case '>': text.add("&gt;"); break;
      case '&': text.add("&amp;"); break;
      case '"': text.add("&quot;"); break;
      default: text.add(name, 1);
    }
  }
}

ASHLAR_NOINLINE void add_count(base::Text& text, const char* words, size_t value) {
  text.add(words).add_decimal(value);
}

void add_attribute(base::Text& text, const char* name, size_t value) {
  text.add(" ").add(name).add("=\"").add_decimal(value).add("\"");
}

// Calls visit(name, zone) for each zone that makes a line.
template <class Visit>
void for_each_line(page::PageHeap& pages, Visit visit) {
  visit("slabs", pages.slabs());
  visit("giants", pages.giants());
  const page::Nodes& nodes = pages.nodes();
  for (unsigned node = 1; node < nodes.count(); ++node) {
    page::Node* zones = nodes.find(node);
    if (zones == nullptr) continue;
    base::Line<8> slabs, giants;
    unsigned number = nodes.topology()->number_of(node);
    visit(slabs.add("s ").add_decimal(number).data(), zones->slabs);
    visit(giants.add("g ").add_decimal(number).data(), zones->giants);
  }
}

// What lies on each memory node, where there are several.
void add_nodes(base::Text& text, page::PageHeap& pages) {
  const page::Nodes& nodes = pages.nodes();
  for (unsigned node = 0; nodes.are_several() && node < nodes.count(); ++node) {
    size_t live = 0, dirty = 0;
    pages.for_each_zone([&](page::Zone& zone) {
      if (zone.node() != node) return;
      page::ZoneStats stats = zone.stats();
      live += stats.live - stats.hollow;
      dirty += stats.dirty;
    });
    text.add("node ").add_decimal(nodes.topology()->number_of(node));
    text.add(": in use ").add_decimal(base::Pages(live).bytes());
    text.add(", dirty ").add_decimal(base::Pages(dirty).bytes()).add("\n");
  }
}

void add_free_blocks(base::Text& text, const char* name, page::Zone& zone) {
  add_name(text, name, 8);
  for (unsigned order = 0; order <= base::kMaxOrder; ++order)
    add_column(text, zone.free_blocks(base::Order(order)), 6);
  text.add("\n");
}

// What stands in the way of a free huge page: nothing, or a number from 0, too little is free, to
// 1000, it is in pieces.
void add_fragmentation(base::Text& text, const char* name, page::Zone& zone) {
  int index = zone.fragmentation(base::Order::ceil(base::Pages::ceil(base::kHugeSize)));
  text.add(" ").add(name).add(" ");
  if (index < 0)
    text.add("none");
  else
    text.add_decimal(static_cast<uint64_t>(index));
}

void add_bound(base::Text& text, const char* name, size_t frames) {
  text.add(", ").add(name).add(" ");
  if (frames == page::Budget::kUnlimited)
    text.add("unlimited");
  else
    text.add_decimal(base::Pages(frames).bytes());
}

void add_limits(base::Text& text, const page::Budget& budget) {
  add_count(text, "held ", base::Pages(budget.held()).bytes());
  add_bound(text, "soft limit", budget.bounds().soft);
  add_bound(text, "hard limit", budget.bounds().hard);
  if (base::kHasCaches) add_bound(text, "container", budget.outer());
  add_count(text, ", reserve ", base::Pages(budget.reserve()).bytes());
  text.add(budget.is_open() ? " open\n" : "\n");
}

// What lies in zones that requests have named.
void add_named_zones(base::Text& text, page::PageHeap& pages) {
  static constexpr const char* kNames[] = {"", "low", "pinned", "hugetlb 2m", "hugetlb 1g"};
  pages.for_each_zone([&](page::Zone& zone) {
    if (zone.where() == page::Manners::Where::kAnywhere) return;
    page::ZoneStats stats = zone.stats();
    text.add("zone ").add(kNames[static_cast<unsigned>(zone.where())]);
    text.add(": in use ").add_decimal(base::Pages(stats.live).bytes());
    text.add(", free ").add_decimal(base::Pages(stats.free).bytes()).add("\n");
  });
}

void add_caches(base::Text& text, const Snapshot& snapshot) {
  text.add(
      "cache         objsize    live   ready    free  slabs  magazine  slow-alloc   slow-free\n");
  for_each_cache(snapshot, [&](const CacheTotals& cache) {
    const slab::StockStats& stock = cache.stats.stock;
    add_name(text, cache.stats.name, 14);
    add_column(text, cache.stats.object_size, 7);
    add_column(text, stock.live - cache.ready, 8);
    add_column(text, cache.ready, 8);
    add_column(text, stock.held - stock.live, 8);
    add_column(text, stock.slabs, 7);
    add_column(text, cache.stats.capacity, 10);
    add_column(text, cache.stats.slow_allocs, 12);
    add_column(text, cache.stats.slow_frees, 12);
    text.add("\n");
  });
}

// As /proc/buddyinfo. The small library does without.
void add_pages(base::Text& text, page::PageHeap& pages) {
  text.add("free blocks of 4 KiB << 0, 1, 2 ...\n");
  for_each_line(pages,
                [&](const char* name, page::Zone& zone) { add_free_blocks(text, name, zone); });
  text.add("fragmentation of 2 MiB:");
  for_each_line(pages,
                [&](const char* name, page::Zone& zone) { add_fragmentation(text, name, zone); });
  text.add("\n");
}

}  // namespace

void describe(base::Text& text) {
  const Snapshot snapshot = take_snapshot();
  const Totals& totals = snapshot.totals;
  text.add("ashlar ").add(base::kVersion);
  add_count(text, ", bytes: live ", totals.live);
  add_count(text, ", cached ", totals.cached);
  add_count(text, ", dirty ", totals.dirty);
  add_count(text, ", committed ", totals.committed);
  add_count(text, ", metadata ", totals.metadata);
  text.add("\n");
  page::PageHeap& pages = front::g_heap.pages();
  add_limits(text, pages.budget());
  if (base::kHasCaches) {
    add_named_zones(text, pages);
    add_nodes(text, pages);
    add_caches(text, snapshot);
  }
  add_count(text, "small blocks of all sizes: ", snapshot.slob.pages);
  add_count(text, " pages, ", snapshot.slob.live_bytes);
  text.add(" bytes live\n");
  if (base::kHasCaches && snapshot.remnants.pages > 0) {
    text.add("left of slabs: ").add_decimal(snapshot.remnants.pages).add(" pages, ");
    text.add_decimal(snapshot.remnants.live_bytes).add(" bytes live\n");
  }
  if (base::kHasCaches) add_pages(text, pages);
}

void describe_xml(base::Text& text) {
  const Snapshot snapshot = take_snapshot();
  const Totals& totals = snapshot.totals;
  text.add("<malloc version=\"1\" allocator=\"ashlar\" release=\"")
      .add(base::kVersion)
      .add("\">\n");
  if (base::kHasCaches)
    for_each_cache(snapshot, [&](const CacheTotals& cache) {
      text.add("<cache name=\"");
      add_escaped(text, cache.stats.name);
      text.add("\"");
      add_attribute(text, "size", cache.stats.object_size);
      add_attribute(text, "live", cache.stats.stock.live - cache.ready);
      add_attribute(text, "ready", cache.ready);
      add_attribute(text, "free", cache.stats.stock.held - cache.stats.stock.live);
      add_attribute(text, "slabs", cache.stats.stock.slabs);
      text.add("/>\n");
    });
  add_count(text, "<small pages=\"", snapshot.slob.pages);
  add_count(text, "\" live=\"", snapshot.slob.live_bytes);
  add_count(text, "\"/>\n<large count=\"", totals.large_blocks);
  add_count(text, "\" size=\"", totals.large_bytes);
  add_count(text, "\"/>\n<total type=\"live\" size=\"", totals.live);
  add_count(text, "\"/>\n<total type=\"cached\" size=\"", totals.cached);
  add_count(text, "\"/>\n<total type=\"dirty\" size=\"", totals.dirty);
  add_count(text, "\"/>\n<system type=\"current\" size=\"", totals.committed);
  text.add("\"/>\n</malloc>\n");
}

}  // namespace ashlar::inspect
