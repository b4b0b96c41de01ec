// The Python side: `Program` and `Model`, arrays in and arrays out.
#include "buffers.hpp"

#include <memory>
#include <new>

#include "model.hpp"

namespace simnet {
namespace {

// Run `body`, turning what it throws into a Python exception; `failed` is what is returned then.
template <class Result, class Body>
Result guarded(Result failed, Body body) {
  try {
    return body();
  } catch (const PythonError&) {
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return failed;
}

PyObject* checked(PyObject* object) {
  if (!object) throw PythonError();
  return object;
}

// Owns a reference.
class Ref {
 public:
  explicit Ref(PyObject* object) : object_(object) {}
  ~Ref() { Py_XDECREF(object_); }
  Ref(const Ref&) = delete;
  Ref& operator=(const Ref&) = delete;
  PyObject* get() const { return object_; }

 private:
  PyObject* object_;
};

double to_double(PyObject* object) {
  const double value = PyFloat_AsDouble(object);
  if (value == -1.0 && PyErr_Occurred()) throw PythonError();
  return value;
}

uint32_t to_index(PyObject* object, const char* name) {
  const long long value = PyLong_AsLongLong(object);
  if (value == -1 && PyErr_Occurred()) throw PythonError();
  if (value < 0 || value >= static_cast<long long>(NONE)) {
    throw std::invalid_argument(std::string(name) + " is " + std::to_string(value));
  }
  return static_cast<uint32_t>(value);
}

void expect_args(Py_ssize_t given, Py_ssize_t needed) {
  if (given != needed) {
    PyErr_Format(PyExc_TypeError, "needs %zd arguments, not %zd", needed, given);
    throw PythonError();
  }
}

// Objects

struct ProgramObject {
  PyObject_HEAD
  std::shared_ptr<const Program>* program;
};

struct ModelObject {
  PyObject_HEAD
  Model* model;
  PyObject* draw;
  PyObject* rank;
};

PyTypeObject* program_type = nullptr;

void program_dealloc(PyObject* self) {
  delete reinterpret_cast<ProgramObject*>(self)->program;
  PyTypeObject* type = Py_TYPE(self);
  reinterpret_cast<freefunc>(PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

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
  PyTypeObject* type = Py_TYPE(self);
  reinterpret_cast<freefunc>(PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

Model& model_of(PyObject* self) {
  Model* model = reinterpret_cast<ModelObject*>(self)->model;
  if (!model) throw std::invalid_argument("the model was not initialised");
  return *model;
}

// What the model asks of Python

double ask_draw(PyObject* draw, uint32_t connection, int64_t size, std::vector<Round>& rounds) {
  const Ref answer(checked(
      PyObject_CallFunction(draw, "IL", connection, static_cast<long long>(size))));
  double delay = 0.0;
  PyObject* listed = nullptr;
  if (!PyArg_ParseTuple(answer.get(), "dO", &delay, &listed)) throw PythonError();
  if (!(delay >= 0.0 && delay < INF)) throw std::invalid_argument("drawn delay is no time");
  const Py_ssize_t count = PySequence_Size(listed);
  if (count < 0) throw PythonError();
  for (Py_ssize_t i = 0; i < count; ++i) {
    const Ref item(checked(PySequence_GetItem(listed, i)));
    const Ref wait(checked(PySequence_GetItem(item.get(), 0)));
    const Ref bytes(checked(PySequence_GetItem(item.get(), 1)));
    const long long size_of = PyLong_AsLongLong(bytes.get());
    if (size_of == -1 && PyErr_Occurred()) throw PythonError();
    rounds.push_back({to_double(wait.get()), size_of});
    if (size_of < 0 || !(rounds.back().wait >= 0.0)) {
      throw std::invalid_argument("a round waits or sends less than nothing");
    }
  }
  if (rounds.empty()) throw std::invalid_argument("a message without rounds");
  return delay;
}

void ask_rank(PyObject* rank, const std::vector<uint32_t>& jobs, std::vector<uint32_t>& places) {
  const Ref list(checked(PyList_New(static_cast<Py_ssize_t>(jobs.size()))));
  for (size_t i = 0; i < jobs.size(); ++i) {
    PyList_SetItem(list.get(), static_cast<Py_ssize_t>(i), checked(PyLong_FromUnsignedLong(jobs[i])));
  }
  const Ref answer(checked(PyObject_CallFunctionObjArgs(rank, list.get(), nullptr)));
  if (PySequence_Size(answer.get()) != static_cast<Py_ssize_t>(jobs.size())) {
    PyErr_Clear();
    throw std::invalid_argument("rank() returned no place for each job");
  }
  for (size_t i = 0; i < jobs.size(); ++i) {
    const Ref place(checked(PySequence_GetItem(answer.get(), static_cast<Py_ssize_t>(i))));
    places[i] = to_index(place.get(), "place");
  }
}

// Program(ranks, src, dst, connection, size, reduces, dep_offsets, deps, release, in_flight,
//         network_ranks, connections)
PyObject* program_new(PyTypeObject* type, PyObject* args, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject *ranks, *src, *dst, *connection, *size, *reduces, *offsets, *deps, *release;
    long long in_flight, network_ranks, connections;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOLLL", &ranks, &src, &dst, &connection, &size, &reduces,
                          &offsets, &deps, &release, &in_flight, &network_ranks, &connections)) {
      throw PythonError();
    }
    const Array<int64_t> ranks_of(ranks, "ranks"), src_of(src, "src"), dst_of(dst, "dst"),
        connection_of(connection, "connection"), size_of(size, "size"),
        offsets_of(offsets, "dep_offsets"), deps_of(deps, "deps");
    const Array<uint8_t> reduces_of(reduces, "reduces");
    const size_t total = size_of.size();
    src_of.expect(total, "src");
    dst_of.expect(total, "dst");
    connection_of.expect(total, "connection");
    reduces_of.expect(total, "reduces");
    offsets_of.expect(total + 1, "dep_offsets");
    std::unique_ptr<Array<double>> release_of;
    if (release != Py_None) {
      release_of = std::make_unique<Array<double>>(release, "release");
      release_of->expect(total, "release");
    }
    if (network_ranks < 0 || connections < 0) throw std::invalid_argument("a negative count");
    ProgramColumns columns{total,
                           ranks_of.size(),
                           deps_of.size(),
                           ranks_of.data(),
                           src_of.data(),
                           dst_of.data(),
                           connection_of.data(),
                           size_of.data(),
                           reduces_of.data(),
                           offsets_of.data(),
                           deps_of.data(),
                           release_of ? release_of->data() : nullptr,
                           in_flight};
    auto program = std::make_shared<const Program>(make_program(
        columns, static_cast<size_t>(network_ranks), static_cast<size_t>(connections)));
    PyObject* self =
        checked(reinterpret_cast<allocfunc>(PyType_GetSlot(type, Py_tp_alloc))(type, 0));
    reinterpret_cast<ProgramObject*>(self)->program =
        new std::shared_ptr<const Program>(std::move(program));
    return self;
  });
}

// Model(capacity, num_links, num_ranks, draw, rank)
PyObject* model_new(PyTypeObject* type, PyObject* args, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject *capacity, *draw, *rank;
    long long num_links, num_ranks;
    if (!PyArg_ParseTuple(args, "OLLOO", &capacity, &num_links, &num_ranks, &draw, &rank)) {
      throw PythonError();
    }
    if (num_links < 0 || num_ranks < 0) throw std::invalid_argument("a negative count");
    const Array<double> capacity_of(capacity, "capacity");
    Outside outside;
    outside.draw = [draw](uint32_t connection, int64_t size, std::vector<Round>& rounds) {
      return ask_draw(draw, connection, size, rounds);
    };
    outside.rank = [rank](const std::vector<uint32_t>& jobs, std::vector<uint32_t>& places) {
      ask_rank(rank, jobs, places);
    };
    auto model = std::make_unique<Model>(
        std::vector<double>(capacity_of.data(), capacity_of.data() + capacity_of.size()),
        static_cast<size_t>(num_links), static_cast<size_t>(num_ranks), std::move(outside));
    PyObject* self =
        checked(reinterpret_cast<allocfunc>(PyType_GetSlot(type, Py_tp_alloc))(type, 0));
    ModelObject* object = reinterpret_cast<ModelObject*>(self);
    object->model = model.release();
    Py_INCREF(draw);
    Py_INCREF(rank);
    object->draw = draw;
    object->rank = rank;
    return self;
  });
}

// add_connections(offsets, links, delay, draws) → number of the first
PyObject* add_connections(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 4);
    Model& model = model_of(self);
    const Array<int64_t> offsets(args[0], "offsets"), links(args[1], "links");
    const Array<double> delay(args[2], "delay");
    const Array<uint8_t> draws(args[3], "draws");
    offsets.expect(delay.size() + 1, "offsets");
    draws.expect(delay.size(), "draws");
    const int64_t total = static_cast<int64_t>(links.size());
    const size_t first = model.num_connections();
    for (size_t i = 0; i < delay.size(); ++i) {
      const int64_t begin = offsets.data()[i], end = offsets.data()[i + 1];
      if (begin < 0 || end < begin || end > total) {
        throw std::invalid_argument("offsets[" + std::to_string(i) + "] do not lie in links");
      }
      model.add_connection(links.data() + begin, static_cast<size_t>(end - begin),
                           delay.data()[i], draws.data()[i] != 0);
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
    const auto& program = *reinterpret_cast<ProgramObject*>(args[0])->program;
    for (const uint32_t connection : program->connection) {
      if (connection != NONE && connection >= model.num_connections()) {
        throw std::invalid_argument("the program has connections of another model");
      }
    }
    for (const uint32_t rank : program->ranks) {
      if (rank >= model.num_ranks()) {
        throw std::invalid_argument("the program has ranks of another model");
      }
    }
    return checked(PyLong_FromUnsignedLong(model.post(program, to_double(args[1]))));
  });
}

PyObject* arrive(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 3);
    model_of(self).arrive(to_index(args[0], "job"), to_index(args[1], "place"),
                          to_double(args[2]));
    Py_INCREF(Py_None);
    return Py_None;
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
    Model& model = model_of(self);
    const auto& departures = model.advance(to_double(args[0]), to_double(args[1]));
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
    model.carried(to_double(args[0]), links.writable());
    Py_INCREF(Py_None);
    return Py_None;
  });
}

// times(job, start, end): fills float64 arrays
PyObject* times(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 3);
    const Job& job = model_of(self).job(to_index(args[0], "job"));
    Array<double> start(args[1], "start", true), end(args[2], "end", true);
    start.expect(job.start.size(), "start");
    end.expect(job.end.size(), "end");
    std::copy(job.start.begin(), job.start.end(), start.writable());
    std::copy(job.end.begin(), job.end.end(), end.writable());
    Py_INCREF(Py_None);
    return Py_None;
  });
}

// retransmitted(job, bytes): fills an int64 array
PyObject* retransmitted(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 2);
    const Job& job = model_of(self).job(to_index(args[0], "job"));
    Array<int64_t> bytes(args[1], "bytes", true);
    bytes.expect(job.start.size(), "bytes");
    if (job.again.empty()) {
      std::fill_n(bytes.writable(), bytes.size(), 0);
    } else {
      std::copy(job.again.begin(), job.again.end(), bytes.writable());
    }
    Py_INCREF(Py_None);
    return Py_None;
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
      const Py_ssize_t hops = static_cast<Py_ssize_t>(fair.hops(one.route));
      const Ref links(checked(PyTuple_New(hops)));
      for (Py_ssize_t hop = 0; hop < hops; ++hop) {
        const uint32_t link = fair.links(one.route)[hop];
        PyTuple_SetItem(links.get(), hop, checked(PyLong_FromUnsignedLong(link)));
      }
      const Ref item(checked(Py_BuildValue("OId", links.get(), one.count, one.rate)));
      if (PyList_Append(list.get(), item.get()) < 0) throw PythonError();
    }
    Py_INCREF(list.get());
    return list.get();
  });
}

// work() → (solves, rounds of expansion, classes solved for)
PyObject* work(PyObject* self, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    const Fair& fair = model_of(self).fair();
    return checked(Py_BuildValue("KKK", static_cast<unsigned long long>(fair.solves),
                                 static_cast<unsigned long long>(fair.expansions),
                                 static_cast<unsigned long long>(fair.solved_classes)));
  });
}

// METH_FASTCALL functions are handed over under the type of all others.
template <class Function>
PyCFunction method(Function function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef model_methods[] = {
    {"add_connections", method(add_connections), METH_FASTCALL, nullptr},
    {"post", method(post), METH_FASTCALL, nullptr},
    {"arrive", method(arrive), METH_FASTCALL, nullptr},
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

PyType_Slot program_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(program_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(program_dealloc)},
    {Py_tp_doc, const_cast<char*>("A piece of work as arrays; see simnet.engine.kernel.")},
    {0, nullptr},
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

PyType_Spec program_spec = {"simnet.engine._kernel.core.Program", sizeof(ProgramObject), 0,
                            Py_TPFLAGS_DEFAULT, program_slots};
PyType_Spec model_spec = {"simnet.engine._kernel.core.Model", sizeof(ModelObject), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, model_slots};

PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "simnet.engine._kernel.core",
                          "The compiled kernel.",
                          -1,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr};

bool add_type(PyObject* module, const char* name, PyObject* type) {
  if (!type) return false;
  Py_INCREF(type);
  if (PyModule_AddObject(module, name, type) < 0) {
    Py_DECREF(type);
    return false;
  }
  return true;
}

}  // namespace
}  // namespace simnet

PyMODINIT_FUNC PyInit_core() {
  using namespace simnet;
  PyObject* module = PyModule_Create(&definition);
  if (!module) return nullptr;
  PyObject* programs = PyType_FromSpec(&program_spec);
  program_type = reinterpret_cast<PyTypeObject*>(programs);
  if (!add_type(module, "Program", programs) ||
      !add_type(module, "Model", PyType_FromSpec(&model_spec))) {
    Py_DECREF(module);
    return nullptr;
  }
  return module;
}
