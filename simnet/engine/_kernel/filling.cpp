// Progressive filling: the levels of all links from nothing; see simnet/engine/maxmin.py.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "fair.hpp"

namespace simnet {

void Fair::fill() {
  ++fillings;
  begin_filling();
  levels_.clear();
  for (const uint32_t link : open_) {
    levels_.append({fillings_[link].residual / fillings_[link].open, link});
  }
  levels_.rebuild();
  double lowest = 0.0;
  while (!levels_.empty()) {
    // A key may lag behind its link's level, which only rises: look again before it counts.
    saturated_.clear();
    while (!levels_.empty()) {
      const Level least = levels_.top();
      if (!saturated_.empty() && least.time > lowest) break;
      const Filling& filling = fillings_[least.link];
      if (!(filling.open > 0.0)) {
        levels_.pop();
        continue;
      }
      const double level = filling.residual / filling.open;
      if (level > least.time && (saturated_.empty() || level > lowest)) {
        levels_.replace_top({level, least.link});
        continue;
      }
      levels_.pop();
      if (saturated_.empty()) lowest = std::max(lowest, level);
      saturated_.push_back(least.link);
    }
    freeze(lowest);
  }
  end_filling();
}

// Let no link hold anything, and list those that have flows.
void Fair::begin_filling() {
  for (uint32_t slot = 0; slot < classes_.size(); ++slot) {
    if (holder_[slot] == NONE) continue;
    classes_[slot].offset -= reading(holder_[slot], time_);
    holder_[slot] = NONE;
  }
  queue_.clear();
  calm_.clear();
  open_.clear();
  for (uint32_t at = 0; at < links_.size(); ++at) {
    Link& link = links_[at];
    const double capacity = link.capacity;
    link = Link();
    link.capacity = capacity;
    Clock& clock = clocks_[at];
    if (!clock.due.empty()) stir(at);
    clock.due.clear();
    clock.served = 0.0;
    clock.begun = clock.since = time_;
    fillings_[at] = {capacity, 0.0, 0.0};
  }
  for (uint32_t slot = 0; slot < classes_.size(); ++slot) {
    Class& one = classes_[slot];
    if (!one.count || one.alone) continue;
    if (!one.counted) ++counted_;
    one.counted = one.count;
    const Hop* hop = routes_.at(one.route);
    Share* share = shares(slot);
    for (Share* const end = share + one.hops; share < end; ++share, ++hop) {
      share->flows = static_cast<double>(hop->weight) * one.count;
      Filling& filling = fillings_[share->link];
      if (!(filling.open > 0.0)) open_.push_back(share->link);
      filling.open += share->flows;
    }
  }
}

// Let every saturated link hold the classes on it that have no rate yet.
void Fair::freeze(double rate) {
  drawn_on_.clear();
  Filling* const fillings = fillings_.data();
  for (const uint32_t at : saturated_) {
    for (const User& user : users_[at]) {
      if (holder_[user.slot] != NONE) continue;
      holder_[user.slot] = at;
      links_[at].level = rate;
      const Share* share = shares(user.slot);
      for (const Share* const end = share + classes_[user.slot].hops; share < end; ++share) {
        Filling& filling = fillings[share->link];
        if (!(filling.used > 0.0)) drawn_on_.push_back(share->link);
        filling.used += share->flows;
      }
    }
  }
  for (const uint32_t link : drawn_on_) {
    Filling& filling = fillings[link];
    // What has no bound keeps none: INF - INF is no number.
    if (filling.residual < INF) {
      filling.residual = std::max(filling.residual - filling.used * rate, 0.0);
    }
    filling.open -= filling.used;
    filling.used = 0.0;
  }
}

// Enter what was found: what each link holds, and what others on it take.
void Fair::end_filling() {
  for (uint32_t slot = 0; slot < classes_.size(); ++slot) {
    const Class& one = classes_[slot];
    if (!one.count || one.alone) continue;
    const uint32_t by = holder_[slot];
    const double rate = by == NONE ? 0.0 : links_[by].level;
    if (!(rate > 0.0)) {
      throw std::runtime_error("no rate for route " + std::to_string(one.route) + " with " +
                               std::to_string(one.count) + " flows at " + std::to_string(time_) +
                               " s");
    }
    const Share* share = shares(slot);
    for (const Share* const end = share + one.hops; share < end; ++share) {
      Link& link = links_[share->link];
      if (share->link == by) {
        link.held += share->flows;
      } else {
        link.outside += share->flows * rate;
        link.top = std::max(link.top, rate);
        ++link.outsiders;
        link.rounding += link.outside;
      }
    }
    hold(slot, by);
  }
}

}  // namespace simnet
