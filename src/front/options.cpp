#include "front/options.h"

#include <cstring>

#include "base/check.h"
#include "os/env.h"

namespace front {
namespace {

struct Key {
  const char* name;
  uint64_t Options::*value;
  uint64_t least, most;
  const char* meaning;
  bool may_be_unlimited = false;
};

constexpr char kUnlimitedWord[] = "unlimited";

constexpr Key kKeys[] = {
    {"retain_percent", &Options::retain_percent, 0, 1000,
     "free memory kept for reuse, in percent of live memory"},
    {"retain_kib", &Options::retain_kib, 0, uint64_t{1} << 40,
     "free memory kept for reuse, in KiB, where the percentage is less"},
    {"decay_ms", &Options::decay_ms, 1, 3600000,
     "free memory that nobody needed for so long goes back to the system"},
    {"rseq", &Options::rseq, 0, 1, "1: magazines per CPU where the system allows; 0: per thread"},
    {"thp", &Options::thp, 0, 1, "1: huge pages for blocks that will fill them; 0: never"},
    {"slob_max", &Options::slob_max, 0, uint64_t{1} << 20,
     "in KiB; a heap up to this size shares pages among all sizes (SLOB), which takes least "
     "memory; "
     "0: never",
     true},
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
  text.add_decimal(key.least).add(" to ").add_decimal(key.most);
  if (key.may_be_unlimited) text.add(", or ").add(kUnlimitedWord);
}

void parse_entry(const char* first, const char* last, Options& options, base::Text& faults) {
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
  const char* value = colon == last ? last : colon + 1;
  size_t value_length = static_cast<size_t>(last - value);
  if (key->may_be_unlimited && is_word(value, value_length, kUnlimitedWord)) {
    options.*(key->value) = Options::kUnlimited;
    return;
  }
  base::Number number = base::parse_decimal(value, last);
  if (number.is_number && number.value >= key->least && number.value <= key->most) {
    options.*(key->value) = number.value;
    return;
  }
  faults.add("ashlar: ASHLAR_CONF: key \"").add(key->name).add("\" has value \"");
  faults.add(value, value_length).add("\"; allowed: ");
  add_allowed(*key, faults);
  faults.add("\n");
}

}  // namespace

Options parse_options(const char* text, base::Text& faults) {
  Options options;
  while (*text != '\0') {
    size_t length = std::strcspn(text, ",");
    if (length > 0) parse_entry(text, text + length, options, faults);
    text += length;
    if (*text == ',') ++text;
  }
  return options;
}

Options options_from_environment() {
  const char* text = os::trusted_environment("ASHLAR_CONF");
  if (text == nullptr) return {};
  base::Line<1024> faults;
  Options options = parse_options(text, faults);
  if (faults.size() > 0) base::write_error(faults.data(), faults.size());
  return options;
}

void describe_options(base::Text& text) {
  Options defaults;
  for (const Key& key : kKeys) {
    text.add(key.name).add(": ");
    add_allowed(key, text);
    text.add(" (").add_decimal(defaults.*(key.value)).add("): ").add(key.meaning).add("\n");
  }
}

}  // namespace front
