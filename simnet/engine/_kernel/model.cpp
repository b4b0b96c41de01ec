#include "model.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace simnet {

namespace {

constexpr double NEVER = std::numeric_limits<double>::quiet_NaN();
// Instants at one and the same time after which the model is taken to stall.
constexpr uint64_t STALLED = 100'000'000;

uint32_t job_of(uint64_t ready) { return static_cast<uint32_t>(ready >> 32); }
uint32_t transfer_of(uint64_t ready) { return static_cast<uint32_t>(ready); }

}  // namespace

Model::Model(std::vector<double> capacity, size_t links, size_t ranks, Outside outside)
    : fair_(capacity), outside_(std::move(outside)), num_links_(links) {
  if (capacity.size() != links + ranks) {
    throw std::invalid_argument("capacity has " + std::to_string(capacity.size()) +
                                " entries for " + std::to_string(links) + " links and " +
                                std::to_string(ranks) + " ranks");
  }
  for (size_t rank = 0; rank < ranks; ++rank) {
    const int64_t link = static_cast<int64_t>(links + rank), weight = 1;
    const bool bound = capacity[links + rank] < INF;
    reducers_.push_back(bound ? fair_.add_route({&link, &weight, 1}) : NONE);
  }
}

uint32_t Model::add_connection(const Hops& route, double delay, bool draws) {
  if (!(delay >= 0.0 && delay < INF)) throw std::invalid_argument("delay is no time");
  for (size_t hop = 0; hop < route.count; ++hop) {
    if (route.links[hop] < 0 || route.links[hop] >= static_cast<int64_t>(num_links_)) {
      throw std::invalid_argument("route has link " + std::to_string(route.links[hop]) + " of " +
                                  std::to_string(num_links_));
    }
  }
  Connection connection;
  connection.route = fair_.add_route(route);
  connection.delay = delay;
  connection.draws = draws;
  connections_.push_back(connection);
  return static_cast<uint32_t>(connections_.size() - 1);
}

uint32_t Model::post(std::shared_ptr<const Program> program, double time) {
  if (!(time >= now_)) throw std::invalid_argument("posted at an instant that has passed");
  auto job = std::make_unique<Job>();
  job->posted = time;
  job->holds = program->holds;
  job->start.assign(program->transfers, NEVER);
  job->end.assign(program->transfers, NEVER);
  const size_t places = program->ranks.size();
  job->open.resize(places);
  for (size_t place = 0; place < places; ++place) {
    job->open[place] = program->touching_begin[place + 1] - program->touching_begin[place];
  }
  job->arrived.assign(places, 0);
  job->left.assign(places, 0);
  job->program = std::move(program);
  jobs_.push_back(std::move(job));
  const uint32_t number = static_cast<uint32_t>(jobs_.size() - 1);
  plan_release(number);
  return number;
}

void Model::arrive(uint32_t number, uint32_t place, double time) {
  if (number >= jobs_.size()) throw std::invalid_argument("no job " + std::to_string(number));
  if (place >= jobs_[number]->arrived.size()) {
    throw std::invalid_argument("no place " + std::to_string(place) + " in the group");
  }
  if (!(time >= now_)) throw std::invalid_argument("arrival at an instant that has passed");
  agenda_.push({time, number, place});
}

const Job& Model::job(uint32_t number) const {
  if (number >= jobs_.size()) throw std::invalid_argument("no job " + std::to_string(number));
  return *jobs_[number];
}

double Model::next_time() const {
  const double planned = agenda_.empty() ? INF : agenda_.top().time;
  return std::min(planned, fair_.next_finish());
}

const std::vector<Departure>& Model::advance(double time, double horizon) {
  if (!(time >= now_)) throw std::invalid_argument("that instant has passed");
  departures_.clear();
  carry_out_instant(time);
  while (departures_.empty()) {
    const double next = next_time();
    if (!(next < horizon)) break;
    carry_out_instant(next);
  }
  return departures_;
}

// One instant

void Model::carry_out_instant(double time) {
  check_progress(time);
  while (carry_out(time)) launch(time);
  fair_.settle(time);
}

void Model::check_progress(double time) {
  at_now_ = time == now_ ? at_now_ + 1 : 0;
  now_ = time;
  if (at_now_ > STALLED) {
    throw std::runtime_error("no progress at " + std::to_string(time) + " s: " +
                             std::to_string(legs_.size() - free_legs_.size()) +
                             " transfers under way, next end " +
                             std::to_string(fair_.next_finish()));
  }
}

bool Model::carry_out(double time) {
  finished_.clear();
  fair_.pop_finished(time, finished_);
  for (size_t i = 0; i < finished_.size(); ++i) drained(finished_[i], time);
  bool due = !finished_.empty();
  while (!agenda_.empty() && agenda_.top().time <= time) {
    due = true;
    const Entry entry = agenda_.top();
    agenda_.pop();
    if (entry.place == LEG) {
      enter(entry.what, time);
    } else if (entry.place == RELEASE) {
      do_release(entry.what, time);
    } else {
      do_arrive(entry.what, entry.place, time);
    }
  }
  return due;
}

void Model::do_arrive(uint32_t number, uint32_t place, double time) {
  Job& job = *jobs_[number];
  const Program& program = *job.program;
  job.arrived[place] = 1;
  for (uint32_t at = program.touching_begin[place]; at < program.touching_begin[place + 1]; ++at) {
    let_go(job, number, program.touching[at]);
  }
  leave(number, place, time);
}

void Model::plan_release(uint32_t number) {
  const Job& job = *jobs_[number];
  const Program& program = *job.program;
  if (job.released < program.release.size()) {
    const double after = program.release[program.release_order[job.released]];
    agenda_.push({job.posted + after, number, RELEASE});
  }
}

void Model::do_release(uint32_t number, double time) {
  Job& job = *jobs_[number];
  const Program& program = *job.program;
  while (job.released < program.release.size()) {
    const uint32_t transfer = program.release_order[job.released];
    if (job.posted + program.release[transfer] > time) break;
    ++job.released;
    let_go(job, number, transfer);
  }
  plan_release(number);
}

void Model::let_go(Job& job, uint32_t number, uint32_t transfer) {
  if (!--job.holds[transfer]) {
    ready_.push_back(static_cast<uint64_t>(number) << 32 | transfer);
  }
}

// Queue what has become ready and start what its connection lets through.
void Model::launch(double time) {
  while (!ready_.empty()) {
    launching_.swap(ready_);
    ready_.clear();
    if (conflicts()) put_in_order();
    for (const Ready item : launching_) queue(job_of(item), transfer_of(item), time);
  }
  serve_freed(time);
}

// Whether order matters: two of those that are ready come to one connection.
bool Model::conflicts() {
  if (launching_.size() < 2) return false;
  if (++mark_ == 0) {
    for (Connection& connection : connections_) connection.mark = 0;
    mark_ = 1;
  }
  for (const Ready item : launching_) {
    const Program& program = *jobs_[job_of(item)]->program;
    const uint32_t number = program.connection[transfer_of(item)];
    if (number == NONE) continue;
    Connection& connection = connections_[number];
    if (!program.in_flight && !connection.draws) continue;
    if (connection.mark == mark_) return true;
    connection.mark = mark_;
  }
  return false;
}

// By the order of jobs, sizes of flows, number of posting, transfer.
void Model::put_in_order() {
  std::sort(launching_.begin(), launching_.end());
  std::vector<uint32_t> numbers;
  for (const Ready item : launching_) {
    if (numbers.empty() || numbers.back() != job_of(item)) numbers.push_back(job_of(item));
  }
  std::vector<uint32_t> places(numbers.size(), 0);
  if (numbers.size() > 1) outside_.rank(numbers, places);
  struct Turn {
    uint32_t place;
    int64_t size;
    Ready item;
    bool operator<(const Turn& other) const {
      if (place != other.place) return place < other.place;
      if (size != other.size) return size < other.size;
      return item < other.item;
    }
  };
  std::vector<Turn> turns;
  size_t at = 0;
  for (const Ready item : launching_) {
    while (numbers[at] != job_of(item)) ++at;
    const Program& program = *jobs_[job_of(item)]->program;
    turns.push_back({places[at], program.in_flight ? 0 : program.size[transfer_of(item)], item});
  }
  std::sort(turns.begin(), turns.end());
  for (size_t i = 0; i < turns.size(); ++i) launching_[i] = turns[i].item;
}

void Model::queue(uint32_t number, uint32_t transfer, double time) {
  Job& job = *jobs_[number];
  const Program& program = *job.program;
  const uint32_t at = program.connection[transfer];
  if (at == NONE) {
    job.start[transfer] = time;
    ended(number, transfer, time);
    return;
  }
  Connection& connection = connections_[at];
  if (!program.in_flight) {
    start(number, transfer, at, time);
    return;
  }
  // Where delays are drawn, flows that never queue draw before those that do, as in the twin.
  if (connection.head == NONE && connection.started < program.in_flight && !connection.draws) {
    ++connection.started;
    start(number, transfer, at, time);
    return;
  }
  uint32_t node = free_queued_;
  if (node == NONE) {
    node = static_cast<uint32_t>(queued_.size());
    queued_.push_back({});
  } else {
    free_queued_ = queued_[node].next;
  }
  queued_[node] = {number, transfer, NONE};
  if (connection.head == NONE) {
    connection.head = node;
  } else {
    queued_[connection.tail].next = node;
  }
  connection.tail = node;
  freed_.push_back(at);
}

void Model::serve_freed(double time) {
  for (size_t i = 0; i < freed_.size(); ++i) {
    const uint32_t at = freed_[i];
    while (connections_[at].head != NONE) {
      Connection& connection = connections_[at];
      const uint32_t node = connection.head;
      const Queued item = queued_[node];
      if (connection.started >= jobs_[item.job]->program->in_flight) break;
      connection.head = item.next;
      queued_[node].next = free_queued_;
      free_queued_ = node;
      ++connection.started;
      start(item.job, item.transfer, at, time);
    }
  }
  freed_.clear();
}

// One transfer

uint32_t Model::new_leg(const Leg& leg) {
  if (free_legs_.empty()) {
    if (legs_.size() >= RELEASE) throw std::runtime_error("too many transfers under way");
    legs_.push_back(leg);
    return static_cast<uint32_t>(legs_.size() - 1);
  }
  const uint32_t at = free_legs_.back();
  free_legs_.pop_back();
  legs_[at] = leg;
  return at;
}

void Model::start(uint32_t number, uint32_t transfer, uint32_t at, double time) {
  Job& job = *jobs_[number];
  const Connection& connection = connections_[at];
  job.start[transfer] = time;
  Leg leg{number, transfer, connection.route, 0, NONE};
  double delay = connection.delay;
  if (connection.draws) {
    if (free_rounds_.empty()) {
      free_rounds_.push_back(static_cast<uint32_t>(rounds_.size()));
      rounds_.emplace_back();
    }
    leg.rounds = free_rounds_.back();
    std::vector<Round>& rounds = rounds_[leg.rounds];
    rounds.clear();
    delay = outside_.draw(at, job.program->size[transfer], rounds);
    free_rounds_.pop_back();
    int64_t again = 0;
    for (size_t i = 1; i < rounds.size(); ++i) again += rounds[i].size;
    if (again) {
      if (job.again.empty()) job.again.assign(job.program->transfers, 0);
      job.again[transfer] = again;
    }
  }
  agenda_.push({time + delay, new_leg(leg), LEG});
}

int64_t Model::bytes_on_wire(const Leg& leg) const {
  if (leg.rounds != NONE) return rounds_[leg.rounds][leg.round].size;
  return jobs_[leg.job]->program->size[leg.transfer];
}

// Let the bytes of the leg's present round, or its reduction, begin to drain.
void Model::enter(uint32_t at, double time) {
  const Leg& leg = legs_[at];
  const bool reducing = leg.round == NONE;
  const int64_t size =
      reducing ? jobs_[leg.job]->program->size[leg.transfer] : bytes_on_wire(leg);
  if (size > 0) {
    fair_.enter(leg.route, static_cast<double>(size), at, time);
  } else {
    drained(at, time);
  }
}

// Go on after a round: the next round, the reduction, or the end.
void Model::drained(uint32_t at, double time) {
  Leg& leg = legs_[at];
  if (leg.round == NONE) {
    delivered(at, time);
    return;
  }
  fair_.count_bytes(leg.route, bytes_on_wire(leg));
  if (leg.rounds != NONE && leg.round + 1 < rounds_[leg.rounds].size()) {
    ++leg.round;
    agenda_.push({time + rounds_[leg.rounds][leg.round].wait, at, LEG});
    return;
  }
  const Program& program = *jobs_[leg.job]->program;
  if (program.reduces[leg.transfer]) {
    const uint32_t reducer = reducers_[program.ranks[program.dst[leg.transfer]]];
    if (reducer != NONE) {
      leg.round = NONE;
      leg.route = reducer;
      enter(at, time);
      return;
    }
  }
  delivered(at, time);
}

void Model::delivered(uint32_t at, double time) {
  const Leg leg = legs_[at];
  const Program& program = *jobs_[leg.job]->program;
  if (program.in_flight) {
    const uint32_t number = program.connection[leg.transfer];
    Connection& connection = connections_[number];
    --connection.started;
    if (connection.head != NONE) freed_.push_back(number);
  }
  if (leg.rounds != NONE) free_rounds_.push_back(leg.rounds);
  free_legs_.push_back(at);
  ended(leg.job, leg.transfer, time);
}

void Model::ended(uint32_t number, uint32_t transfer, double time) {
  Job& job = *jobs_[number];
  const Program& program = *job.program;
  job.end[transfer] = time;
  const uint32_t src = program.src[transfer], dst = program.dst[transfer];
  const uint32_t stop = program.dependent_begin[transfer + 1];
  for (uint32_t at = program.dependent_begin[transfer]; at < stop; ++at) {
    let_go(job, number, program.dependents[at]);
  }
  if (!--job.open[src]) leave(number, src, time);
  if (dst != src && !--job.open[dst]) leave(number, dst, time);
}

void Model::leave(uint32_t number, uint32_t place, double time) {
  Job& job = *jobs_[number];
  if (job.left[place] || !job.arrived[place] || job.open[place]) return;
  job.left[place] = 1;
  if (++job.leavers == job.left.size()) {
    job.holds.clear();
    job.holds.shrink_to_fit();
  }
  departures_.push_back({number, place, time});
}

void Model::carried(double time, int64_t* links) const {
  fair_.carried(time, links, num_links_, [&](uint32_t route, uint32_t at, double left) {
    const Leg& leg = legs_[at];
    if (leg.round == NONE) return;
    const double size = static_cast<double>(bytes_on_wire(leg));
    const int64_t gone = static_cast<int64_t>(size - std::max(left, 0.0));
    const Hop* hops = fair_.routes().at(route);
    for (size_t hop = 0; hop < fair_.routes().hops(route); ++hop) {
      links[hops[hop].link] += gone * hops[hop].weight;
    }
  });
}

}  // namespace simnet
