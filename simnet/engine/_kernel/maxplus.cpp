#include "maxplus.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "program.hpp"

namespace simnet {

namespace {

[[noreturn]] void refuse(size_t transfer, const char* what) {
  throw std::invalid_argument("schedule: transfer " + std::to_string(transfer) + " " + what);
}

// A sum that does not drift (Neumaier, Z. Angew. Math. Mech. 54, 1974).
class Sum {
 public:
  void add(double value) {
    const double next = sum_ + value;
    lost_ += std::fabs(sum_) >= std::fabs(value) ? (sum_ - next) + value : (value - next) + sum_;
    sum_ = next;
  }
  double value() const { return sum_ + lost_; }

 private:
  double sum_ = 0.0, lost_ = 0.0;
};

}  // namespace

MaxPlus::MaxPlus(MaxPlusInput input) : in_(std::move(input)), numbers_(in_.ranks.size()) {
  if (in_.capacity.size() < in_.links) throw std::invalid_argument("links without capacity");
  const size_t network_ranks = in_.capacity.size() - in_.links;
  for (const uint32_t rank : in_.ranks) {
    if (rank >= network_ranks) throw std::invalid_argument("a rank that is not the network's");
  }
  for (const double capacity : in_.capacity) {
    if (!(capacity > 0.0)) throw std::invalid_argument("a capacity that is not positive");
  }
  for (const double time : in_.arrival) {
    if (!(time >= 0.0 && time < INF)) throw std::invalid_argument("an arrival at no time");
  }
  if (in_.arrival.size() != in_.ranks.size()) throw std::invalid_argument("one arrival a rank");
  if (in_.in_flight >= NONE) throw std::invalid_argument("in_flight is too large");
  links_.resize(in_.capacity.size());
  left_ = in_.arrival;
}

// Connections

const std::vector<MaxPlus::Key>& MaxPlus::find_connections(const TransferBlock& block) {
  const uint64_t places = in_.ranks.size();
  if (numbers_.count() != connections_.size()) throw std::invalid_argument("routes are missing");
  wanted_.clear();
  found_.resize(block.count);
  for (size_t at = 0; at < block.count; ++at) {
    const uint64_t src = static_cast<uint64_t>(block.src[at]);
    const uint64_t dst = static_cast<uint64_t>(block.dst[at]);
    if (src >= places || dst >= places) {
      refuse(done_ + at, "is between ranks that the group does not have");
    }
    found_[at] = NONE;
    if (src == dst) continue;
    const Key key{static_cast<uint32_t>(src), static_cast<uint32_t>(dst), block.channel[at]};
    if (key.channel < 0) refuse(done_ + at, "has a negative channel");
    const uint32_t known = numbers_.count();
    found_[at] = numbers_.number(key.src, key.dst, key.channel);
    if (numbers_.count() != known) wanted_.push_back(key);
  }
  return wanted_;
}

void MaxPlus::connect(const int64_t* links, size_t hops, double delay) {
  const uint32_t number = static_cast<uint32_t>(connections_.size());
  const size_t place = number - (numbers_.count() - wanted_.size());
  if (place >= wanted_.size()) throw std::invalid_argument("a connection that nobody wants");
  if (!(delay >= 0.0 && delay < INF)) throw std::invalid_argument("delay is no time");
  if (!hops) throw std::invalid_argument("a route without links");
  Connection one;
  one.key = wanted_[place];
  one.delay = delay;
  one.begin = static_cast<uint32_t>(route_links_.size());
  one.hops = static_cast<uint32_t>(hops);
  for (size_t hop = 0; hop < hops; ++hop) {
    if (links[hop] < 0 || static_cast<size_t>(links[hop]) >= in_.links) {
      throw std::invalid_argument("route has link " + std::to_string(links[hop]) + " of " +
                                  std::to_string(in_.links));
    }
    one.rate = std::min(one.rate, in_.capacity[static_cast<size_t>(links[hop])]);
  }
  for (size_t hop = 0; hop < hops; ++hop) {
    route_links_.push_back(static_cast<uint32_t>(links[hop]));
  }
  const uint32_t reducer = static_cast<uint32_t>(in_.links) + in_.ranks[one.key.dst];
  one.reducer = in_.capacity[reducer] < INF ? reducer : NONE;
  if (in_.in_flight > 1) flights_.resize(flights_.size() + in_.in_flight, -INF);
  connections_.push_back(one);
  for (size_t hop = 0; hop < hops; ++hop) {
    add_user(static_cast<uint32_t>(links[hop]), number, one.rate);
  }
  if (one.reducer != NONE) add_user(one.reducer, number, in_.capacity[one.reducer]);
}

// One in flight at a time never overlaps itself, so what all can take together is harmless.
void MaxPlus::add_user(uint32_t number, uint32_t connection, double rate) {
  Link& link = links_[number];
  if (link.watched) {
    watch(number, connection);
    return;
  }
  link.sum += rate;
  link.users.push_back(connection);
  const double most = in_.capacity[number] * (1.0 + ROUNDING);
  if (in_.in_flight == 1 && link.sum <= most) return;
  link.watched = true;
  for (const uint32_t user : link.users) {
    link.end = std::max(link.end, connections_[user].free);
    watch(number, user);
  }
  if (link.end > -INF) link.shortest = 0.0;  // nobody has looked
  std::vector<uint32_t>().swap(link.users);
}

// Move a link to those of a connection that are watched.
void MaxPlus::watch(uint32_t link, uint32_t number) {
  Connection& connection = connections_[number];
  if (link >= in_.links) {
    connection.reduction_watched = true;
    return;
  }
  uint32_t* links = &route_links_[connection.begin];
  uint32_t* found = std::find(links + connection.watched, links + connection.hops, link);
  std::swap(*found, links[connection.watched++]);
}

// The pass

void MaxPlus::check(const TransferBlock& block, size_t at, size_t first) const {
  if (block.size[at] < 0) refuse(first + at, "has a negative size");
  const int64_t begin = block.dep_offsets[at], end = block.dep_offsets[at + 1];
  if (begin < 0 || end < begin || static_cast<size_t>(end) > block.num_deps) {
    refuse(first + at, "has dependencies outside the schedule's");
  }
  for (int64_t dep = begin; dep < end; ++dep) {
    const int64_t id = block.deps[dep];
    if (id < 0 || static_cast<size_t>(id + block.shift) >= first + at) {
      refuse(first + at, "depends on one that is not before it");
    }
  }
}

void MaxPlus::check_copies(const TransferBlock& block) const {
  const size_t copies = block.num_sizes > block.count ? block.times : 1;
  const bool nothing = block.times < 1 || (block.times > 1 && !block.count);
  if (nothing || block.num_sizes != block.count * copies) {
    throw std::invalid_argument(std::to_string(block.count) + " transfers, " +
                                std::to_string(block.times) + " times, with " +
                                std::to_string(block.num_sizes) + " sizes");
  }
  if (block.times > 1 && block.release) throw std::invalid_argument("copies that are released");
}

bool MaxPlus::run(const TransferBlock& block) {
  check_copies(block);
  TransferBlock copy = block;
  for (size_t time = 0; time < block.times; ++time, copy.go_to_next()) {
    if (!run_copy(copy)) return false;
  }
  return true;
}

bool MaxPlus::run_copy(const TransferBlock& block) {
  if (block.count > in_.transfers - done_) throw std::invalid_argument("too many transfers");
  for (size_t at = 0; at < block.count; ++at) {
    check(block, at, done_);
    const size_t src = static_cast<size_t>(block.src[at]), dst = static_cast<size_t>(block.dst[at]);
    double ready = std::max(in_.arrival[src], in_.arrival[dst]);
    if (block.release) ready = std::max(ready, block.release[at]);
    for (int64_t dep = block.dep_offsets[at]; dep < block.dep_offsets[at + 1]; ++dep) {
      ready = std::max(ready, in_.end[block.deps[dep] + block.shift]);
    }
    Span span{ready, ready};
    if (src != dst && !send(block, at, span)) return false;
    if (span.end == span.start) mark_instant(done_ + at);
    left_[src] = std::max(left_[src], span.end);
    left_[dst] = std::max(left_[dst], span.end);
    if (in_.start) in_.start[done_ + at] = span.start;
    in_.end[done_ + at] = span.end;
  }
  done_ += block.count;
  return true;
}

void MaxPlus::mark_instant(size_t id) {
  if (instant_.empty()) instant_.resize(in_.transfers);
  instant_[id] = true;
}

// Take a transfer that is ready at `span.start` to its end, over its connection.
bool MaxPlus::send(const TransferBlock& block, size_t at, Span& span) {
  Connection& one = connections_[found_[at]];
  double* free = nullptr;
  if (in_.in_flight) {
    if (!take_turn(one, block, at, span.start)) return false;
    free = free_of(found_[at]);
    span.start = std::max(span.start, *free);
  }
  span.end = span.start + one.delay;
  if (block.size[at] > 0) {
    if (block.size[at] > MOST_BYTES - bytes_) refuse(done_ + at, "brings the bytes over 2^62");
    bytes_ += block.size[at];
    const double size = static_cast<double>(block.size[at]);
    const double enter = span.end;
    span.end = enter + size / one.rate;
    vanishing_ |= span.end == enter;
    for (uint32_t hop = one.begin; hop < one.begin + one.watched; ++hop) {
      if (!occupy(route_links_[hop], enter, span.end, one.rate)) return false;
    }
    if (block.reduces[at] && one.reducer != NONE && !reduce(one, size, span)) return false;
    one.bytes += block.size[at];
  }
  if (free) *free = span.end;
  return true;
}

// Pass the receiver's local reduction.
bool MaxPlus::reduce(const Connection& one, double size, Span& span) {
  const double enter = span.end, rate = in_.capacity[one.reducer];
  span.end = enter + size / rate;
  vanishing_ |= span.end == enter;
  return !one.reduction_watched || occupy(one.reducer, enter, span.end, rate);
}

// When the next on a connection may start: the earliest of the places in flight.
double* MaxPlus::free_of(uint32_t number) {
  if (in_.in_flight == 1) return &connections_[number].free;
  double* begin = &flights_[size_t{number} * in_.in_flight];
  return std::min_element(begin, begin + in_.in_flight);
}

// Whether a connection takes its transfers in order of ids. Those that come at one instant do,
// unless the earlier id came late in it, behind something that took no time, and the later one
// does not wait for it.
bool MaxPlus::take_turn(Connection& one, const TransferBlock& block, size_t at, double ready) {
  if (ready < one.ready) return false;
  if (ready == one.ready && one.late && !waits_for(block, at, one.last)) return false;
  one.ready = ready;
  one.last = done_ + at;
  one.late = (vanishing_ || !instant_.empty()) && is_late(block, at, ready);
  return true;
}

bool MaxPlus::waits_for(const TransferBlock& block, size_t at, size_t id) const {
  const int64_t* const end = block.deps + block.dep_offsets[at + 1];
  return std::find(block.deps + block.dep_offsets[at], end, static_cast<int64_t>(id) - block.shift) !=
         end;
}

bool MaxPlus::is_late(const TransferBlock& block, size_t at, double ready) const {
  for (int64_t dep = block.dep_offsets[at]; dep < block.dep_offsets[at + 1]; ++dep) {
    const size_t id = static_cast<size_t>(block.deps[dep] + block.shift);
    if (in_.end[id] == ready && (vanishing_ || instant_[id])) return true;
  }
  return false;
}

// Let a transfer drain over a watched link; false where it must share with the one that ends last.
bool MaxPlus::occupy(uint32_t number, double enter, double end, double rate) {
  if (!(end - enter > UNRESOLVED * end)) return false;
  Link& link = links_[number];
  link.shortest = std::min(link.shortest, end - enter);
  const double forgiven = rounding_at(link.end, link.shortest);
  if (enter < link.end - forgiven) {
    const double until = std::min(end, link.end);
    const bool together = until - std::max(enter, link.enter) > forgiven;
    if (together && rate + link.rate > in_.capacity[number] * (1.0 + ROUNDING)) return false;
    if (!link.doubted) doubted_.push_back(number);
    link.doubted = true;
  }
  if (end > link.end) {
    link.end = end;
    link.enter = enter;
    link.rate = rate;
  }
  return true;
}

// The sweep

void MaxPlus::collect(const TransferBlock& block, size_t first) {
  find_connections(block);
  if (!in_.start || !wanted_.empty()) throw std::invalid_argument("a block that has not run");
  check_copies(block);
  TransferBlock copy = block;
  for (size_t time = 0; time < block.times; ++time, copy.go_to_next()) {
    collect_copy(copy, first + time * block.count);
  }
}

void MaxPlus::collect_copy(const TransferBlock& block, size_t first) {
  if (first + block.count > done_) throw std::invalid_argument("a block that has not run");
  for (size_t at = 0; at < block.count; ++at) {
    if (found_[at] == NONE || block.size[at] <= 0) continue;
    const Connection& one = connections_[found_[at]];
    const double size = static_cast<double>(block.size[at]);
    const double enter = in_.start[first + at] + one.delay;
    const double over = enter + size / one.rate;
    for (uint32_t hop = one.begin; hop < one.begin + one.watched; ++hop) {
      collect_on(route_links_[hop], enter, over, one.rate);
    }
    if (block.reduces[at] && one.reduction_watched) {
      const double rate = in_.capacity[one.reducer];
      collect_on(one.reducer, over, over + size / rate, rate);
    }
  }
}

void MaxPlus::collect_on(uint32_t link, double enter, double end, double rate) {
  if (links_[link].doubted) intervals_.push_back({enter, end, rate, link});
}

bool MaxPlus::sweep() {
  std::sort(intervals_.begin(), intervals_.end(), [](const Interval& a, const Interval& b) {
    return a.link != b.link ? a.link < b.link : a.enter < b.enter;
  });
  const Interval* const stop = intervals_.data() + intervals_.size();
  for (const Interval* begin = intervals_.data(); begin != stop;) {
    const Interval* end = begin;
    while (end != stop && end->link == begin->link) ++end;
    if (!fits(begin, end)) return false;
    begin = end;
  }
  doubted_.clear();
  std::vector<Interval>().swap(intervals_);
  return true;
}

// Whether one link carries all its transfers, each at its own rate; they are in order of `enter`.
bool MaxPlus::fits(const Interval* begin, const Interval* end) const {
  std::vector<std::pair<double, double>> ends;
  double shortest = INF;
  for (const Interval* one = begin; one != end; ++one) {
    if (!(one->end - one->enter > UNRESOLVED * one->end)) return false;
    shortest = std::min(shortest, one->end - one->enter);
    ends.emplace_back(one->end, one->rate);
  }
  for (auto& [time, rate] : ends) time -= rounding_at(time, shortest);
  std::sort(ends.begin(), ends.end());
  const double most = in_.capacity[begin->link] * (1.0 + ROUNDING);
  Sum used;
  size_t over = 0, entered = 0;
  for (const Interval* one = begin; one != end; ++one, ++entered) {
    while (over < entered && ends[over].first <= one->enter) used.add(-ends[over++].second);
    used.add(one->rate);
    if (used.value() > most) return false;
  }
  return true;
}

void MaxPlus::carried(int64_t* links) const {
  for (const Connection& one : connections_) {
    for (uint32_t hop = one.begin; hop < one.begin + one.hops; ++hop) {
      links[route_links_[hop]] += one.bytes;
    }
  }
}

}  // namespace simnet
