#include "harden/misuse.h"

#include <cstdlib>

#include "base/check.h"
#include "base/text.h"
#include "os/lock.h"

namespace ashlar::misuse {
namespace {

[[noreturn]] void die(base::Text& text) {
  text.add("\n");
  if (base::kHasCaches) os::ignore_held_locks();
  base::write_error(text.data(), text.size());
  abort();
}

[[noreturn]] void die(const char* what, const void* where, const char* why) {
  base::Line<256> text;
  text.add(what).add_pointer(where).add(why);
  die(text);
}

}  // namespace

void double_free(const void* object, const char* cache, size_t size) {
  base::Line<256> text;
  text.add("ashlar: double free of ").add_pointer(object);
  text.add(" (cache \"").add(cache).add("\", ").add_decimal(size).add(" bytes)");
  die(text);
}

void double_free_small(const void* block) {
  die("ashlar: double free of ", block, " (small block)");
}

void double_free_large(const void* block) {
  die("ashlar: double free of ", block, " (large block)");
}

void foreign_free(const void* address) {
  die("ashlar: free of ", address, ", which this heap never gave out");
}

void interior_free(const void* address, const void* block) {
  base::Line<256> text;
  text.add("ashlar: free of ").add_pointer(address);
  text.add(", which points into a block that starts at ").add_pointer(block);
  die(text);
}

void wrong_size(const void* object, size_t told, size_t real) {
  base::Line<256> text;
  text.add("ashlar: sized free of ").add_pointer(object).add(" with ").add_decimal(told);
  text.add(" bytes, but the block was asked for with a size of another class (");
  text.add_decimal(real).add(" bytes)");
  die(text);
}

void wrong_cache(const void* object, const char* told, const char* real) {
  base::Line<256> text;
  text.add("ashlar: free of ").add_pointer(object).add(" to cache \"").add(told).add("\", ");
  if (real == nullptr)
    text.add("which never gave it out");
  else
    text.add("but it is of cache \"").add(real).add("\"");
  die(text);
}

void live_objects(const char* cache, size_t live) {
  base::Line<256> text;
  text.add("ashlar: end of cache \"").add(cache).add("\" with ").add_decimal(live);
  text.add(live == 1 ? " live object" : " live objects");
  die(text);
}

void written_when_free(const void* object, const char* cache, size_t offset) {
  base::Line<256> text;
  text.add("ashlar: free object ").add_pointer(object).add(" of cache \"").add(cache);
  text.add("\" was written to at byte ").add_decimal(offset);
  die(text);
}

void corrupted(const void* object, const char* finding) {
  base::Line<256> text;
  text.add("ashlar: heap corrupted at ").add_pointer(object).add(": ").add(finding);
  die(text);
}

}  // namespace ashlar::misuse
