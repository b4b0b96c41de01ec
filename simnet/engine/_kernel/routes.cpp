#include "routes.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace simnet {

namespace {

constexpr size_t MOST_HOPS = 65535;

[[noreturn]] void refuse(int64_t link, const std::string& what) {
  throw std::invalid_argument("route crosses link " + std::to_string(link) + what);
}

uint32_t hash_of(const Hops& hops) {
  uint64_t hash = 1469598103934665603ull ^ hops.count;
  for (size_t hop = 0; hop < hops.count; ++hop) {
    const uint64_t weight = static_cast<uint64_t>(hops.weights[hop]);
    hash = (hash ^ (weight << 32 ^ static_cast<uint64_t>(hops.links[hop]))) * 0x9E3779B97F4A7C15ull;
    hash ^= hash >> 29;
  }
  return static_cast<uint32_t>(hash);
}

}  // namespace

uint32_t Routes::number(const Hops& given) {
  given_.clear();
  for (size_t hop = 0; hop < given.count; ++hop) {
    const int64_t link = given.links[hop], weight = given.weights[hop];
    if (link < 0 || static_cast<size_t>(link) >= num_links_) {
      throw std::invalid_argument("route has link " + std::to_string(link) + " of " +
                                  std::to_string(num_links_));
    }
    if (weight < 1 || weight >= static_cast<int64_t>(NONE)) {
      refuse(link, " with weight " + std::to_string(weight) + "; it must be at least 1");
    }
    given_.push_back({static_cast<uint32_t>(link), static_cast<uint32_t>(weight)});
  }
  if (given.count > MOST_HOPS) {
    throw std::invalid_argument("route has " + std::to_string(given.count) + " links; at most " +
                                std::to_string(MOST_HOPS) + " are allowed");
  }
  make_table(routes_.size() + 1);
  const uint32_t hash = hash_of(given);
  Entry& entry = find(hash, given_.data(), given_.size());
  if (entry.number != NONE) return entry.number;
  for (size_t hop = 0; hop < given.count; ++hop) {
    if (std::find(given.links, given.links + hop, given.links[hop]) != given.links + hop) {
      refuse(given.links[hop], " twice");
    }
  }
  entry = {static_cast<uint32_t>(routes_.size()), hash};
  const uint32_t hops = static_cast<uint32_t>(given.count);
  routes_.push_back({0, static_cast<uint32_t>(hops_.size()), hops, NONE});
  hops_.insert(hops_.end(), given_.begin(), given_.end());
  most_hops_ = std::max(most_hops_, hops);
  return entry.number;
}

void Routes::announce(const Hops& given) const {
  if (!table_.empty()) prefetch(&table_[hash_of(given) & (table_.size() - 1)]);
}

// Where in the table a route is, or belongs.
Routes::Entry& Routes::find(uint32_t hash, const Hop* hops, size_t count) {
  const size_t mask = table_.size() - 1;
  size_t place = hash & mask;
  while (table_[place].number != NONE &&
         (table_[place].hash != hash || !is(table_[place].number, hops, count))) {
    place = (place + 1) & mask;
  }
  return table_[place];
}

// Make the table large enough for so many routes.
void Routes::make_table(size_t count) {
  size_t size = std::max<size_t>(64, table_.size());
  while (2 * count > size) size *= 2;
  if (size == table_.size()) return;
  LargeVector<Entry> larger(size);
  for (const Entry& entry : table_) {
    if (entry.number == NONE) continue;
    size_t place = entry.hash & (size - 1);
    while (larger[place].number != NONE) place = (place + 1) & (size - 1);
    larger[place] = entry;
  }
  table_.swap(larger);
}

bool Routes::is(uint32_t number, const Hop* hops, size_t count) const {
  const Route& known = routes_[number];
  const auto same = [](const Hop& a, const Hop& b) {
    return a.link == b.link && a.weight == b.weight;
  };
  return known.hops == count && std::equal(hops, hops + count, at(number), same);
}

}  // namespace simnet
