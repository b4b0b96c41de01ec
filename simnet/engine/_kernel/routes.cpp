#include "routes.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace simnet {

namespace {

[[noreturn]] void refuse(int64_t link, const std::string& what) {
  throw std::invalid_argument("route crosses link " + std::to_string(link) + what);
}

}  // namespace

uint32_t Routes::number(const Hops& given) {
  uint64_t hash = 1469598103934665603ull ^ given.count;
  for (size_t hop = 0; hop < given.count; ++hop) {
    const int64_t link = given.links[hop], weight = given.weights[hop];
    if (link < 0 || static_cast<size_t>(link) >= num_links_) {
      throw std::invalid_argument("route has link " + std::to_string(link) + " of " +
                                  std::to_string(num_links_));
    }
    if (weight < 1 || weight >= static_cast<int64_t>(NONE)) {
      refuse(link, " with weight " + std::to_string(weight) + "; it must be at least 1");
    }
    const uint64_t hop_key = static_cast<uint64_t>(weight) << 32 | static_cast<uint64_t>(link);
    hash = (hash ^ hop_key) * 0x9E3779B97F4A7C15ull;
    hash ^= hash >> 29;
  }
  const auto range = by_hash_.equal_range(hash);
  for (auto it = range.first; it != range.second; ++it) {
    if (is(it->second, given)) return it->second;
  }
  for (size_t hop = 0; hop < given.count; ++hop) {
    if (std::find(given.links, given.links + hop, given.links[hop]) != given.links + hop) {
      refuse(given.links[hop], " twice");
    }
  }
  const uint32_t number = static_cast<uint32_t>(routes_.size());
  const uint32_t hops = static_cast<uint32_t>(given.count);
  routes_.push_back({static_cast<uint32_t>(hops_.size()), hops, NONE, 0});
  for (size_t hop = 0; hop < hops; ++hop) {
    hops_.push_back({static_cast<uint32_t>(given.links[hop]),
                     static_cast<uint32_t>(given.weights[hop])});
  }
  most_hops_ = std::max(most_hops_, hops);
  by_hash_.emplace(hash, number);
  return number;
}

bool Routes::is(uint32_t number, const Hops& given) const {
  const Route& known = routes_[number];
  if (known.hops != given.count) return false;
  for (size_t hop = 0; hop < given.count; ++hop) {
    const Hop& on = hops_[known.begin + hop];
    if (on.link != given.links[hop] || on.weight != given.weights[hop]) return false;
  }
  return true;
}

}  // namespace simnet
