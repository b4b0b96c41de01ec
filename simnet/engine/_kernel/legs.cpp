// One transfer on its way: its rounds on the wire, its reduction, its end.
#include <stdexcept>

#include "model.hpp"

namespace simnet {

uint32_t Model::new_leg() {
  if (free_legs_.empty()) {
    if (legs_.size() >= RELEASE) throw std::runtime_error("too many transfers under way");
    legs_.emplace_back();
    return static_cast<uint32_t>(legs_.size() - 1);
  }
  const uint32_t at = free_legs_.back();
  free_legs_.pop_back();
  return at;
}

void Model::start(uint32_t number, uint32_t transfer, uint32_t at, double time) {
  Job& job = *jobs_[number];
  const Connection& connection = connections_[at];
  job.progress[transfer].start = time;
  const Program& program = *job.program;
  const Transfer& started = program.transfers[transfer];
  if (started.waiters) prefetch(&job.progress[transfer + program.waiting[started.waiting]]);
  const uint32_t leg = new_leg();
  legs_[leg] = {started.size, number, transfer, at, connection.route, 0, NONE};
  agenda_.add(time + (connection.draws ? draw(legs_[leg]) : connection.delay), {leg, LEG});
}

// Ask for the delay and the rounds of a message; returns the delay.
double Model::draw(Leg& leg) {
  Job& job = *jobs_[leg.job];
  if (free_rounds_.empty()) {
    free_rounds_.push_back(static_cast<uint32_t>(rounds_.size()));
    rounds_.emplace_back();
  }
  leg.rounds = free_rounds_.back();
  std::vector<Round>& rounds = rounds_[leg.rounds];
  rounds.clear();
  const double delay = outside_.draw(leg.connection, leg.size, rounds);
  free_rounds_.pop_back();
  int64_t again = 0;
  for (size_t i = 1; i < rounds.size(); ++i) again += rounds[i].size;
  if (again) {
    if (job.again.empty()) job.again.assign(job.program->count(), 0);
    job.again[leg.transfer] = again;
  }
  return delay;
}

int64_t Model::bytes_on_wire(const Leg& leg) const {
  return leg.rounds != NONE ? rounds_[leg.rounds][leg.round].size : leg.size;
}

// Let the bytes of the leg's present round, or its reduction, begin to drain.
void Model::enter(uint32_t at, double time) {
  const Leg& leg = legs_[at];
  const int64_t size = leg.round == NONE ? leg.size : bytes_on_wire(leg);
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
    agenda_.add(time + rounds_[leg.rounds][leg.round].wait, {at, LEG});
    return;
  }
  const Program& program = *jobs_[leg.job]->program;
  const Transfer& transfer = program.transfers[leg.transfer];
  if (transfer.reduces) {
    const uint32_t reducer = reducers_[program.ranks[transfer.dst]];
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
  const Leg& leg = legs_[at];
  const Program& program = *jobs_[leg.job]->program;
  if (program.in_flight) {
    Connection& connection = connections_[leg.connection];
    --connection.started;
    if (connection.head != NONE) freed_.push_back(leg.connection);
  }
  if (leg.rounds != NONE) free_rounds_.push_back(leg.rounds);
  free_legs_.push_back(at);
  ended(leg.job, leg.transfer, time);
}

void Model::let_go(Job& job, uint32_t number, uint32_t transfer) {
  prefetch(&job.program->transfers[transfer]);  // it will start soon
  if (!--job.progress[transfer].holds) {
    ready_.push_back(static_cast<uint64_t>(number) << 32 | transfer);
  }
}

void Model::ended(uint32_t number, uint32_t transfer, double time) {
  Job& job = *jobs_[number];
  const Program& program = *job.program;
  job.progress[transfer].end = time;
  const Transfer& ended = program.transfers[transfer];
  const uint32_t src = ended.src, dst = ended.dst;
  const uint32_t* const waiting = program.waiting.data() + ended.waiting;
  for (uint32_t i = 0; i < ended.waiters; ++i) let_go(job, number, transfer + waiting[i]);
  if (!--job.open[src]) leave(number, src, time);
  if (dst != src && !--job.open[dst]) leave(number, dst, time);
}

void Model::leave(uint32_t number, uint32_t place, double time) {
  Job& job = *jobs_[number];
  if (job.left[place] || !job.arrived[place] || job.open[place]) return;
  job.left[place] = 1;
  departures_.push_back({number, place, time});
}

}  // namespace simnet
