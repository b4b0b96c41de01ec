#include <algorithm>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>

#include "many.hpp"

namespace simnet {

namespace {

[[noreturn]] void refuse(size_t transfer, const char* what) {
  throw std::invalid_argument("transfer " + std::to_string(transfer) + " " + what);
}

void check_routes(const ManyColumns& given) {
  const int64_t* offsets = given.route_offsets;
  const int64_t stop = offsets[given.connections];
  for (size_t i = 0; i < given.connections; ++i) {
    if (offsets[i] < 0 || offsets[i + 1] <= offsets[i] || offsets[i + 1] > stop) {
      throw std::invalid_argument("connection " + std::to_string(i) + " has no route");
    }
    for (int64_t at = offsets[i]; at < offsets[i + 1]; ++at) {
      const int64_t link = given.route_links[at];
      if (link < 0 || link >= static_cast<int64_t>(given.links)) {
        throw std::invalid_argument("route has link " + std::to_string(link) + " of " +
                                    std::to_string(given.links));
      }
    }
    if (given.receiver[i] < 0 || given.receiver[i] >= static_cast<int64_t>(given.network_ranks)) {
      throw std::invalid_argument("a receiver that is not the network's");
    }
    if (!(given.overhead[i] >= 0.0 && given.overhead[i] < INF)) {
      throw std::invalid_argument("an overhead that is no time");
    }
  }
}

void check(const ManyColumns& given) {
  check_routes(given);
  const int64_t places = static_cast<int64_t>(given.places);
  const int64_t known = static_cast<int64_t>(given.connections);
  for (size_t i = 0; i < given.transfers; ++i) {
    if (given.src[i] < 0 || given.src[i] >= places || given.dst[i] < 0 || given.dst[i] >= places) {
      refuse(i, "is between ranks that the group does not have");
    }
    const bool join = given.src[i] == given.dst[i];
    if (join ? given.connection[i] != -1
             : given.connection[i] < 0 || given.connection[i] >= known) {
      refuse(i, "has no connection, or a join has one");
    }
    if (given.size[i] < 0) refuse(i, "has a negative size");
    if (!(given.floor[i] >= 0.0 && given.floor[i] < INF)) refuse(i, "starts at no time");
    const int64_t begin = given.dep_offsets[i], end = given.dep_offsets[i + 1];
    if (begin < 0 || end < begin || end > static_cast<int64_t>(given.num_deps)) {
      refuse(i, "has dependencies outside the schedule's");
    }
    for (int64_t at = begin; at < end; ++at) {
      if (given.deps[at] < 0 || given.deps[at] >= static_cast<int64_t>(i)) {
        refuse(i, "depends on one that is not before it");
      }
    }
  }
  for (size_t place = 0; place < given.places; ++place) {
    if (!(given.arrival[place] >= 0.0 && given.arrival[place] < INF)) {
      throw std::invalid_argument("an arrival at no time");
    }
  }
}

// Ids of the transfer before each on its connection (NONE: none, or none is waited for).
std::vector<uint32_t> find_before(const ManyColumns& given) {
  std::vector<uint32_t> before(given.transfers, NONE), last(given.connections, NONE);
  for (size_t i = 0; given.queues && i < given.transfers; ++i) {
    if (given.connection[i] < 0) continue;
    uint32_t& mine = last[static_cast<size_t>(given.connection[i])];
    before[i] = mine;
    mine = static_cast<uint32_t>(i);
  }
  return before;
}

class Maker {
 public:
  explicit Maker(const ManyColumns& given) : given_(given), before_(find_before(given)) {}

  ManyPlan make() {
    copy_network();
    find_watches();
    list_watched();
    find_last_uses();
    number_drains();
    lay_rows();
    for (size_t i = 0; i < given_.transfers; ++i) add_op(static_cast<uint32_t>(i));
    plan_.rows.count = plan_.rows.ends + most_slots_;
    return std::move(plan_);
  }

 private:
  bool is_sized(size_t i) const { return given_.connection[i] >= 0 && given_.size[i] > 0; }

  bool waits_for(size_t i, uint32_t id) const {
    const int64_t* const end = given_.deps + given_.dep_offsets[i + 1];
    return std::find(given_.deps + given_.dep_offsets[i], end, int64_t{id}) != end;
  }

  double reduction_of(size_t i) const {  // bytes/s, or infinite
    if (!given_.reduces[i]) return INF;
    return given_.reduction[given_.receiver[given_.connection[i]]];
  }

  void copy_network() {
    plan_.links = given_.links;
    plan_.arrival.assign(given_.arrival, given_.arrival + given_.places);
    plan_.overhead.assign(given_.overhead, given_.overhead + given_.connections);
    plan_.reduction.assign(given_.reduction, given_.reduction + given_.network_ranks);
    for (size_t i = 0; i <= given_.connections; ++i) {
      plan_.route_begin.push_back(static_cast<uint32_t>(given_.route_offsets[i]));
    }
    plan_.route_links.assign(given_.route_links, given_.route_links + plan_.route_begin.back());
  }

  // A connection on a link, or on a rank's local reduction, and how many transfers it brings.
  struct User {
    uint32_t connection, transfers;
  };
  using Users = std::vector<std::vector<User>>;

  static void add_user(std::vector<User>& users, uint32_t connection) {
    if (users.empty() || users.back().connection != connection) users.push_back({connection, 0});
    ++users.back().transfers;
  }

  Users find_users() const {
    Users users(given_.links + given_.network_ranks);
    std::vector<uint32_t> ids(given_.transfers);
    std::iota(ids.begin(), ids.end(), 0u);
    std::stable_sort(ids.begin(), ids.end(), [&](uint32_t a, uint32_t b) {
      return given_.connection[a] < given_.connection[b];
    });
    for (const uint32_t i : ids) {
      if (!is_sized(i)) continue;
      const uint32_t connection = static_cast<uint32_t>(given_.connection[i]);
      const uint32_t stop = plan_.route_begin[connection + 1];
      for (uint32_t hop = plan_.route_begin[connection]; hop < stop; ++hop) {
        add_user(users[plan_.route_links[hop]], connection);
      }
      if (reduction_of(i) < INF) {
        add_user(users[given_.links + static_cast<size_t>(given_.receiver[connection])],
                 connection);
      }
    }
    return users;
  }

  // The links that transfers might meet on.
  void find_watches() {
    const Users users = find_users();
    watch_of_.assign(users.size(), NONE);
    for (uint32_t link = 0; link < users.size(); ++link) {
      const bool single = given_.queues || std::all_of(users[link].begin(), users[link].end(),
                                                       [](User one) { return one.transfers == 1; });
      if (users[link].size() < 2 && single) continue;
      watch_of_[link] = static_cast<uint32_t>(plan_.watches.size());
      plan_.watches.push_back({link, single, {}});
      for (const User& one : users[link]) plan_.watches.back().connections.push_back(one.connection);
    }
  }

  // Which of them each connection crosses.
  void list_watched() {
    for (size_t connection = 0; connection < given_.connections; ++connection) {
      watched_begin_.push_back(static_cast<uint32_t>(plan_.watched.size()));
      const uint32_t stop = plan_.route_begin[connection + 1];
      for (uint32_t hop = plan_.route_begin[connection]; hop < stop; ++hop) {
        const uint32_t watch = watch_of_[plan_.route_links[hop]];
        if (watch != NONE) plan_.watched.push_back(watch);
      }
    }
    watched_begin_.push_back(static_cast<uint32_t>(plan_.watched.size()));
  }

  // Until when each end is needed, and after which transfers a place may leave: those that no
  // other of the same place waits for.
  void find_last_uses() {
    const size_t total = given_.transfers;
    last_use_.assign(total, 0);
    leaves_.assign(2 * total, 1);
    turned_.assign(given_.connections, 0);
    for (size_t i = 0; i < total; ++i) {
      last_use_[i] = static_cast<uint32_t>(i);
      for (int64_t at = given_.dep_offsets[i]; at < given_.dep_offsets[i + 1]; ++at) {
        use(i, static_cast<size_t>(given_.deps[at]));
      }
      if (before_[i] == NONE) continue;
      if (!waits_for(i, before_[i])) turned_[static_cast<size_t>(given_.connection[i])] = 1;
      use(i, before_[i]);
    }
    for (const uint8_t turned : turned_) plan_.turns |= turned != 0;
  }

  void use(size_t i, size_t dep) {
    last_use_[dep] = static_cast<uint32_t>(i);
    const int64_t mine[2] = {given_.src[i], given_.dst[i]};
    const int64_t theirs[2] = {given_.src[dep], given_.dst[dep]};
    for (int side = 0; side < 2; ++side) {
      if (theirs[side] == mine[0] || theirs[side] == mine[1]) leaves_[2 * dep + side] = 0;
    }
  }

  void number_drains() {
    std::map<std::pair<int64_t, int64_t>, uint32_t> known;
    drain_of_.assign(given_.transfers, NONE);
    for (size_t i = 0; i < given_.transfers; ++i) {
      plan_.instantly |= !is_sized(i);
      if (!is_sized(i)) continue;
      const auto key = std::make_pair(given_.connection[i], given_.size[i]);
      const auto [entry, is_new] = known.try_emplace(key, static_cast<uint32_t>(known.size()));
      drain_of_[i] = entry->second;
      if (is_new) {
        plan_.drains.push_back({static_cast<uint32_t>(key.first), static_cast<double>(key.second)});
      }
    }
  }

  void lay_rows() {
    ManyPlan::Rows& rows = plan_.rows;
    const uint32_t connections = static_cast<uint32_t>(given_.connections);
    const uint32_t watches = static_cast<uint32_t>(plan_.watches.size());
    rows.delay = rows.rate + connections;
    rows.drain = rows.delay + connections;
    rows.checked = rows.drain + static_cast<uint32_t>(plan_.drains.size());
    rows.busy = rows.checked + watches;
    rows.shortest = rows.busy + watches;
    rows.ready = rows.shortest + watches;
    rows.left = rows.ready;
    for (uint8_t& turned : turned_) rows.left += turned;
    rows.ends = rows.left + static_cast<uint32_t>(given_.places);
    ready_row_.assign(connections, NONE);
    uint32_t next = rows.ready;
    for (uint32_t i = 0; i < connections; ++i) {
      if (turned_[i]) ready_row_[i] = next++;
    }
    row_of_.assign(given_.transfers, NONE);
    reached_.assign(given_.transfers, 0.0);
  }

  void add_op(uint32_t i) {
    ManyPlan::Op op;
    wait(i, op);
    if (given_.connection[i] >= 0) send(i, op);
    for (int64_t at = given_.dep_offsets[i]; at < given_.dep_offsets[i + 1]; ++at) {
      release(static_cast<uint32_t>(given_.deps[at]), i);
    }
    if (before_[i] != NONE) release(before_[i], i);
    op.out = row_of_[i] = new_row();
    release(i, i);
    const int64_t ends[2] = {given_.src[i], given_.dst[i]};
    for (int side = 0; side < 2; ++side) {
      if (leaves_[2 * i + side]) op.left[side] = plan_.rows.left + static_cast<uint32_t>(ends[side]);
    }
    plan_.ops.push_back(op);
  }

  // The rows that it waits for, and its floor where that does not follow from theirs.
  void wait(uint32_t i, ManyPlan::Op& op) {
    op.in_begin = static_cast<uint32_t>(plan_.inputs.size());
    double reached = 0.0;
    for (int64_t at = given_.dep_offsets[i]; at < given_.dep_offsets[i + 1]; ++at) {
      const size_t dep = static_cast<size_t>(given_.deps[at]);
      plan_.inputs.push_back(row_of_[dep]);
      reached = std::max(reached, reached_[dep]);
    }
    op.in_end = static_cast<uint32_t>(plan_.inputs.size());
    const bool alone = op.in_begin == op.in_end;
    if (alone || given_.floor[i] > reached) op.floor = given_.floor[i];
    reached_[i] = std::max(reached, given_.floor[i]);
  }

  void send(uint32_t i, ManyPlan::Op& op) {
    const uint32_t connection = static_cast<uint32_t>(given_.connection[i]);
    op.delay = plan_.rows.delay + connection;
    op.ready = ready_row_[connection];
    if (before_[i] != NONE && !waits_for(i, before_[i])) {
      op.turns = true;
      op.after = row_of_[before_[i]];
    }
    if (drain_of_[i] == NONE) return;
    op.drain = plan_.rows.drain + drain_of_[i];
    op.watch_begin = watched_begin_[connection];
    op.watch_end = watched_begin_[connection + 1];
    const double rate = reduction_of(i);
    if (rate < INF) {
      op.reduction = static_cast<double>(given_.size[i]) / rate;
      op.reducer = watch_of_[given_.links + static_cast<size_t>(given_.receiver[connection])];
    }
  }

  uint32_t new_row() {
    if (free_.empty()) return plan_.rows.ends + most_slots_++;
    const uint32_t row = free_.back();
    free_.pop_back();
    return row;
  }

  // Give back the row of an end that nothing after transfer i needs.
  void release(uint32_t id, uint32_t i) {
    if (last_use_[id] != i || row_of_[id] == NONE) return;
    free_.push_back(row_of_[id]);
    row_of_[id] = NONE;
  }

  const ManyColumns& given_;
  ManyPlan plan_;
  std::vector<uint32_t> before_;
  std::vector<uint32_t> watch_of_, watched_begin_;
  std::vector<uint32_t> last_use_, drain_of_, ready_row_, row_of_, free_;
  std::vector<uint8_t> leaves_, turned_;
  std::vector<double> reached_;
  uint32_t most_slots_ = 0;
};

}  // namespace

ManyPlan make_many_plan(const ManyColumns& given) {
  check(given);
  return Maker(given).make();
}

}  // namespace simnet
