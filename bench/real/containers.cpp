// Input of the g++ row: containers of containers, so that many templates must be instantiated.

#include <map>
#include <string>
#include <vector>

template <int N>
struct Item {
  std::string name;
  std::vector<std::string> history;
};

template <int N>
size_t use(const std::string& seed) {
  std::map<std::string, std::vector<Item<N>>> groups;
  for (int i = 0; i < N; ++i) groups[seed.substr(0, i)].push_back({seed + "!", {seed, "?"}});
  size_t sum = 0;
  for (const auto& [key, items] : groups) {
    for (const Item<N>& item : items) sum += item.name.size() + item.history.size();
  }
  return sum;
}

size_t all(const std::string& seed) {
  return use<3>(seed);
}
