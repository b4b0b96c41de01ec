// `Model` as a Python object.
#include <cmath>
#include <memory>

#include "outside.hpp"
#include "program_binding.hpp"

namespace simnet {
namespace {

// Connections that are looked at before they are added, so that memory is there by then.
constexpr size_t AHEAD = 16;

struct ModelObject {
  PyObject_HEAD
  Model* model;
  PyObject* draw;
  PyObject* rank;
  bool busy;    // in the middle of an advance, which may ask Python
  bool failed;  // left there by an exception
  int64_t bytes;  // of all programs that were posted
};

int model_traverse(PyObject* self, visitproc visit, void* arg) {
  ModelObject* object = reinterpret_cast<ModelObject*>(self);
  Py_VISIT(object->draw);
  Py_VISIT(object->rank);
  Py_VISIT(Py_TYPE(self));
  return 0;
}

int model_clear(PyObject* self) {
  ModelObject* object = reinterpret_cast<ModelObject*>(self);
  Py_CLEAR(object->draw);
  Py_CLEAR(object->rank);
  return 0;
}

void model_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  model_clear(self);
  delete reinterpret_cast<ModelObject*>(self)->model;
  free_object(self);
}

// The model at rest.
Model& model_of(PyObject* self) {
  const ModelObject& object = *reinterpret_cast<ModelObject*>(self);
  if (!object.draw) throw std::runtime_error("the model is being collected");
  if (object.busy) throw std::runtime_error("the model was called by its own draw() or rank()");
  return *object.model;
}

// For as long as a model is not at rest; fails it where `done` is not reached.
class Advancing {
 public:
  explicit Advancing(PyObject* self) : object_(*reinterpret_cast<ModelObject*>(self)) {
    if (object_.failed) throw std::runtime_error("the model failed in an earlier advance");
    object_.busy = object_.failed = true;
  }
  ~Advancing() { object_.busy = false; }
  Advancing(const Advancing&) = delete;
  Advancing& operator=(const Advancing&) = delete;
  void done() { object_.failed = false; }

 private:
  ModelObject& object_;
};

// Model(capacity, num_links, num_ranks, draw, rank)
PyObject* model_new(PyTypeObject* type, PyObject* args, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject *capacity, *num_links, *num_ranks, *draw, *rank;
    if (!PyArg_ParseTuple(args, "OOOOO", &capacity, &num_links, &num_ranks, &draw, &rank)) {
      throw PythonError();
    }
    const Array<double> capacity_of(capacity, "capacity");
    auto model = std::make_unique<Model>(
        std::vector<double>(capacity_of.data(), capacity_of.data() + capacity_of.size()),
        to_index(num_links, "num_links"), to_index(num_ranks, "num_ranks"),
        ask_python(draw, rank));
    PyObject* self = allocate(type);
    ModelObject* object = reinterpret_cast<ModelObject*>(self);
    object->model = model.release();
    Py_INCREF(draw);
    Py_INCREF(rank);
    object->draw = draw;
    object->rank = rank;
    return self;
  });
}

// add_connections(offsets, links, delay, draws[, weights]) → number of the first
PyObject* add_connections(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    const bool weighted = count == 5 && args[4] != Py_None;
    expect_args(count, count == 5 ? 5 : 4);
    Model& model = model_of(self);
    const Array<int64_t> offsets(args[0], "offsets"), links(args[1], "links");
    const Array<double> delay(args[2], "delay");
    const Array<uint8_t> draws(args[3], "draws");
    const std::vector<int64_t> ones(weighted ? 0 : links.size(), 1);
    std::unique_ptr<Array<int64_t>> given;
    if (weighted) {
      given = std::make_unique<Array<int64_t>>(args[4], "weights");
      given->expect(links.size(), "weights");
    }
    const int64_t* weights = weighted ? given->data() : ones.data();
    offsets.expect(delay.size() + 1, "offsets");
    draws.expect(delay.size(), "draws");
    const int64_t total = static_cast<int64_t>(links.size());
    const size_t first = model.num_connections();
    model.expect_connections(delay.size(), links.size());
    const auto route = [&](size_t i) -> Hops {
      const int64_t begin = offsets.data()[i], end = offsets.data()[i + 1];
      if (begin < 0 || end < begin || end > total) {
        throw std::invalid_argument("offsets[" + std::to_string(i) + "] do not lie in links");
      }
      return {links.data() + begin, weights + begin, static_cast<size_t>(end - begin)};
    };
    for (size_t i = 0; i < delay.size(); ++i) {
      if (i + AHEAD < delay.size()) model.announce_connection(route(i + AHEAD));
      model.add_connection(route(i), delay.data()[i], draws.data()[i] != 0);
    }
    return checked(PyLong_FromSize_t(first));
  });
}

PyObject* post(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 2);
    Model& model = model_of(self);
    if (!PyObject_TypeCheck(args[0], program_type)) {
      PyErr_SetString(PyExc_TypeError, "post() needs a Program");
      throw PythonError();
    }
    const auto& program = program_of(args[0]);
    if (program->connections > model.num_connections()) {
      throw std::invalid_argument("the program has connections of another model");
    }
    if (program->network_ranks > model.num_ranks()) {
      throw std::invalid_argument("the program has ranks of another model");
    }
    int64_t& bytes = reinterpret_cast<ModelObject*>(self)->bytes;
    if (program->bytes > MOST_BYTES - bytes) {
      throw std::invalid_argument("the program brings the model's bytes over 2^62");
    }
    const uint32_t number = model.post(program, to_double(args[1], "time"));
    bytes += program->bytes;
    return checked(PyLong_FromUnsignedLong(number));
  });
}

PyObject* arrive(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 3);
    model_of(self).arrive(to_index(args[0], "job"), to_index(args[1], "place"),
                          to_double(args[2], "time"));
    return none();
  });
}

PyObject* forget(PyObject* self, PyObject* number) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    model_of(self).forget(to_index(number, "job"));
    return none();
  });
}

// kept() → jobs that are not forgotten
PyObject* kept(PyObject* self, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    return checked(PyLong_FromSize_t(model_of(self).num_kept()));
  });
}

PyObject* next_time(PyObject* self, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    return checked(PyFloat_FromDouble(model_of(self).next_time()));
  });
}

// advance(time, horizon) → (when it stopped, [job, place, job, place, …])
PyObject* advance(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 2);
    const double time = to_double(args[0], "time"), horizon = to_double(args[1], "horizon");
    Model& model = model_of(self);
    if (!(std::isfinite(time) && time >= model.now())) {
      throw std::invalid_argument("an instant that has passed or is no time: " +
                                  std::to_string(time));
    }
    Advancing advancing(self);
    const auto& departures = model.advance(time, horizon);
    advancing.done();
    const Ref list(checked(PyList_New(static_cast<Py_ssize_t>(2 * departures.size()))));
    for (size_t i = 0; i < departures.size(); ++i) {
      const Py_ssize_t at = static_cast<Py_ssize_t>(2 * i);
      PyList_SetItem(list.get(), at, checked(PyLong_FromUnsignedLong(departures[i].job)));
      PyList_SetItem(list.get(), at + 1, checked(PyLong_FromUnsignedLong(departures[i].place)));
    }
    return checked(Py_BuildValue("dO", model.now(), list.get()));
  });
}

// carried(time, links): adds to an int64 array
PyObject* carried(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 2);
    Model& model = model_of(self);
    Array<int64_t> links(args[1], "links", true);
    links.expect(model.num_links(), "links");
    model.carried(to_double(args[0], "time"), links.writable());
    return none();
  });
}

// times(job, start, end): fills float64 arrays
PyObject* times(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 3);
    const Job& job = model_of(self).job(to_index(args[0], "job"));
    Array<double> start(args[1], "start", true), end(args[2], "end", true);
    const size_t total = job.progress.size();
    start.expect(total, "start");
    end.expect(total, "end");
    for (size_t i = 0; i < total; ++i) {
      start.writable()[i] = job.progress[i].start;
      end.writable()[i] = job.progress[i].end;
    }
    return none();
  });
}

// retransmitted(job, bytes): fills an int64 array
PyObject* retransmitted(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 2);
    const Job& job = model_of(self).job(to_index(args[0], "job"));
    Array<int64_t> bytes(args[1], "bytes", true);
    bytes.expect(job.progress.size(), "bytes");
    if (job.again.empty()) {
      std::fill_n(bytes.writable(), bytes.size(), 0);
    } else {
      std::copy(job.again.begin(), job.again.end(), bytes.writable());
    }
    return none();
  });
}

// arrived(job) → bytes, one a place
PyObject* arrived(PyObject* self, PyObject* number) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    const Job& job = model_of(self).job(to_index(number, "job"));
    return checked(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(job.arrived.data()),
                                             static_cast<Py_ssize_t>(job.arrived.size())));
  });
}

// rates() → [(links, flows, rate), …] of the routes in use
PyObject* rates(PyObject* self, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    const Fair& fair = model_of(self).fair();
    const Ref list(checked(PyList_New(0)));
    for (const Fair::Active& one : fair.active()) {
      const Py_ssize_t hops = static_cast<Py_ssize_t>(fair.routes().hops(one.route));
      const Ref links(checked(PyTuple_New(hops)));
      for (Py_ssize_t hop = 0; hop < hops; ++hop) {
        const uint32_t link = fair.routes().at(one.route)[hop].link;
        PyTuple_SetItem(links.get(), hop, checked(PyLong_FromUnsignedLong(link)));
      }
      const Ref item(checked(Py_BuildValue("OId", links.get(), one.count, one.rate)));
      if (PyList_Append(list.get(), item.get()) < 0) throw PythonError();
    }
    Py_INCREF(list.get());
    return list.get();
  });
}

// work() → (repairs of levels, links looked at for them, fillings)
PyObject* work(PyObject* self, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    const Fair& fair = model_of(self).fair();
    return checked(Py_BuildValue("KKK", static_cast<unsigned long long>(fair.repairs),
                                 static_cast<unsigned long long>(fair.looks),
                                 static_cast<unsigned long long>(fair.fillings)));
  });
}

PyMethodDef model_methods[] = {
    {"add_connections", method(add_connections), METH_FASTCALL, nullptr},
    {"post", method(post), METH_FASTCALL, nullptr},
    {"arrive", method(arrive), METH_FASTCALL, nullptr},
    {"forget", forget, METH_O, nullptr},
    {"kept", kept, METH_NOARGS, nullptr},
    {"next_time", next_time, METH_NOARGS, nullptr},
    {"advance", method(advance), METH_FASTCALL, nullptr},
    {"carried", method(carried), METH_FASTCALL, nullptr},
    {"times", method(times), METH_FASTCALL, nullptr},
    {"retransmitted", method(retransmitted), METH_FASTCALL, nullptr},
    {"arrived", arrived, METH_O, nullptr},
    {"rates", rates, METH_NOARGS, nullptr},
    {"work", work, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot model_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(model_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(model_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(model_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(model_clear)},
    {Py_tp_methods, model_methods},
    {Py_tp_doc, const_cast<char*>("The event loop; see simnet.engine.kernel.")},
    {0, nullptr},
};

PyType_Spec spec = {"simnet.engine._kernel.core.Model", sizeof(ModelObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, model_slots};

}  // namespace

void add_model(PyObject* module) { add_type(module, "Model", spec); }

}  // namespace simnet
