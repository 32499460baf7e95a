#include "page/nodes.h"

namespace ashlar::page {

Zone* Nodes::zone_of(const void* p) const {
  Zone* found = nullptr;
  for_each_zone([&](Zone& zone) {
    if (zone.contains(p)) found = &zone;
  });
  return found;
}

}  // namespace ashlar::page
