// Links, their clocks, and the classes that they hold.
#include <algorithm>

#include "fair.hpp"

namespace simnet {

// Bytes that a link's clock has counted by `time`.
double Fair::reading(uint32_t link, double time) const {
  const Clock& clock = clocks_[link];
  return time > clock.since ? clock.served + links_[link].level * (time - clock.since)
                            : clock.served;
}

// When a flow that a link holds ends.
double Fair::finish(uint32_t link, double tag) const {
  const Clock& clock = clocks_[link];
  return clock.since + std::max(tag - clock.served, 0.0) / links_[link].level;
}

// Take stock before the level changes.
void Fair::sync(uint32_t link) {
  Clock& clock = clocks_[link];
  if (!(time_ > clock.since)) return;
  clock.served = reading(link, time_);
  clock.since = time_;
}

// Note that the link's first finish has to be computed anew.
void Fair::stir(uint32_t link) {
  if (clocks_[link].stirred) return;
  clocks_[link].stirred = true;
  stirred_.push_back(link);
}

void Fair::rekey() {
  for (const uint32_t link : stirred_) {
    clocks_[link].stirred = false;
    if (clocks_[link].due.empty()) {
      finishes_.remove(link);
    } else {
      finishes_.set(link, finish(link, clocks_[link].due.front().tag));
    }
  }
  stirred_.clear();
}

// Set a link's clock to zero.
void Fair::rewind(uint32_t link) {
  Clock& clock = clocks_[link];
  for (Due& due : clock.due) {
    due.tag -= clock.served;
    classes_[due.slot].offset -= clock.served;
  }
  clock.served = 0.0;
  clock.begun = clock.since = time_;
}

// Let a link, whose clock is up to date, hold a class whose offset is that of no link.
void Fair::hold(uint32_t slot, uint32_t link) {
  Clock& clock = clocks_[link];
  Class& one = classes_[slot];
  holder_[slot] = link;
  one.offset += clock.served;
  clock.due.emplace_back();
  sift(clock.due, clock.due.size() - 1, {first_tag(one) + one.offset, slot});
  stir(link);
}

// Take a class from the link that holds it, if any.
void Fair::let_loose(uint32_t slot) {
  const uint32_t link = holder_[slot];
  if (link == NONE) return;
  Class& one = classes_[slot];
  one.offset -= reading(link, time_);
  holder_[slot] = NONE;
  std::vector<Due>& due = clocks_[link].due;
  const Due last = due.back();
  due.pop_back();
  if (last.slot != slot) sift(due, one.place, last);
  stir(link);
}

// The class's first flow is another one.
void Fair::retag(uint32_t slot) {
  const Class& one = classes_[slot];
  const uint32_t link = holder_[slot];
  sift(clocks_[link].due, one.place, {first_tag(one) + one.offset, slot});
  stir(link);
}

// Put `one` where it belongs in a heap of two children a node, beginning at `at`.
void Fair::sift(std::vector<Due>& due, size_t at, const Due one) {
  while (at > 0 && one.tag < due[(at - 1) / 2].tag) {
    due[at] = due[(at - 1) / 2];
    classes_[due[at].slot].place = static_cast<uint32_t>(at);
    at = (at - 1) / 2;
  }
  for (size_t child = 2 * at + 1; child < due.size(); child = 2 * at + 1) {
    if (child + 1 < due.size() && due[child + 1].tag < due[child].tag) ++child;
    if (!(due[child].tag < one.tag)) break;
    due[at] = due[child];
    classes_[due[at].slot].place = static_cast<uint32_t>(at);
    at = child;
  }
  due[at] = one;
  classes_[one.slot].place = static_cast<uint32_t>(at);
}

}  // namespace simnet
