#include "model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace simnet {

namespace {

constexpr double NEVER = std::numeric_limits<double>::quiet_NaN();
// Instants in a row at which nothing was due, after which the model is taken to stall.
constexpr uint64_t STALLED = 10'000;

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

void Model::expect_connections(size_t count, size_t hops) {
  make_room(connections_, count);
  fair_.expect_routes(count, hops);
}

uint32_t Model::post(std::shared_ptr<const Program> program, double time) {
  if (!(time >= now_)) throw std::invalid_argument("posted at an instant that has passed");
  if (!(time < INF)) throw std::invalid_argument("posted at no time");
  auto job = std::make_unique<Job>();
  job->posted = time;
  job->progress.reserve(program->count());
  for (const Transfer& transfer : program->transfers) {
    job->progress.emplace_back() = {NEVER, NEVER, transfer.holds};
  }
  job->open = program->touching;
  job->arrived.assign(program->ranks.size(), 0);
  job->left.assign(program->ranks.size(), 0);
  job->program = std::move(program);
  jobs_.push_back(std::move(job));
  ++num_kept_;
  const uint32_t number = static_cast<uint32_t>(jobs_.size() - 1);
  plan_release(number);
  return number;
}

void Model::arrive(uint32_t number, uint32_t place, double time) {
  if (place >= kept(number).arrived.size()) {
    throw std::invalid_argument("no place " + std::to_string(place) + " in the group");
  }
  if (!(time >= now_)) throw std::invalid_argument("arrival at an instant that has passed");
  if (!(time < INF)) throw std::invalid_argument("arrival at no time");
  agenda_.add(time, {number, place});
}

const Job& Model::job(uint32_t number) const { return kept(number); }

Job& Model::kept(uint32_t number) const {
  if (number >= jobs_.size() || !jobs_[number]) {
    throw std::invalid_argument("no job " + std::to_string(number));
  }
  return *jobs_[number];
}

void Model::forget(uint32_t number) {
  const Job& job = kept(number);
  if (std::find(job.left.begin(), job.left.end(), 0) != job.left.end()) {
    throw std::invalid_argument("job " + std::to_string(number) + " is not over");
  }
  jobs_[number].reset();
  --num_kept_;
}

double Model::next_time() const {
  return std::min(agenda_.time(), fair_.next_finish());
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
  now_ = time;
  ++idle_;
  while (carry_out(time)) {
    idle_ = 0;
    if (!ready_.empty() || !freed_.empty()) launch(time);
  }
  if (idle_ > STALLED) report_stall();
  fair_.settle(time);
}

void Model::report_stall() const {
  throw std::runtime_error(
      "no progress at " + std::to_string(now_) + " s: nothing was due " + std::to_string(idle_) +
      " times; " + std::to_string(legs_.size() - free_legs_.size()) +
      " transfers under way, next end " + std::to_string(fair_.next_finish()) +
      " s, next start or arrival " + std::to_string(agenda_.time()) + " s");
}

bool Model::carry_out(double time) {
  finished_.clear();
  if (fair_.next_finish() <= time) fair_.pop_finished(time, finished_);
  for (size_t i = 0; i < finished_.size(); ++i) drained(finished_[i], time);
  bool due = !finished_.empty();
  while (agenda_.time() <= time) {
    due = true;
    const Entry entry = agenda_.pop();
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
  Job& job = kept(number);
  if (job.arrived[place]) {
    throw std::invalid_argument("place " + std::to_string(place) + " arrives in job " +
                                std::to_string(number) + " a second time");
  }
  const Program& program = *job.program;
  job.arrived[place] = 1;
  for (uint32_t at = program.awaiting_begin[place]; at < program.awaiting_begin[place + 1]; ++at) {
    let_go(job, number, program.awaiting[at]);
  }
  leave(number, place, time);
}

void Model::plan_release(uint32_t number) {
  const Job& job = *jobs_[number];
  const Program& program = *job.program;
  if (job.released < program.release.size()) {
    const double after = program.release[program.release_order[job.released]];
    agenda_.add(job.posted + after, {number, RELEASE});
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

void Model::carried(double time, int64_t* links) const {
  fair_.carried(time, links, num_links_, [&](uint32_t route, uint32_t at, double left) {
    const Leg& leg = legs_[at];
    if (leg.round == NONE) return;
    const double size = static_cast<double>(bytes_on_wire(leg));
    const int64_t gone = static_cast<int64_t>(std::floor(size - std::max(left, 0.0) + 0.5));
    const Hop* hops = fair_.routes().at(route);
    for (size_t hop = 0; hop < fair_.routes().hops(route); ++hop) {
      links[hops[hop].link] += gone * hops[hop].weight;
    }
  });
}

}  // namespace simnet
