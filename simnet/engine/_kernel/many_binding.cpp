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

// Many(src, dst, connection, size, reduces, dep_offsets, deps, floor, arrival, route_offsets,
//      route_links, overhead, receiver, reduction, num_links, queues)
PyObject* many_new(PyTypeObject* type, PyObject* args, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject* given[16];
    for (PyObject*& one : given) one = nullptr;
    if (PyTuple_Size(args) != 16) {
      PyErr_SetString(PyExc_TypeError, "needs 16 arguments");
      throw PythonError();
    }
    for (Py_ssize_t i = 0; i < 16; ++i) given[i] = checked(PyTuple_GetItem(args, i));
    const Array<int64_t> src(given[0], "src"), dst(given[1], "dst"),
        connection(given[2], "connection"), size(given[3], "size"),
        dep_offsets(given[5], "dep_offsets"), deps(given[6], "deps"),
        route_offsets(given[9], "route_offsets"), route_links(given[10], "route_links"),
        receiver(given[12], "receiver");
    const Array<uint8_t> reduces(given[4], "reduces");
    const Array<double> floor(given[7], "floor"), arrival(given[8], "arrival"),
        overhead(given[11], "overhead"), reduction(given[13], "reduction");
    const size_t total = src.size(), connections = overhead.size();
    dst.expect(total, "dst");
    connection.expect(total, "connection");
    size.expect(total, "size");
    reduces.expect(total, "reduces");
    floor.expect(total, "floor");
    dep_offsets.expect(total + 1, "dep_offsets");
    receiver.expect(connections, "receiver");
    route_offsets.expect(connections + 1, "route_offsets");
    if (total >= NONE / 2 || route_links.size() >= NONE || deps.size() >= NONE) {
      throw std::invalid_argument("too many transfers: " + std::to_string(total));
    }
    if (route_offsets.data()[0] != 0 ||
        route_offsets.data()[connections] != static_cast<int64_t>(route_links.size())) {
      throw std::invalid_argument("route_offsets do not span route_links");
    }
    const int queues = PyObject_IsTrue(given[15]);
    if (queues < 0) throw PythonError();
    const ManyColumns columns{total,
                              deps.size(),
                              arrival.size(),
                              connections,
                              to_index(given[14], "num_links"),
                              reduction.size(),
                              src.data(),
                              dst.data(),
                              connection.data(),
                              size.data(),
                              reduces.data(),
                              dep_offsets.data(),
                              deps.data(),
                              floor.data(),
                              arrival.data(),
                              route_offsets.data(),
                              route_links.data(),
                              overhead.data(),
                              receiver.data(),
                              reduction.data(),
                              queues != 0};
    auto plan = std::make_unique<const ManyPlan>(make_many_plan(columns));
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
    const auto program = *reinterpret_cast<ProgramObject*>(args[0])->program;
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
