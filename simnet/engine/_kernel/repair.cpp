// Mending the levels after a few classes have come, gone or changed their number of flows.
//
// Rates are max-min fair when every class has a bottleneck: a full link on which nobody is
// faster. In terms of what is kept here, for every link:
//   1. a link that holds classes is full: held * level + outside = capacity;
//   2. nobody on it is faster than its level;
//   3. a link that holds nobody is not overfull.
// A link is looked at whenever one of the three may have ceased to hold, and put right; what that
// does to other links has these looked at in turn. A level depends on lower levels alone, so links
// are looked at by ascending level, and most just once.
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "fair.hpp"

namespace simnet {

namespace {

// Relative: rates that differ by less are equal.
constexpr double TOLERANCE = 1e-12;
// Relative: a level that would move by less stays as it is.
constexpr double SAME = 4e-16;
// Relative error of what a link has left above which what others take is summed anew.
constexpr double PRECISION = 1e-12;
constexpr double EPSILON = 1.2e-16;
// A clock that has run so many times faster than it does now is set back: what was served long
// ago would take the last digits off what is left.
constexpr double FASTER = 1e3;
// Looks for each link after which everything is computed anew.
constexpr size_t PATIENCE = 16;

}  // namespace

void Fair::repair() {
  ++repairs;
  size_t patience = PATIENCE * (links_.size() + 16);
  while (true) {
    uint32_t link;
    if (!queue_.empty()) {
      link = queue_.top().link;
      queue_.pop();
    } else if (!calm_.empty()) {
      link = calm_.back();
      calm_.pop_back();
    } else {
      return;
    }
    if (!links_[link].waiting) continue;
    ++looks;
    look(link);
    if (!--patience) {
      fill();
      return;
    }
  }
}

// Have a link looked at, if there is anything to see: one that holds nobody and is not overfull
// is in order.
inline void Fair::wake(uint32_t at) {
  const Link& link = links_[at];
  if (!link.waiting && (link.held > 0.0 || link.outside > link.capacity)) let_wait(at);
}

void Fair::let_wait(uint32_t at) {
  Link& link = links_[at];
  link.waiting = true;
  if (link.held > 0.0) {
    queue_.push({link.level, at});
  } else {
    calm_.push_back(at);
  }
}

void Fair::look(uint32_t at) {
  Link& link = links_[at];
  link.waiting = false;
  double left = link.capacity - link.outside;
  if (link.rounding * EPSILON > PRECISION * left) {
    list_outsiders(at);
    sum_outside(at, outsiders_.size());
    left = link.capacity - link.outside;
  }
  if (!(link.held > 0.0)) {
    if (left < -TOLERANCE * link.capacity) take_over(at);
    return;
  }
  const double level = left / link.held;
  if (link.outsiders && level < link.top * (1.0 - TOLERANCE)) {
    take_over(at);
  } else if (std::abs(level - link.level) > SAME * level) {
    set_level(at, level);
  }
}

// List those on a link that others hold.
void Fair::list_outsiders(uint32_t at) {
  outsiders_.clear();
  for (const User& user : users_[at]) {
    const uint32_t holder = holder_[user.slot];
    if (holder == at || holder == NONE) continue;
    const double flows = shares(user.slot)[user.hop].flows;
    outsiders_.emplace_back() = {links_[holder].level, flows, user.slot};
  }
}

// Sum anew what the first so many of those listed take.
void Fair::sum_outside(uint32_t at, size_t count) {
  Link& link = links_[at];
  double sum = 0.0, top = 0.0;
  for (size_t i = 0; i < count; ++i) {
    sum += outsiders_[i].flows * outsiders_[i].rate;
    top = std::max(top, outsiders_[i].rate);
  }
  link.outside = link.capacity < INF ? sum : 0.0;
  link.top = top;
  link.rounding = 0.0;
}

// Put last those listed that are faster than a link's level would be if it held them; returns how
// many others there are.
size_t Fair::part_outsiders(uint32_t at) {
  const Link& link = links_[at];
  double held = link.held, outside = link.outside;
  double level = (link.capacity - outside) / held;
  const auto stays = [&](const Outsider& one) {
    return held > 0.0 && one.rate <= level * (1.0 + TOLERANCE);
  };
  const auto slower = [](const Outsider& a, const Outsider& b) { return a.rate < b.rate; };
  auto end = outsiders_.end();
  // The level only rises by what it takes over: whoever stays now stays in the end.
  const auto begin = std::partition(outsiders_.begin(), end, stays);
  std::make_heap(begin, end, slower);
  while (begin < end && !stays(*begin)) {
    std::pop_heap(begin, end, slower);
    --end;
    held += end->flows;
    outside -= end->flows * end->rate;
    level = (link.capacity - outside) / held;
  }
  return static_cast<size_t>(end - outsiders_.begin());
}

// Hold whoever on a link is faster than its level would be, the fastest first.
void Fair::take_over(uint32_t at) {
  Link& link = links_[at];
  list_outsiders(at);
  sum_outside(at, outsiders_.size());
  const size_t others = part_outsiders(at);
  double held = link.held;
  for (size_t i = others; i < outsiders_.size(); ++i) held += outsiders_[i].flows;
  sum_outside(at, others);
  const double outside = link.outside, level = (link.capacity - outside) / held;
  if (!(level > 0.0)) throw std::runtime_error("no rate for link " + std::to_string(at));
  link.waiting = true;  // so that nothing wakes it
  if (std::abs(level - link.level) > SAME * level) change_level(at, level);
  for (size_t i = others; i < outsiders_.size(); ++i) move(outsiders_[i].slot, at);
  link.outside = outside;
  link.rounding = 0.0;
  link.waiting = false;
  resolve();
}

// Change the rate of all that a link holds, and let go those that find another one narrower.
void Fair::set_level(uint32_t at, double level) {
  change_level(at, level);
  resolve();
}

void Fair::resolve() {
  for (const uint32_t slot : conflicts_) yield(slot);
  conflicts_.clear();
}

// Change the rate of all that a link holds; notes those to which another link gives less.
void Fair::change_level(uint32_t at, double level) {
  Link& link = links_[at];
  Clock& clock = clocks_[at];
  if (!(link.held > 0.0)) {
    link.level = level;
    rewind(at);
    return;
  }
  sync(at);
  const double change = level - link.level;
  link.level = level;
  if (clock.served > FASTER * level * (time_ - clock.begun)) rewind(at);
  stir(at);
  const double limit = level * (1.0 - TOLERANCE);
  Link* const links = links_.data();
  for (const Due& due : clock.due) {
    const Share* share = shares(due.slot);
    const Share* const end = share + classes_[due.slot].hops;
    bool conflict = false;
    for (; share < end; ++share) {
      if (share->link == at) continue;
      Link& other = links[share->link];
      other.outside += share->flows * change;
      other.rounding += other.outside;
      if (level > other.top) other.top = level;
      conflict |= other.level < limit;
      wake(share->link);
    }
    if (conflict) conflicts_.push_back(due.slot);
  }
}

// Leave a link that is faster than another on the way.
void Fair::yield(uint32_t slot) {
  const uint32_t from = holder_[slot];
  uint32_t to = from;
  const Share* share = shares(slot);
  for (const Share* const end = share + classes_[slot].hops; share < end; ++share) {
    if (links_[share->link].level < links_[to].level) to = share->link;
  }
  if (to != from) move(slot, to);
}

// Let another link, which has a level, hold a class.
void Fair::move(uint32_t slot, uint32_t to) {
  const uint32_t from = holder_[slot];
  const double before = links_[from].level, rate = links_[to].level;
  Share* share = shares(slot);
  for (Share* const end = share + classes_[slot].hops; share < end; ++share) {
    Link& link = links_[share->link];
    if (share->link == from) {
      link.held -= share->flows;
      link.outside += share->flows * rate;
      ++link.outsiders;
      link.top = std::max(link.top, rate);
    } else if (share->link == to) {
      link.held += share->flows;
      link.outside = --link.outsiders ? link.outside - share->flows * before : 0.0;
    } else {
      link.outside += share->flows * (rate - before);
      link.top = std::max(link.top, rate);
    }
    link.rounding += link.outside;
    wake(share->link);
  }
  let_loose(slot);
  if (!(links_[from].held > 0.0)) links_[from].level = INF;
  sync(to);
  hold(slot, to);
}

// Count a class that has come, held by the link that seems narrowest.
void Fair::insert(uint32_t slot) {
  Class& one = classes_[slot];
  Share* const begin = shares(slot);
  Share* const end = begin + one.hops;
  const Hop* hop = routes_.at(one.route);
  double least = INF;
  uint32_t to = NONE;
  for (Share* share = begin; share < end; ++share, ++hop) {
    share->flows = static_cast<double>(hop->weight) * one.count;
    const Link& link = links_[share->link];
    const double rate = std::max(link.capacity - link.outside, 0.0) / (link.held + share->flows);
    if (rate < least) {
      least = rate;
      to = share->link;
    }
  }
  if (links_[to].held > 0.0) {
    least = links_[to].level;
  } else {
    set_level(to, least);
  }
  for (Share* share = begin; share < end; ++share) {
    Link& link = links_[share->link];
    if (share->link == to) {
      link.held += share->flows;
    } else {
      link.outside += share->flows * least;
      link.top = std::max(link.top, least);
      ++link.outsiders;
    }
    link.rounding += link.outside;
    wake(share->link);
  }
  one.counted = one.count;
  ++counted_;
  sync(to);
  hold(slot, to);
}

// Count a class that has gone no more.
void Fair::remove(uint32_t slot) {
  const uint32_t from = holder_[slot];
  const double rate = links_[from].level;
  Share* share = shares(slot);
  for (Share* const end = share + classes_[slot].hops; share < end; ++share) {
    Link& link = links_[share->link];
    if (share->link == from) {
      link.held -= share->flows;
    } else {
      link.outside = --link.outsiders ? link.outside - share->flows * rate : 0.0;
    }
    link.rounding += link.outside;
    wake(share->link);
  }
  let_loose(slot);
  if (!(links_[from].held > 0.0)) links_[from].level = INF;
}

// Count a class with as many flows as it has now.
void Fair::recount(uint32_t slot) {
  Class& one = classes_[slot];
  const uint32_t by = holder_[slot];
  const double rate = links_[by].level;
  const Hop* hop = routes_.at(one.route);
  Share* share = shares(slot);
  for (Share* const end = share + one.hops; share < end; ++share, ++hop) {
    const double flows = static_cast<double>(hop->weight) * one.count;
    Link& link = links_[share->link];
    if (share->link == by) {
      link.held += flows - share->flows;
    } else {
      link.outside += (flows - share->flows) * rate;
    }
    share->flows = flows;
    link.rounding += link.outside;
    wake(share->link);
  }
  one.counted = one.count;
  retag(slot);
}

}  // namespace simnet
