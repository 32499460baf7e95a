#include "preload/loaded.h"

#include <link.h>

#include <cstddef>
#include <cstdint>

namespace ashlar::loaded {
namespace {

// What the dynamic section of an object names. Null where it has no such thing.
struct Object {
  uintptr_t base = 0;
  const ElfW(Dyn) * entries = nullptr;
  const char* strings = nullptr;
  const ElfW(Sym) * symbols = nullptr;
  const uint32_t* hash = nullptr;
  const uint32_t* old_hash = nullptr;
  const char* name = nullptr;
};

struct Search {
  const void* user;
  const char* name;
  Object home = {};  // the object that `user` lies in
  void* found = nullptr;
};

bool is_same(const char* one, const char* other) {
  while (*one != 0 && *one == *other) ++one, ++other;
  return *one == *other;
}

// glibc has added the base to what is an address, other dynamic linkers have not.
template <class T>
const T* at(uintptr_t base, uintptr_t place) {
  return reinterpret_cast<const T*>(place < base ? base + place : place);
}

Object object_of(const dl_phdr_info& info) {
  Object object{.base = info.dlpi_addr};
  for (size_t i = 0; i < info.dlpi_phnum; ++i)
    if (info.dlpi_phdr[i].p_type == PT_DYNAMIC)
      object.entries = reinterpret_cast<const ElfW(Dyn)*>(object.base + info.dlpi_phdr[i].p_vaddr);
  if (object.entries == nullptr) return object;
  size_t name = 0;
  for (auto* entry = object.entries; entry->d_tag != DT_NULL; ++entry) {
    const uintptr_t value = entry->d_un.d_ptr;
    if (entry->d_tag == DT_STRTAB) object.strings = at<char>(object.base, value);
    if (entry->d_tag == DT_SYMTAB) object.symbols = at<ElfW(Sym)>(object.base, value);
    if (entry->d_tag == DT_GNU_HASH) object.hash = at<uint32_t>(object.base, value);
    if (entry->d_tag == DT_HASH) object.old_hash = at<uint32_t>(object.base, value);
    if (entry->d_tag == DT_SONAME) name = value;
  }
  if (name != 0 && object.strings != nullptr) object.name = object.strings + name;
  return object;
}

bool has(const dl_phdr_info& info, const void* address) {
  const uintptr_t place = reinterpret_cast<uintptr_t>(address) - info.dlpi_addr;
  for (size_t i = 0; i < info.dlpi_phnum; ++i) {
    const auto& segment = info.dlpi_phdr[i];
    if (segment.p_type == PT_LOAD && place - segment.p_vaddr < segment.p_memsz) return true;
  }
  return false;
}

bool needs(const Object& object, const Object& other) {
  if (object.entries == nullptr || object.strings == nullptr || other.name == nullptr) return false;
  for (auto* entry = object.entries; entry->d_tag != DT_NULL; ++entry)
    if (entry->d_tag == DT_NEEDED && is_same(object.strings + entry->d_un.d_val, other.name))
      return true;
  return false;
}

bool is_symbol(const Object& object, const ElfW(Sym) & symbol, const char* name) {
  return symbol.st_shndx != SHN_UNDEF && is_same(object.strings + symbol.st_name, name);
}

void* address_of(const Object& object, const ElfW(Sym) & symbol) {
  return reinterpret_cast<void*>(object.base + symbol.st_value);
}

// Of the table that DT_HASH names the second word is the number of all symbols, and tells enough.
void* look_at_all(const Object& object, const char* name) {
  const uint32_t count = object.old_hash == nullptr ? 0 : object.old_hash[1];
  for (uint32_t i = 0; i < count; ++i)
    if (is_symbol(object, object.symbols[i], name)) return address_of(object, object.symbols[i]);
  return nullptr;
}

// By the table that DT_GNU_HASH names: four words of sizes, a filter, the buckets with the first
// symbol of each, and of each symbol its hash, the lowest bit of which is set for a bucket's last.
void* symbol_of(const Object& object, const char* name) {
  if (object.symbols == nullptr || object.strings == nullptr) return nullptr;
  if (object.hash == nullptr) return look_at_all(object, name);
  const uint32_t bucket_count = object.hash[0], first = object.hash[1];
  const uint32_t filter_words = object.hash[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
  const uint32_t* buckets = object.hash + 4 + filter_words;
  const uint32_t* hashes = buckets + bucket_count;
  uint32_t hash = 5381;
  for (const char* c = name; *c != 0; ++c) hash = hash * 33 + static_cast<unsigned char>(*c);
  uint32_t i = bucket_count == 0 ? 0 : buckets[hash % bucket_count];
  if (i < first || i == 0) return nullptr;
  for (;; ++i) {
    const auto& symbol = object.symbols[i];
    if ((hashes[i - first] | 1) == (hash | 1) && is_symbol(object, symbol, name))
      return address_of(object, symbol);
    if ((hashes[i - first] & 1) != 0) return nullptr;
  }
}

int note_home(dl_phdr_info* info, size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  if (!has(*info, search.user)) return 0;
  search.home = object_of(*info);
  return 1;
}

int look_in_needed(dl_phdr_info* info, size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  const Object object = object_of(*info);
  if (needs(search.home, object)) search.found = symbol_of(object, search.name);
  return search.found != nullptr;
}

int look_in_any(dl_phdr_info* info, size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  search.found = symbol_of(object_of(*info), search.name);
  return search.found != nullptr;
}

}  // namespace

void* find_in(const void* user, const char* name) {
  Search search{.user = user, .name = name};
  dl_iterate_phdr(note_home, &search);
  return symbol_of(search.home, name);
}

void* find_for(const void* user, const char* name) {
  Search search{.user = user, .name = name};
  dl_iterate_phdr(note_home, &search);
  search.found = symbol_of(search.home, name);
  if (search.found == nullptr) dl_iterate_phdr(look_in_needed, &search);
  return search.found;
}

void* find_any(const char* name) {
  Search search{.user = nullptr, .name = name};
  dl_iterate_phdr(look_in_any, &search);
  return search.found;
}

}  // namespace ashlar::loaded
