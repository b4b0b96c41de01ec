#include "fair.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace simnet {

namespace {

// Relative: loads and rates that differ by less are equal.
constexpr double TOLERANCE = 1e-12;
// Relative: a rate that moves by less stays as it is.
constexpr double SAME = 4e-16;
// Rounds of expansion after which whole saturated neighbourhoods join, then whole components.
constexpr int PATIENCE = 3, MORE_PATIENCE = 12;
// Changes of a link's load after which it is summed anew.
constexpr uint32_t REFRESH = 1024;

struct Later {
  template <class Flow>
  bool operator()(const Flow& a, const Flow& b) const {
    return a.tag > b.tag;
  }
};

}  // namespace

Fair::Fair(std::vector<double> capacity) : links_(capacity.size()) {
  for (size_t link = 0; link < capacity.size(); ++link) {
    if (!(capacity[link] > 0.0)) {
      throw std::invalid_argument("capacity[" + std::to_string(link) + "] is not above 0");
    }
    links_[link].capacity = capacity[link];
  }
}

uint32_t Fair::route_class(const int64_t* route, size_t hops) {
  uint64_t hash = 1469598103934665603ull ^ hops;
  for (size_t hop = 0; hop < hops; ++hop) {
    if (route[hop] < 0 || static_cast<size_t>(route[hop]) >= links_.size()) {
      throw std::invalid_argument("route has link " + std::to_string(route[hop]) + " of " +
                                  std::to_string(links_.size()));
    }
    hash = (hash ^ static_cast<uint64_t>(route[hop])) * 0x9E3779B97F4A7C15ull;
    hash ^= hash >> 29;
  }
  const auto range = by_hash_.equal_range(hash);
  for (auto it = range.first; it != range.second; ++it) {
    const Class& one = classes_[it->second];
    if (one.hops != hops) continue;
    bool same = true;
    for (size_t hop = 0; hop < hops && same; ++hop) {
      same = route_links_[one.begin + hop] == static_cast<uint32_t>(route[hop]);
    }
    if (same) return it->second;
  }
  const uint32_t id = static_cast<uint32_t>(classes_.size());
  Class one;
  one.begin = static_cast<uint32_t>(route_links_.size());
  one.hops = static_cast<uint32_t>(hops);
  for (size_t hop = 0; hop < hops; ++hop) {
    for (size_t before = 0; before < hop; ++before) {
      if (route[before] == route[hop]) {
        throw std::invalid_argument("route crosses link " + std::to_string(route[hop]) + " twice");
      }
    }
    route_links_.push_back(static_cast<uint32_t>(route[hop]));
  }
  user_place_.resize(route_links_.size(), NONE);
  classes_.push_back(one);
  finishes_.grow(classes_.capacity());
  by_hash_.emplace(hash, id);
  return id;
}

// Flows of a class

const Fair::Flow& Fair::head(const Class& one) const {
  return one.many == NONE ? one.only : many_[one.many].front();
}

void Fair::add_flow(Class& one, Flow flow) {
  ++one.count;
  if (one.count == 1) {
    one.only = flow;
    return;
  }
  if (one.many == NONE) {
    if (free_many_.empty()) {
      free_many_.push_back(static_cast<uint32_t>(many_.size()));
      many_.emplace_back();
    }
    one.many = free_many_.back();
    free_many_.pop_back();
    many_[one.many].push_back(one.only);
  }
  std::vector<Flow>& flows = many_[one.many];
  flows.push_back(flow);
  std::push_heap(flows.begin(), flows.end(), Later());
}

Fair::Flow Fair::pop_flow(Class& one) {
  --one.count;
  if (one.many == NONE) return one.only;
  std::vector<Flow>& flows = many_[one.many];
  std::pop_heap(flows.begin(), flows.end(), Later());
  const Flow flow = flows.back();
  flows.pop_back();
  if (one.count == 1) {
    one.only = flows.front();
    flows.clear();
    free_many_.push_back(one.many);
    one.many = NONE;
  }
  return flow;
}

void Fair::sync(Class& one, double time) {
  if (time > one.since) {
    one.served += one.rate * (time - one.since);
    one.since = time;
  }
}

void Fair::mark_changed(uint32_t route) {
  Class& one = classes_[route];
  if (!one.changed) {
    one.changed = true;
    changed_.push_back(route);
  }
}

void Fair::enter(uint32_t route, double size, uint32_t leg, double time) {
  Class& one = classes_[route];
  if (!one.count) {
    one.served = 0.0;
    one.rate = 0.0;
    one.since = time;
    attach(route);
  } else {
    sync(one, time);
  }
  add_flow(one, {one.served + size, leg});
  mark_changed(route);
}

void Fair::pop_finished(double time, std::vector<uint32_t>& legs) {
  while (finishes_.least() <= time) {
    const uint32_t route = finishes_.top();
    Class& one = classes_[route];
    // The head is due by its key; the others by the same sum.
    legs.push_back(pop_flow(one).leg);
    while (one.count && finish(one) <= time) legs.push_back(pop_flow(one).leg);
    if (one.count) {
      finishes_.set(route, INF);
      mark_changed(route);
    } else {
      finishes_.remove(route);
      detach(route);
    }
  }
}

// Links and their users

void Fair::attach(uint32_t route) {
  const Class& one = classes_[route];
  for (uint32_t position = one.begin; position < one.begin + one.hops; ++position) {
    std::vector<User>& users = links_[route_links_[position]].users;
    user_place_[position] = static_cast<uint32_t>(users.size());
    users.push_back({route, position});
  }
}

void Fair::detach(uint32_t route) {
  Class& one = classes_[route];
  for (uint32_t position = one.begin; position < one.begin + one.hops; ++position) {
    const uint32_t at = route_links_[position];
    Link& link = links_[at];
    const uint32_t place = user_place_[position];
    const User last = link.users.back();
    link.users.pop_back();
    if (last.position != position) {
      link.users[place] = last;
      user_place_[last.position] = place;
    }
    if (one.bottleneck == at) --link.members;
    if (link.users.empty()) {
      link.load = 0.0;
      continue;
    }
    if (link.capacity < INF) link.load -= one.loaded;
    ++link.updates;
    if (link.members && !link.dirty) {
      link.dirty = true;
      dirty_.push_back(at);
    }
  }
  one.loaded = 0.0;
  one.bottleneck = NONE;
}

void Fair::refresh_load(Link& link) {
  double load = 0.0;
  for (const User& user : link.users) load += classes_[user.route].loaded;
  link.load = link.capacity < INF ? load : 0.0;
  link.updates = 0;
}

// Settling

void Fair::settle(double time) {
  if (changed_.empty() && dirty_.empty()) return;
  ++mark_;
  solving_.clear();
  touched_.clear();
  for (const uint32_t route : changed_) {
    Class& one = classes_[route];
    one.changed = false;
    if (!one.count) continue;
    if (alone(one)) {
      settle_alone(route, time);
    } else {
      join(route);
    }
  }
  changed_.clear();
  const size_t newcomers = solving_.size();
  for (size_t i = 0; i < newcomers; ++i) {
    const Class& one = classes_[solving_[i]];
    const uint32_t begin = one.begin, end = one.begin + one.hops;
    for (uint32_t position = begin; position < end; ++position) {
      join_members(route_links_[position]);
    }
  }
  for (const uint32_t at : dirty_) {
    links_[at].dirty = false;
    join_members(at);
  }
  dirty_.clear();
  if (solving_.empty()) return;
  ++solves;
  for (int round = 0;; ++round) {
    ++expansions;
    solved_classes += solving_.size();
    solve();
    find_violators();
    if (violators_.empty()) break;
    for (const uint32_t route : violators_) join(route);
    if (round >= MORE_PATIENCE) {
      join_component();
    } else if (round >= PATIENCE) {
      join_closure();
    }
  }
  commit(time);
}

bool Fair::alone(const Class& one) const {
  for (uint32_t position = one.begin; position < one.begin + one.hops; ++position) {
    if (links_[route_links_[position]].users.size() != 1) return false;
  }
  return true;
}

void Fair::settle_alone(uint32_t route, double time) {
  Class& one = classes_[route];
  double least = INF;
  uint32_t narrowest = NONE;
  for (uint32_t position = one.begin; position < one.begin + one.hops; ++position) {
    const Link& link = links_[route_links_[position]];
    if (link.capacity < least) {
      least = link.capacity;
      narrowest = route_links_[position];
    }
  }
  const double rate = least / one.count;
  one.bottleneck = narrowest;
  one.loaded = one.count * rate;
  for (uint32_t position = one.begin; position < one.begin + one.hops; ++position) {
    Link& link = links_[route_links_[position]];
    link.load = link.capacity < INF ? one.loaded : 0.0;
    link.level = rate;
    link.members = route_links_[position] == narrowest ? 1 : 0;
  }
  set_rate(one, rate, time);
  finishes_.set(route, finish(one));
}

// Make a class part of the solve: its rate is open again.
void Fair::join(uint32_t route) {
  Class& one = classes_[route];
  if (one.mark == mark_) return;
  one.mark = mark_;
  solving_.push_back(route);
  for (uint32_t position = one.begin; position < one.begin + one.hops; ++position) {
    const uint32_t at = route_links_[position];
    Link& link = links_[at];
    if (link.mark != mark_) {
      link.mark = mark_;
      link.inside = 0;
      touched_.push_back(at);
    }
    ++link.inside;
    if (link.inside == link.users.size()) {
      link.load = 0.0;
    } else if (link.capacity < INF) {
      link.load -= one.loaded;
    }
  }
  if (one.bottleneck != NONE) {
    --links_[one.bottleneck].members;
    one.bottleneck = NONE;
  }
  one.loaded = 0.0;
}

void Fair::join_members(uint32_t at) {
  if (!links_[at].members) return;
  for (const User& user : links_[at].users) {
    if (classes_[user.route].bottleneck == at) join(user.route);
  }
}

void Fair::join_closure() {
  for (size_t i = 0; i < touched_.size(); ++i) join_members(touched_[i]);
}

void Fair::join_component() {
  for (size_t i = 0; i < touched_.size(); ++i) {
    for (const User& user : links_[touched_[i]].users) join(user.route);
  }
}

// Progressive filling of what the classes outside leave; see simnet/engine/maxmin.py.
void Fair::solve() {
  for (const uint32_t at : touched_) {
    Link& link = links_[at];
    link.residual = std::max(link.capacity - link.load, 0.0);
    link.open = link.used = 0;
    link.sum = link.top = 0.0;
    link.held = -1.0;
  }
  for (const uint32_t route : solving_) {
    Class& one = classes_[route];
    one.next = -1.0;
    for (uint32_t position = one.begin; position < one.begin + one.hops; ++position) {
      links_[route_links_[position]].open += one.count;
    }
  }
  levels_.clear();
  for (const uint32_t at : touched_) {
    levels_.push_back({links_[at].residual / static_cast<double>(links_[at].open), at});
  }
  std::make_heap(levels_.begin(), levels_.end());
  double lowest = 0.0;
  while (!levels_.empty()) {
    // A key may lag behind its link's level, which only rises: look again before it counts.
    saturated_.clear();
    bool found = false;
    while (!levels_.empty()) {
      const Level least = levels_.front();
      if (found && least.level > lowest) break;
      Link& link = links_[least.link];
      std::pop_heap(levels_.begin(), levels_.end());
      levels_.pop_back();
      if (!link.open) continue;
      const double level = link.residual / static_cast<double>(link.open);
      if (level > least.level && (found ? level > lowest : true)) {
        levels_.push_back({level, least.link});
        std::push_heap(levels_.begin(), levels_.end());
        continue;
      }
      if (!found) {
        lowest = std::max(lowest, level);
        found = true;
      }
      saturated_.push_back(least.link);
    }
    if (!found) break;
    freeze(lowest);
  }
}

// Fix at `rate` every open class over a saturated link.
void Fair::freeze(double rate) {
  drawn_on_.clear();
  for (const uint32_t at : saturated_) {
    for (const User& user : links_[at].users) {
      Class& one = classes_[user.route];
      if (one.mark != mark_ || one.next >= 0.0) continue;
      one.next = rate;
      one.bottleneck = at;
      links_[at].held = rate;
      for (uint32_t position = one.begin; position < one.begin + one.hops; ++position) {
        const uint32_t crossed = route_links_[position];
        Link& link = links_[crossed];
        if (!link.used) drawn_on_.push_back(crossed);
        link.used += one.count;
      }
    }
  }
  for (const uint32_t at : drawn_on_) {
    Link& link = links_[at];
    const double taken = static_cast<double>(link.used) * rate;
    link.residual = link.capacity == INF ? INF : std::max(link.residual - taken, 0.0);
    link.sum += taken;
    link.top = rate;  // rates only rise
    link.open -= link.used;
    link.used = 0;
  }
}

// Classes outside the solve that its outcome contradicts: they lost their bottleneck, or are
// faster than a class that one of their links now holds down.
void Fair::find_violators() {
  violators_.clear();
  for (const uint32_t at : touched_) {
    const Link& link = links_[at];
    if (link.inside == link.users.size()) continue;
    if (link.members) {
      const bool slack = link.load + link.sum < link.capacity * (1.0 - TOLERANCE);
      if (slack || link.top > link.level * (1.0 + TOLERANCE)) {
        for (const User& user : link.users) {
          const Class& one = classes_[user.route];
          if (one.mark != mark_ && one.bottleneck == at) violators_.push_back(user.route);
        }
      }
    }
    if (link.held >= 0.0) {
      const double most = link.held * (1.0 + TOLERANCE);
      for (const User& user : link.users) {
        const Class& one = classes_[user.route];
        if (one.mark != mark_ && one.rate > most) violators_.push_back(user.route);
      }
    }
  }
  if (violators_.empty()) return;
  // Bottlenecks found in this round are not final.
  for (const uint32_t route : solving_) classes_[route].bottleneck = NONE;
}

void Fair::commit(double time) {
  const bool most = solving_.size() > finishes_.size() / 8;
  for (const uint32_t route : solving_) {
    Class& one = classes_[route];
    if (one.bottleneck == NONE || !(one.next > 0.0)) {
      throw std::runtime_error("no rate for route " + std::to_string(route) + " with " +
                               std::to_string(one.count) + " flows at " + std::to_string(time) +
                               " s");
    }
    one.loaded = one.count * one.next;
    for (uint32_t position = one.begin; position < one.begin + one.hops; ++position) {
      Link& link = links_[route_links_[position]];
      if (link.capacity < INF) link.load += one.loaded;
      ++link.updates;
    }
    Link& bottleneck = links_[one.bottleneck];
    ++bottleneck.members;
    bottleneck.level = one.next;
    set_rate(one, one.next, time);
    if (most) {
      finishes_.set_later(route, finish(one));
    } else {
      finishes_.set(route, finish(one));
    }
  }
  if (most) finishes_.rebuild();
  for (const uint32_t at : touched_) {
    if (links_[at].updates > REFRESH + links_[at].users.size()) refresh_load(links_[at]);
  }
}

void Fair::set_rate(Class& one, double rate, double time) {
  if (std::abs(rate - one.rate) <= SAME * rate) return;
  sync(one, time);
  one.rate = rate;
}

double Fair::finish(const Class& one) const {
  return one.since + std::max(head(one).tag - one.served, 0.0) / one.rate;
}

std::vector<Fair::Active> Fair::active() const {
  std::vector<Active> found;
  for (uint32_t route = 0; route < classes_.size(); ++route) {
    const Class& one = classes_[route];
    if (one.count) found.push_back({route, one.count, one.rate});
  }
  return found;
}

}  // namespace simnet
