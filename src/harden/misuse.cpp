#include "harden/misuse.h"

#include <cstdlib>

#include "base/check.h"
#include "base/text.h"

namespace misuse {
namespace {

[[noreturn]] void die(base::Text& text) {
  text.add("\n");
  base::write_error(text.data(), text.size());
  abort();
}

}  // namespace

void double_free(const void* object, const char* cache, size_t size) {
  base::Line<256> text;
  text.add("ashlar: double free of ").add_pointer(object);
  text.add(" (cache \"").add(cache).add("\", ").add_decimal(size).add(" bytes)");
  die(text);
}

void double_free_small(const void* block) {
  base::Line<256> text;
  text.add("ashlar: double free of ").add_pointer(block).add(" (small block)");
  die(text);
}

void double_free_large(const void* block) {
  base::Line<256> text;
  text.add("ashlar: double free of ").add_pointer(block).add(" (large block)");
  die(text);
}

void foreign_free(const void* address) {
  base::Line<256> text;
  text.add("ashlar: free of ").add_pointer(address).add(", which this heap never gave out");
  die(text);
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

void corrupted(const void* object, const char* finding) {
  base::Line<256> text;
  text.add("ashlar: heap corrupted at ").add_pointer(object).add(": ").add(finding);
  die(text);
}

}  // namespace misuse
