#include "fair.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace simnet {

namespace {

// Relative: loads and rates that differ by less are equal.
constexpr double TOLERANCE = 1e-12;
// Relative: how far below its bound a link's potential load is sure never to bind.
constexpr double BINDING = 1e-9;
// Relative: a rate that moves by less stays as it is.
constexpr double SAME = 4e-16;
// Rounds of expansion after which everything that is connected joins.
constexpr int PATIENCE = 12;
// Changes of a link's load after which it is summed anew.
constexpr uint32_t REFRESH = 1024;

struct Later {
  template <class Flow>
  bool operator()(const Flow& a, const Flow& b) const {
    return a.tag > b.tag;
  }
};

}  // namespace

Fair::Fair(std::vector<double> capacity)
    : links_(capacity.size()), fillings_(capacity.size()) {
  for (size_t link = 0; link < capacity.size(); ++link) {
    if (!(capacity[link] > 0.0)) {
      throw std::invalid_argument("capacity[" + std::to_string(link) + "] is not above 0");
    }
    links_[link].capacity = capacity[link];
  }
}

uint32_t Fair::route_class(const Hops& given) {
  uint64_t hash = 1469598103934665603ull ^ given.count;
  for (size_t hop = 0; hop < given.count; ++hop) {
    const int64_t link = given.links[hop], weight = given.weights[hop];
    if (link < 0 || static_cast<size_t>(link) >= links_.size()) {
      throw std::invalid_argument("route has link " + std::to_string(link) + " of " +
                                  std::to_string(links_.size()));
    }
    if (weight < 1 || weight >= static_cast<int64_t>(NONE)) {
      throw std::invalid_argument("route crosses link " + std::to_string(link) + " with weight " +
                                  std::to_string(weight) + "; it must be at least 1");
    }
    hash = (hash ^ static_cast<uint64_t>(weight << 32 | link)) * 0x9E3779B97F4A7C15ull;
    hash ^= hash >> 29;
  }
  const auto range = by_hash_.equal_range(hash);
  for (auto it = range.first; it != range.second; ++it) {
    if (is_route(it->second, given)) return it->second;
  }
  for (size_t hop = 0; hop < given.count; ++hop) {
    if (std::find(given.links, given.links + hop, given.links[hop]) != given.links + hop) {
      throw std::invalid_argument("route crosses link " + std::to_string(given.links[hop]) +
                                  " twice");
    }
  }
  const uint32_t number = static_cast<uint32_t>(routes_.size());
  const uint32_t hops = static_cast<uint32_t>(given.count);
  routes_.push_back({static_cast<uint32_t>(route_hops_.size()), hops, NONE, 0});
  for (size_t hop = 0; hop < hops; ++hop) {
    route_hops_.push_back({static_cast<uint32_t>(given.links[hop]),
                           static_cast<uint32_t>(given.weights[hop])});
  }
  if (hops > stride_) widen(hops);
  by_hash_.emplace(hash, number);
  return number;
}

bool Fair::is_route(uint32_t number, const Hops& given) const {
  const Route& known = routes_[number];
  if (known.hops != given.count) return false;
  for (size_t hop = 0; hop < given.count; ++hop) {
    const Hop& on = route_hops_[known.begin + hop];
    if (on.link != given.links[hop] || on.weight != given.weights[hop]) return false;
  }
  return true;
}

// Make room for longer routes in every slot.
void Fair::widen(uint32_t hops) {
  std::vector<Hop> widened(classes_.size() * hops);
  std::vector<uint32_t> places(classes_.size() * hops);
  for (size_t slot = 0; slot < classes_.size(); ++slot) {
    std::copy_n(slot_hops_.begin() + slot * stride_, stride_, widened.begin() + slot * hops);
    std::copy_n(slot_places_.begin() + slot * stride_, stride_, places.begin() + slot * hops);
  }
  slot_hops_.swap(widened);
  slot_places_.swap(places);
  stride_ = hops;
}

uint32_t Fair::new_slot(uint32_t number) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<uint32_t>(classes_.size()));
    classes_.emplace_back();
    slot_hops_.resize(classes_.size() * stride_);
    slot_places_.resize(classes_.size() * stride_);
    finishes_.grow(classes_.size());
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  Route& route = routes_[number];
  route.slot = slot;
  Class& one = classes_[slot];
  one.route = number;
  one.hops = route.hops;
  std::copy_n(route_hops_.begin() + route.begin, route.hops,
              slot_hops_.begin() + size_t{slot} * stride_);
  return slot;
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

void Fair::mark_changed(uint32_t slot) {
  Class& one = classes_[slot];
  if (!one.changed) {
    one.changed = true;
    changed_.push_back(slot);
  }
}

void Fair::enter(uint32_t route, double size, uint32_t leg, double time) {
  uint32_t slot = routes_[route].slot;
  if (slot == NONE) {
    slot = new_slot(route);
    Class& one = classes_[slot];
    one.served = one.rate = 0.0;
    one.since = time;
    attach(slot);
  } else {
    sync(classes_[slot], time);
  }
  Class& one = classes_[slot];
  add_flow(one, {one.served + size, leg});
  mark_changed(slot);
}

void Fair::pop_finished(double time, std::vector<uint32_t>& legs) {
  while (finishes_.least() <= time) {
    const uint32_t slot = finishes_.top();
    Class& one = classes_[slot];
    // The head is due by its key; the others by the same sum.
    legs.push_back(pop_flow(one).leg);
    while (one.count && finish(one) <= time) legs.push_back(pop_flow(one).leg);
    if (one.count) {
      finishes_.set(slot, INF);
      mark_changed(slot);
    } else {
      finishes_.remove(slot);
      detach(slot);
      routes_[one.route].slot = NONE;
      free_slots_.push_back(slot);
    }
  }
}

// Links and their users

void Fair::attach(uint32_t slot) {
  const Hop* hops = hops_at(slot);
  uint32_t* places = places_of(slot);
  for (uint32_t hop = 0; hop < classes_[slot].hops; ++hop) {
    std::vector<User>& users = links_[hops[hop].link].users;
    places[hop] = static_cast<uint32_t>(users.size());
    users.push_back({slot, hop});
  }
}

void Fair::detach(uint32_t slot) {
  Class& one = classes_[slot];
  const Hop* hops = hops_at(slot);
  const uint32_t* places = places_of(slot);
  for (uint32_t hop = 0; hop < one.hops; ++hop) {
    const uint32_t at = hops[hop].link;
    Link& link = links_[at];
    const User last = link.users.back();
    link.users.pop_back();
    if (last.slot != slot) {
      link.users[places[hop]] = last;
      places_of(last.slot)[last.hop] = places[hop];
    }
    if (one.bottleneck == at) --link.members;
    if (link.users.empty()) {
      link.load = 0.0;
      continue;
    }
    if (link.capacity < INF) link.load -= hops[hop].weight * one.loaded;
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
  for (const User& user : link.users) {
    load += hops_at(user.slot)[user.hop].weight * classes_[user.slot].loaded;
  }
  link.load = link.capacity < INF ? load : 0.0;
  link.updates = 0;
}

// Settling

void Fair::settle(double time) {
  if (changed_.empty() && dirty_.empty()) return;
  ++mark_;
  solving_.clear();
  touched_.clear();
  for (const uint32_t slot : changed_) {
    Class& one = classes_[slot];
    if (!one.changed) continue;
    one.changed = false;
    if (!one.count) continue;
    if (alone(slot)) {
      settle_alone(slot, time);
    } else {
      join(slot);
    }
  }
  changed_.clear();
  for (const uint32_t at : dirty_) {
    links_[at].dirty = false;
    join_members(at);
  }
  dirty_.clear();
  if (solving_.empty()) return;
  // A rate that changes disturbs every full link on its way, and so on.
  join_closure();
  ++solves;
  for (int round = 0;; ++round) {
    ++expansions;
    solved_classes += solving_.size();
    solve();
    find_violators();
    if (violators_.empty()) break;
    for (const uint32_t slot : violators_) join(slot);
    join_closure();
    if (round >= PATIENCE) join_component();
  }
  commit(time);
}

bool Fair::alone(uint32_t slot) const {
  const Hop* hops = hops_at(slot);
  for (uint32_t hop = 0; hop < classes_[slot].hops; ++hop) {
    if (links_[hops[hop].link].users.size() != 1) return false;
  }
  return true;
}

void Fair::settle_alone(uint32_t slot, double time) {
  Class& one = classes_[slot];
  const Hop* hops = hops_at(slot);
  double least = INF;
  uint32_t narrowest = NONE;
  for (uint32_t hop = 0; hop < one.hops; ++hop) {
    const double share = links_[hops[hop].link].capacity / hops[hop].weight;
    if (share < least) {
      least = share;
      narrowest = hops[hop].link;
    }
  }
  const double rate = least / one.count;
  one.bottleneck = narrowest;
  one.loaded = one.count * rate;
  for (uint32_t hop = 0; hop < one.hops; ++hop) {
    Link& link = links_[hops[hop].link];
    link.load = link.capacity < INF ? hops[hop].weight * one.loaded : 0.0;
    link.level = rate;
    link.members = hops[hop].link == narrowest ? 1 : 0;
  }
  set_rate(one, rate, time);
  finishes_.set(slot, finish(one));
}

// Make a class part of the solve: its rate is open again.
void Fair::join(uint32_t slot) {
  Class& one = classes_[slot];
  if (one.mark == mark_) return;
  one.mark = mark_;
  solving_.push_back(slot);
  const Hop* hops = hops_at(slot);
  for (uint32_t hop = 0; hop < one.hops; ++hop) {
    Link& link = links_[hops[hop].link];
    if (link.mark != mark_) {
      link.mark = mark_;
      link.inside = 0;
      touched_.push_back(hops[hop].link);
    }
    ++link.inside;
    if (link.inside == link.users.size()) {
      link.load = 0.0;
    } else if (link.capacity < INF) {
      link.load -= hops[hop].weight * one.loaded;
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
    if (classes_[user.slot].bottleneck == at) join(user.slot);
  }
}

void Fair::join_closure() {
  for (size_t i = 0; i < touched_.size(); ++i) join_members(touched_[i]);
}

void Fair::join_component() {
  for (size_t i = 0; i < touched_.size(); ++i) {
    for (const User& user : links_[touched_[i]].users) join(user.slot);
  }
}

// Give every link of the solve what the classes outside leave, and choose those that may bind.
void Fair::choose_narrow() {
  for (const uint32_t at : touched_) {
    const Link& link = links_[at];
    fillings_[at] = {std::max(link.capacity - link.load, 0.0), 0.0, NONE};
  }
  Filling* const fillings = fillings_.data();
  for (const uint32_t slot : solving_) {
    const Hop* const hops = hops_at(slot);
    const uint32_t count = classes_[slot].hops;
    double least = INF;
    for (uint32_t hop = 0; hop < count; ++hop) {
      least = std::min(least, fillings[hops[hop].link].residual / hops[hop].weight);
    }
    for (uint32_t hop = 0; hop < count; ++hop) {
      fillings[hops[hop].link].potential += hops[hop].weight * least;
    }
  }
  narrow_.clear();
  uint32_t begin = 0;
  for (const uint32_t at : touched_) {
    Filling& filling = fillings_[at];
    if (filling.potential < filling.residual * (1.0 - BINDING)) continue;
    filling.narrow = static_cast<uint32_t>(narrow_.size());
    narrow_.push_back({filling.residual, 0.0, 0.0, -1.0, at, begin, begin});
    begin += links_[at].inside;
  }
  crossing_.resize(begin);
}

// List which classes cross which narrow links, both ways.
void Fair::list_crossings() {
  const uint32_t total = static_cast<uint32_t>(solving_.size());
  crossed_begin_.resize(total + 1);
  crossed_.resize(crossing_.size());
  next_.assign(total, -1.0);
  // Plain pointers: nothing here grows, and the compiler need not look again.
  const Filling* const fillings = fillings_.data();
  Narrow* const narrow = narrow_.data();
  uint32_t* const crossing = crossing_.data();
  Crossed* const crossed = crossed_.data();
  uint32_t end = 0;
  for (uint32_t place = 0; place < total; ++place) {
    const Class& one = classes_[solving_[place]];
    const uint32_t count = one.hops;
    const double flows = one.count;
    const Hop* const hops = hops_at(solving_[place]);
    crossed_begin_[place] = end;
    for (uint32_t hop = 0; hop < count; ++hop) {
      const uint32_t at = fillings[hops[hop].link].narrow;
      if (at == NONE) continue;
      crossing[narrow[at].end++] = place;
      narrow[at].open += flows * hops[hop].weight;
      crossed[end++] = {at, flows * hops[hop].weight};
    }
  }
  crossed_begin_[total] = end;
}

// Progressive filling of what the classes outside leave; see simnet/engine/maxmin.py.
void Fair::solve() {
  choose_narrow();
  list_crossings();
  levels_.clear();
  for (uint32_t at = 0; at < narrow_.size(); ++at) {
    levels_.append({narrow_[at].residual / narrow_[at].open, at});
  }
  levels_.rebuild();
  double lowest = 0.0;
  size_t open = solving_.size();
  while (open && !levels_.empty()) {
    // A key may lag behind its link's level, which only rises: look again before it counts.
    saturated_.clear();
    while (!levels_.empty()) {
      const Level least = levels_.top();
      if (!saturated_.empty() && least.time > lowest) break;
      const Narrow& narrow = narrow_[least.narrow];
      if (!(narrow.open > 0.0)) {
        levels_.pop();
        continue;
      }
      const double level = narrow.residual / narrow.open;
      if (level > least.time && (saturated_.empty() || level > lowest)) {
        levels_.replace_top({level, least.narrow});
        continue;
      }
      levels_.pop();
      if (saturated_.empty()) lowest = std::max(lowest, level);
      saturated_.push_back(least.narrow);
    }
    open -= freeze(lowest);
  }
}

// Fix at `rate` every open class over a saturated link; returns how many.
size_t Fair::freeze(double rate) {
  size_t fixed = 0;
  drawn_on_.clear();
  Narrow* const narrows = narrow_.data();
  const uint32_t* const begins = crossed_begin_.data();
  const Crossed* const crossed = crossed_.data();
  double* const next = next_.data();
  for (const uint32_t at : saturated_) {
    Narrow& narrow = narrows[at];
    for (uint32_t i = narrow.begin; i < narrow.end; ++i) {
      const uint32_t place = crossing_[i];
      if (next[place] >= 0.0) continue;
      next[place] = rate;
      classes_[solving_[place]].bottleneck = narrow.link;
      narrow.held = rate;
      ++fixed;
      const uint32_t end = begins[place + 1];
      for (uint32_t k = begins[place]; k < end; ++k) {
        Narrow& other = narrows[crossed[k].narrow];
        if (!(other.used > 0.0)) drawn_on_.push_back(crossed[k].narrow);
        other.used += crossed[k].flows;
      }
    }
  }
  for (const uint32_t at : drawn_on_) {
    Narrow& narrow = narrow_[at];
    // What has no bound keeps none: INF - INF is no number.
    if (narrow.residual < INF) {
      narrow.residual = std::max(narrow.residual - narrow.used * rate, 0.0);
    }
    narrow.open -= narrow.used;
    narrow.used = 0.0;
  }
  return fixed;
}

// Classes outside the solve that are faster than one that a link of theirs now holds down. None
// of them has lost its bottleneck: whoever is held down by a link of the solve is part of it.
void Fair::find_violators() {
  violators_.clear();
  for (const Narrow& narrow : narrow_) {
    const Link& link = links_[narrow.link];
    if (narrow.held < 0.0 || link.inside == link.users.size()) continue;
    for (const User& user : link.users) {
      const Class& one = classes_[user.slot];
      if (one.mark != mark_ && one.rate > narrow.held * (1.0 + TOLERANCE)) {
        violators_.push_back(user.slot);
      }
    }
  }
  if (violators_.empty()) return;
  // Bottlenecks found in this round are not final.
  for (const uint32_t slot : solving_) classes_[slot].bottleneck = NONE;
}

void Fair::commit(double time) {
  const bool most = solving_.size() > finishes_.size() / 8;
  for (size_t place = 0; place < solving_.size(); ++place) {
    const uint32_t slot = solving_[place];
    Class& one = classes_[slot];
    const double rate = next_[place];
    if (one.bottleneck == NONE || !(rate > 0.0)) {
      throw std::runtime_error("no rate for route " + std::to_string(one.route) + " with " +
                               std::to_string(one.count) + " flows at " + std::to_string(time) +
                               " s");
    }
    one.loaded = one.count * rate;
    const Hop* hops = hops_at(slot);
    for (uint32_t hop = 0; hop < one.hops; ++hop) {
      Link& link = links_[hops[hop].link];
      if (link.capacity < INF) link.load += hops[hop].weight * one.loaded;
      ++link.updates;
    }
    Link& bottleneck = links_[one.bottleneck];
    ++bottleneck.members;
    bottleneck.level = rate;
    set_rate(one, rate, time);
    if (most) {
      finishes_.set_later(slot, finish(one));
    } else {
      finishes_.set(slot, finish(one));
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
  for (const Class& one : classes_) {
    if (one.count) found.push_back({one.route, one.count, one.rate});
  }
  return found;
}

}  // namespace simnet
