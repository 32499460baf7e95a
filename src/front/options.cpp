#include "front/options.h"

#include <cstring>

#include "base/attributes.h"
#include "base/check.h"
#include "os/env.h"

namespace ashlar::front {
namespace {

// Names stand in the tables themselves: pointers to them would have to be relocated in each
// process.
struct Key {
  char name[16];
  uint64_t Options::*value;
  uint64_t least, most;  // no number is allowed where least is more than most
  When until;
};

constexpr uint64_t kMostKib = uint64_t{1} << 40;

// What they mean: README.md.
constexpr Key kKeys[] = {
    {"retain_percent", &Options::retain_percent, 0, 1000, When::kLater},
    {"retain_kib", &Options::retain_kib, 0, kMostKib, When::kLater},
    {"decay_ms", &Options::decay_ms, 1, 3600000, When::kLater},
    {"limit_kib", &Options::limit_kib, 1, kMostKib, When::kLater},
    {"soft_limit_kib", &Options::soft_limit_kib, 1, kMostKib, When::kLater},
};
// Those that the small library does without.
constexpr Key kMoreKeys[] = {
    {"container", &Options::container, 0, 1, When::kLater},
    {"reaper", &Options::reaper, 1, 0, When::kStart},
    {"thp", &Options::thp, 1, 0, When::kStart},
    {"hugetlb", &Options::hugetlb, 1, 0, When::kStart},
    {"names", &Options::names, 0, 1, When::kStart},
    {"rseq", &Options::rseq, 0, 1, When::kStart},
    {"nodes", &Options::nodes, 1, 32, When::kStart},
    {"slob_max", &Options::slob_max, 0, uint64_t{1} << 20, When::kStart},
};

// A word that may stand for a number: only of those keys.
struct Word {
  uint64_t Options::*value;
  char name[16];
  uint64_t meaning;
};
constexpr Word kWords[] = {
    {&Options::limit_kib, "unlimited", Options::kUnlimited},
    {&Options::soft_limit_kib, "unlimited", Options::kUnlimited},
};
constexpr Word kMoreWords[] = {
    {&Options::reaper, "auto", Options::kAuto},
    {&Options::reaper, "never", Options::kNever},
    {&Options::thp, "auto", Options::kAuto},
    {&Options::thp, "never", Options::kNever},
    {&Options::thp, "always", Options::kAlways},
    {&Options::hugetlb, "never", Options::kNever},
    {&Options::hugetlb, "2m", Options::k2M},
    {&Options::hugetlb, "1g", Options::k1G},
    {&Options::nodes, "auto", Options::kFound},
    {&Options::slob_max, "unlimited", Options::kUnlimited},
};

template <class Visit>
void for_each_key(Visit visit) {
  for (const Key& key : kKeys) visit(key);
  if (!base::kHasCaches) return;
  for (const Key& key : kMoreKeys) visit(key);
}

template <class Visit>
void for_each_word(const Key& key, Visit visit) {
  for (const Word& word : kWords)
    if (word.value == key.value) visit(word);
  if (!base::kHasCaches) return;
  for (const Word& word : kMoreWords)
    if (word.value == key.value) visit(word);
}

void add_known_keys(base::Text& text) {
  const char* separator = "";
  for_each_key([&](const Key& key) {
    text.add(separator).add(key.name);
    separator = ", ";
  });
}

bool is_word(const char* first, const char* last, const char* word) {
  return base::after(first, word) == last;
}

const char* find(const char* first, const char* last, char c) {
  while (first != last && *first != c) ++first;
  return first;
}

const Key* find_key(const char* first, const char* last) {
  const Key* found = nullptr;
  for_each_key([&](const Key& key) {
    if (is_word(first, last, key.name)) found = &key;
  });
  return found;
}

void add_allowed(const Key& key, base::Text& text) {
  const char* separator = "";
  if (key.least <= key.most) {
    text.add_decimal(key.least).add(" to ").add_decimal(key.most);
    separator = ", or ";
  }
  for_each_word(key, [&](const Word& word) {
    text.add(separator).add(word.name);
    separator = ", ";
  });
}

bool read_value(const Key& key, const char* first, const char* last, uint64_t& value) {
  const Word* found = nullptr;
  for_each_word(key, [&](const Word& word) {
    if (is_word(first, last, word.name)) found = &word;
  });
  if (found != nullptr) {
    value = found->meaning;
    return true;
  }
  base::Number number = base::parse_decimal(first, last);
  if (!number.is_number || number.value < key.least || number.value > key.most) return false;
  value = number.value;
  return true;
}

bool parse_entry(const char* first, const char* last, When when, Options& options,
                 base::Text& faults) {
  const char* colon = find(first, last, ':');
  const Key* key = find_key(first, colon);
  if (key == nullptr) {
    faults.add("ashlar: ASHLAR_CONF: unknown key \"");
    faults.add(first, static_cast<size_t>(colon - first));
    faults.add("\"; known keys: ");
    add_known_keys(faults);
    faults.add("\n");
    return false;
  }
  if (base::kHasCaches && when > key->until) return false;
  const char* value = colon == last ? last : colon + 1;
  if (read_value(*key, value, last, options.*(key->value))) return true;
  faults.add("ashlar: ASHLAR_CONF: key \"").add(key->name).add("\" has value \"");
  faults.add(value, static_cast<size_t>(last - value)).add("\"; allowed: ");
  add_allowed(*key, faults);
  faults.add("\n");
  return false;
}

}  // namespace

bool parse_options(const char* text, When when, Options& options, base::Text& faults) {
  bool is_right = true;
  const char* end = text + base::length_of(text);
  while (text != end) {
    const char* comma = find(text, end, ',');
    if (comma != text) is_right &= parse_entry(text, comma, when, options, faults);
    text = comma == end ? end : comma + 1;
  }
  return is_right;
}

namespace {

bool write_piece(void*, const char* bytes, size_t count) {
  base::write_error(bytes, count);
  return true;
}

ASHLAR_COLD Options read_options(const char* text) {
  char buffer[1024];
  base::Text faults(buffer, sizeof buffer, write_piece, nullptr);
  Options options;
  parse_options(text, When::kStart, options, faults);
  if (faults.size() > 0) base::write_error(faults.data(), faults.size());
  return options;
}

}  // namespace

Options options_from_environment() {
  const char* text = os::trusted_environment("ASHLAR_CONF");
  return text == nullptr ? Options{} : read_options(text);
}

}  // namespace ashlar::front
