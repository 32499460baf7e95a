#include "front/options.h"

#include <cstring>

#include "base/check.h"
#include "os/env.h"

namespace front {
namespace {

// The words stand in the table itself: pointers to them would have to be relocated in each process.
struct Word {
  char name[12] = {};
  uint64_t value = 0;
  constexpr bool is_none() const { return name[0] == '\0'; }
};

struct Key {
  char name[16];
  uint64_t Options::*value;
  uint64_t least, most;  // no number is allowed where least is more than most
  When until;
  Word words[3] = {};
};

constexpr Word kUnlimitedWord = {"unlimited", Options::kUnlimited};
constexpr uint64_t kMostKib = uint64_t{1} << 40;

// What they mean: README.md.
constexpr Key kKeys[] = {
    {"retain_percent", &Options::retain_percent, 0, 1000, When::kLater},
    {"retain_kib", &Options::retain_kib, 0, kMostKib, When::kLater},
    {"decay_ms", &Options::decay_ms, 1, 3600000, When::kLater},
    {"limit_kib", &Options::limit_kib, 1, kMostKib, When::kLater, {kUnlimitedWord}},
    {"soft_limit_kib", &Options::soft_limit_kib, 1, kMostKib, When::kLater, {kUnlimitedWord}},
    {"container", &Options::container, 0, 1, When::kLater},
    {"reaper",
     &Options::reaper,
     1,
     0,
     When::kStart,
     {{"auto", Options::kAuto}, {"never", Options::kNever}}},
    {"thp",
     &Options::thp,
     1,
     0,
     When::kStart,
     {{"auto", Options::kAuto}, {"never", Options::kNever}, {"always", Options::kAlways}}},
    {"hugetlb",
     &Options::hugetlb,
     1,
     0,
     When::kStart,
     {{"never", Options::kNever}, {"2m", Options::k2M}, {"1g", Options::k1G}}},
    {"names", &Options::names, 0, 1, When::kStart},
    {"rseq", &Options::rseq, 0, 1, When::kStart},
    {"nodes", &Options::nodes, 1, 32, When::kStart, {{"auto", Options::kFound}}},
    {"slob_max", &Options::slob_max, 0, uint64_t{1} << 20, When::kStart, {kUnlimitedWord}},
};

void add_known_keys(base::Text& text) {
  const char* separator = "";
  for (const Key& key : kKeys) {
    text.add(separator).add(key.name);
    separator = ", ";
  }
}

bool is_word(const char* text, size_t length, const char* word) {
  return std::strlen(word) == length && std::memcmp(word, text, length) == 0;
}

const Key* find_key(const char* name, size_t length) {
  for (const Key& key : kKeys)
    if (is_word(name, length, key.name)) return &key;
  return nullptr;
}

void add_allowed(const Key& key, base::Text& text) {
  const char* separator = "";
  if (key.least <= key.most) {
    text.add_decimal(key.least).add(" to ").add_decimal(key.most);
    separator = ", or ";
  }
  for (const Word& word : key.words) {
    if (word.is_none()) return;
    text.add(separator).add(word.name);
    separator = ", ";
  }
}

bool read_value(const Key& key, const char* first, const char* last, uint64_t& value) {
  for (const Word& word : key.words)
    if (!word.is_none() && is_word(first, static_cast<size_t>(last - first), word.name)) {
      value = word.value;
      return true;
    }
  base::Number number = base::parse_decimal(first, last);
  if (!number.is_number || number.value < key.least || number.value > key.most) return false;
  value = number.value;
  return true;
}

void parse_entry(const char* first, const char* last, When when, Options& options,
                 base::Text& faults) {
  size_t length = static_cast<size_t>(last - first);
  const void* found = std::memchr(first, ':', length);
  const char* colon = found == nullptr ? last : static_cast<const char*>(found);
  size_t name_length = static_cast<size_t>(colon - first);
  const Key* key = find_key(first, name_length);
  if (key == nullptr) {
    faults.add("ashlar: ASHLAR_CONF: unknown key \"").add(first, name_length);
    faults.add("\"; known keys: ");
    add_known_keys(faults);
    faults.add("\n");
    return;
  }
  if (when > key->until) {
    faults.add("ashlar: key \"").add(key->name).add("\" is fixed when the process starts\n");
    return;
  }
  const char* value = colon == last ? last : colon + 1;
  if (read_value(*key, value, last, options.*(key->value))) return;
  faults.add("ashlar: ASHLAR_CONF: key \"").add(key->name).add("\" has value \"");
  faults.add(value, static_cast<size_t>(last - value)).add("\"; allowed: ");
  add_allowed(*key, faults);
  faults.add("\n");
}

}  // namespace

void parse_options(const char* text, When when, Options& options, base::Text& faults) {
  while (*text != '\0') {
    size_t length = std::strcspn(text, ",");
    if (length > 0) parse_entry(text, text + length, when, options, faults);
    text += length;
    if (*text == ',') ++text;
  }
}

Options options_from_environment() {
  const char* text = os::trusted_environment("ASHLAR_CONF");
  if (text == nullptr) return {};
  base::Line<1024> faults;
  Options options;
  parse_options(text, When::kStart, options, faults);
  if (faults.size() > 0) base::write_error(faults.data(), faults.size());
  return options;
}

}  // namespace front
