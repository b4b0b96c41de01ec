// `Many` as a Python object.
#include "program_binding.hpp"

#include <memory>

#include "many.hpp"

namespace simnet {

namespace {

struct ManyObject {
  PyObject_HEAD
  const ManyPlan* plan;
};

const ManyPlan& plan_of(PyObject* self) { return *reinterpret_cast<ManyObject*>(self)->plan; }

void many_dealloc(PyObject* self) {
  delete reinterpret_cast<ManyObject*>(self)->plan;
  free_object(self);
}

// src, dst, connection, size, reduces, dep_offsets, deps, floor, arrival, route_offsets, route_links,
// overhead, receiver, reduction, num_links, queues
class Columns {
 public:
  static constexpr Py_ssize_t COUNT = 16;

  explicit Columns(PyObject* const* given)
      : src_(given[0], "src"),
        dst_(given[1], "dst"),
        connection_(given[2], "connection"),
        size_(given[3], "size"),
        reduces_(given[4], "reduces"),
        dep_offsets_(given[5], "dep_offsets"),
        deps_(given[6], "deps"),
        floor_(given[7], "floor"),
        arrival_(given[8], "arrival"),
        route_offsets_(given[9], "route_offsets"),
        route_links_(given[10], "route_links"),
        overhead_(given[11], "overhead"),
        receiver_(given[12], "receiver"),
        reduction_(given[13], "reduction"),
        num_links_(to_index(given[14], "num_links")),
        queues_(PyObject_IsTrue(given[15])) {
    if (queues_ < 0) throw PythonError();
    const size_t total = src_.size(), connections = overhead_.size();
    dst_.expect(total, "dst");
    connection_.expect(total, "connection");
    size_.expect(total, "size");
    reduces_.expect(total, "reduces");
    floor_.expect(total, "floor");
    dep_offsets_.expect(total + 1, "dep_offsets");
    receiver_.expect(connections, "receiver");
    route_offsets_.expect(connections + 1, "route_offsets");
    if (total >= NONE / 2 || route_links_.size() >= NONE || deps_.size() >= NONE) {
      throw std::invalid_argument("too many transfers: " + std::to_string(total));
    }
    if (route_offsets_.data()[0] != 0 ||
        route_offsets_.data()[connections] != static_cast<int64_t>(route_links_.size())) {
      throw std::invalid_argument("route_offsets do not span route_links");
    }
  }

  ManyColumns columns() const {
    return {src_.size(),           deps_.size(),        arrival_.size(),     overhead_.size(),
            num_links_,            reduction_.size(),   src_.data(),         dst_.data(),
            connection_.data(),    size_.data(),        reduces_.data(),     dep_offsets_.data(),
            deps_.data(),          floor_.data(),       arrival_.data(),     route_offsets_.data(),
            route_links_.data(),   overhead_.data(),    receiver_.data(),    reduction_.data(),
            queues_ != 0};
  }

 private:
  Array<int64_t> src_, dst_, connection_, size_;
  Array<uint8_t> reduces_;
  Array<int64_t> dep_offsets_, deps_;
  Array<double> floor_, arrival_;
  Array<int64_t> route_offsets_, route_links_;
  Array<double> overhead_;
  Array<int64_t> receiver_;
  Array<double> reduction_;
  uint32_t num_links_;
  int queues_;
};

PyObject* many_new(PyTypeObject* type, PyObject* args, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(PyTuple_Size(args), Columns::COUNT);
    PyObject* given[Columns::COUNT];
    for (Py_ssize_t i = 0; i < Columns::COUNT; ++i) given[i] = checked(PyTuple_GetItem(args, i));
    auto plan = std::make_unique<const ManyPlan>(make_many_plan(Columns(given).columns()));
    PyObject* self = allocate(type);
    reinterpret_cast<ManyObject*>(self)->plan = plan.release();
    return self;
  });
}

// How far apart the rows of an array are that has one row a scenario, or one for all.
size_t stride_of(const Array<double>& array, size_t scenarios, size_t links, const char* name) {
  if (array.size() == links) return 0;
  array.expect(scenarios * links, name);
  return links;
}

// Lets other threads run Python for as long as it lives.
class WithoutInterpreter {
 public:
  WithoutInterpreter() : state_(PyEval_SaveThread()) {}
  ~WithoutInterpreter() { PyEval_RestoreThread(state_); }
  WithoutInterpreter(const WithoutInterpreter&) = delete;
  WithoutInterpreter& operator=(const WithoutInterpreter&) = delete;

 private:
  PyThreadState* state_;
};

// run(bandwidth, latency, first, last, left, holds): flat arrays of one row a scenario; fills the
// rows from first to last, while other threads may fill others
PyObject* run(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 6);
    const ManyPlan& plan = plan_of(self);
    const Array<double> bandwidth(args[0], "bandwidth"), latency(args[1], "latency");
    const size_t first = to_index(args[2], "first"), last = to_index(args[3], "last");
    Array<double> left(args[4], "left", true);
    Array<uint8_t> holds(args[5], "holds", true);
    const size_t scenarios = holds.size();
    left.expect(scenarios * plan.arrival.size(), "left");
    if (first > last || last > scenarios) throw std::invalid_argument("no such scenarios");
    const ManyLinks links{bandwidth.data(), latency.data(),
                          stride_of(bandwidth, scenarios, plan.links, "bandwidth"),
                          stride_of(latency, scenarios, plan.links, "latency")};
    double* const left_of = left.writable();
    uint8_t* const holds_of = holds.writable();
    {
      const WithoutInterpreter released;
      run_many(plan, links, first, last, left_of, holds_of);
    }
    return none();
  });
}

// events(program, bandwidth, latency, scenarios, left): fills the rows of the scenarios named, event
// by event, while other threads may fill others
PyObject* events(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 5);
    const ManyPlan& plan = plan_of(self);
    if (!PyObject_TypeCheck(args[0], program_type)) {
      throw std::invalid_argument("events() needs a Program");
    }
    const auto program = program_of(args[0]);
    const Array<double> bandwidth(args[1], "bandwidth"), latency(args[2], "latency");
    const Array<int64_t> chosen(args[3], "scenarios");
    Array<double> left(args[4], "left", true);
    const size_t places = plan.arrival.size();
    const size_t scenarios = places ? left.size() / places : 0;
    left.expect(scenarios * places, "left");
    for (size_t i = 0; i < chosen.size(); ++i) {
      if (chosen.data()[i] < 0 || chosen.data()[i] >= static_cast<int64_t>(scenarios)) {
        throw std::invalid_argument("no scenario " + std::to_string(chosen.data()[i]));
      }
    }
    const ManyLinks links{bandwidth.data(), latency.data(),
                          stride_of(bandwidth, scenarios, plan.links, "bandwidth"),
                          stride_of(latency, scenarios, plan.links, "latency")};
    double* const left_of = left.writable();
    {
      const WithoutInterpreter released;
      run_events(plan, program, links, chosen.data(), chosen.size(), left_of);
    }
    return none();
  });
}

PyMethodDef methods[] = {
    {"run", method(run), METH_FASTCALL, nullptr},
    {"events", method(events), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(many_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(many_dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("Many scenarios at once; see simnet.engine.many.")},
    {0, nullptr},
};

PyType_Spec spec = {"simnet.engine._kernel.core.Many", sizeof(ManyObject), 0, Py_TPFLAGS_DEFAULT,
                    slots};

}  // namespace

void add_many(PyObject* module) { add_type(module, "Many", spec); }

}  // namespace simnet
