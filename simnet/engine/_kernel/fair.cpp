// Classes and their flows.
#include "fair.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace simnet {

namespace {

// All levels are computed anew where more than one in so many classes has changed.
constexpr uint32_t FEW = 8;

struct Later {
  template <class Flow>
  bool operator()(const Flow& a, const Flow& b) const {
    return a.tag > b.tag;
  }
};

}  // namespace

Fair::Fair(std::vector<double> capacity)
    : links_(capacity.size()),
      clocks_(capacity.size()),
      users_(capacity.size()),
      routes_(capacity.size()),
      fillings_(capacity.size()) {
  finishes_.grow(capacity.size());
  for (size_t link = 0; link < capacity.size(); ++link) {
    // Below, precision is lost bit by bit, and a share may round to nothing.
    if (!(capacity[link] >= std::numeric_limits<double>::min())) {
      throw std::invalid_argument("capacity[" + std::to_string(link) + "] is not above 0");
    }
    links_[link].capacity = capacity[link];
  }
}

uint32_t Fair::add_route(const Hops& given) {
  const uint32_t route = routes_.number(given);
  for (uint32_t hop = 0; hop < routes_.hops(route); ++hop) {
    if (links_[routes_.at(route)[hop].link].capacity < INF) return route;
  }
  throw std::invalid_argument("a route has no link of finite capacity");
}

// Classes

uint32_t Fair::open_class(uint32_t route, double time) {
  const uint32_t slot = new_slot(route);
  Class& one = classes_[slot];
  one.offset = 0.0;
  attach(slot, time);
  return slot;
}

uint32_t Fair::new_slot(uint32_t route) {
  if (routes_.most_hops() > stride_) widen(routes_.most_hops());
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<uint32_t>(classes_.size()));
    classes_.emplace_back();
    holder_.push_back(NONE);
    shares_.resize(classes_.size() * stride_);
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  routes_.set_slot(route, slot);
  Class& one = classes_[slot];
  one.route = route;
  one.hops = static_cast<uint16_t>(routes_.hops(route));
  one.bound = INF;
  Share* share = shares(slot);
  const Hop* hop = routes_.at(route);
  for (const Hop* end = hop + one.hops; hop < end; ++hop, ++share) {
    share->link = hop->link;
    one.bound = std::min(one.bound, links_[hop->link].capacity / hop->weight);
  }
  return slot;
}

// Make room for longer routes in every slot.
void Fair::widen(uint32_t hops) {
  std::vector<Share> widened(classes_.size() * hops);
  for (size_t slot = 0; slot < classes_.size(); ++slot) {
    std::copy_n(shares_.begin() + slot * stride_, stride_, widened.begin() + slot * hops);
  }
  shares_.swap(widened);
  stride_ = hops;
}

void Fair::close_class(uint32_t slot) {
  detach(slot);
  routes_.set_slot(classes_[slot].route, NONE);
  free_slots_.push_back(slot);
}

void Fair::attach(uint32_t slot, double time) {
  Class& one = classes_[slot];
  Share* const begin = shares(slot);
  Share* const end = begin + one.hops;
  one.alone = true;
  for (Share* share = begin; share < end; ++share) {
    std::vector<User>& users = users_[share->link];
    if (users.size() == 1 && classes_[users[0].slot].alone) meet(users[0].slot, time);
    one.alone = one.alone && users.empty();
    share->place = static_cast<uint32_t>(users.size());
    users.emplace_back() = {slot, static_cast<uint32_t>(share - begin)};
  }
}

void Fair::detach(uint32_t slot) {
  const Share* const begin = shares(slot);
  for (const Share* share = begin; share < begin + classes_[slot].hops; ++share) {
    std::vector<User>& users = users_[share->link];
    const User last = users.back();
    users.pop_back();
    if (last.slot == slot) continue;
    users[share->place] = last;
    shares(last.slot)[last.hop].place = share->place;
  }
}

// Another class, or another flow, comes to a class that was alone.
void Fair::meet(uint32_t slot, double time) {
  Class& one = classes_[slot];
  one.alone = false;
  if (!one.count) {
    close_class(slot);
    return;
  }
  one.offset = -std::max(one.bound * (time - one.since), 0.0);
  one.node = NONE;
  drop_stale();
  mark_changed(slot);
}

void Fair::drop_stale() {
  while (!alone_.empty() && classes_[alone_.next()].node != alone_.next_node()) alone_.pop();
}

void Fair::mark_changed(uint32_t slot) {
  Class& one = classes_[slot];
  if (!one.changed) {
    one.changed = true;
    changed_.push_back(slot);
  }
}

// Bytes served to each flow of a class.
double Fair::served(uint32_t slot, double time) const {
  const Class& one = classes_[slot];
  if (one.alone) return std::max(one.bound * (time - one.since), 0.0);
  return (holder_[slot] == NONE ? 0.0 : reading(holder_[slot], time)) - one.offset;
}

std::vector<Fair::Active> Fair::active() const {
  std::vector<Active> found;
  for (uint32_t slot = 0; slot < classes_.size(); ++slot) {
    const Class& one = classes_[slot];
    if (!one.count) continue;
    const double rate = one.alone ? one.bound : links_[holder_[slot]].level;
    found.push_back({one.route, one.count, rate});
  }
  return found;
}

// Flows

// The tag of the flow that ends first.
double Fair::first_tag(const Class& one) const {
  return one.many == NONE ? one.tag : many_[one.many].front().tag;
}

void Fair::add_flow(Class& one, Flow flow) {
  ++one.count;
  if (one.count == 1) {
    one.tag = flow.tag;
    one.leg = flow.leg;
    return;
  }
  if (one.many == NONE) {
    if (free_many_.empty()) {
      free_many_.push_back(static_cast<uint32_t>(many_.size()));
      many_.emplace_back();
    }
    one.many = free_many_.back();
    free_many_.pop_back();
    many_[one.many].push_back({one.tag, one.leg});
  }
  std::vector<Flow>& flows = many_[one.many];
  flows.push_back(flow);
  std::push_heap(flows.begin(), flows.end(), Later());
}

Fair::Flow Fair::pop_flow(Class& one) {
  --one.count;
  if (one.many == NONE) return {one.tag, one.leg};
  std::vector<Flow>& flows = many_[one.many];
  std::pop_heap(flows.begin(), flows.end(), Later());
  const Flow flow = flows.back();
  flows.pop_back();
  if (one.count == 1) {
    one.tag = flows.front().tag;
    one.leg = flows.front().leg;
    flows.clear();
    free_many_.push_back(one.many);
    one.many = NONE;
  }
  return flow;
}

void Fair::enter(uint32_t route, double size, uint32_t leg, double time) {
  uint32_t slot = routes_.slot(route);
  if (slot == NONE) slot = open_class(route, time);
  if (classes_[slot].alone) {
    Class& one = classes_[slot];
    if (!one.count) {
      one.count = 1;
      one.tag = size;
      one.leg = leg;
      one.since = time;
      one.node = alone_.add(time + size / one.bound, slot);
      return;
    }
    meet(slot, time);
  }
  add_flow(classes_[slot], {served(slot, time) + size, leg});
  mark_changed(slot);
}

void Fair::pop_finished(double time, std::vector<uint32_t>& legs) {
  while (alone_.time() <= time) {
    const uint32_t node = alone_.next_node();
    Class& one = classes_[alone_.pop()];
    if (one.node != node) continue;
    one.node = NONE;
    one.count = 0;
    legs.push_back(one.leg);
  }
  drop_stale();
  while (finishes_.least() <= time) pop_due(finishes_.top(), time, legs);
}

// Those that a link holds and that are due: a class whose flow is not is above no class that is.
// Their tags are put right when it is known what else changes at this instant.
void Fair::pop_due(uint32_t link, double time, std::vector<uint32_t>& legs) {
  const std::vector<Due>& due = clocks_[link].due;
  places_.assign(1, 0);
  while (!places_.empty()) {
    const uint32_t place = places_.back();
    places_.pop_back();
    const uint32_t slot = due[place].slot;
    Class& one = classes_[slot];
    do {
      legs.push_back(pop_flow(one).leg);
    } while (one.count && finish(link, first_tag(one) + one.offset) <= time);
    mark_changed(slot);
    for (uint32_t child = 2 * place + 1; child <= 2 * place + 2 && child < due.size(); ++child) {
      if (finish(link, due[child].tag) <= time) places_.push_back(child);
    }
  }
  finishes_.set(link, INF);
  stir(link);
}

// Settling

void Fair::settle_changed(double time) {
  time_ = time;
  size_t changes = 0;
  for (const uint32_t slot : changed_) changes += classes_[slot].count != classes_[slot].counted;
  const bool few = changes * FEW <= counted_;
  for (const uint32_t slot : changed_) {
    Class& one = classes_[slot];
    one.changed = false;
    if (!one.count) {
      if (few) remove(slot);
      holder_[slot] = NONE;
      counted_ -= one.counted != 0;
      one.counted = 0;
      close_class(slot);
    } else if (one.count == one.counted) {
      retag(slot);
    } else if (few) {
      one.counted ? recount(slot) : insert(slot);
    }
  }
  changed_.clear();
  if (changes) few ? repair() : fill();
  rekey();
}

}  // namespace simnet
