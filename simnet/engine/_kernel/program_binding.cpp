// `Program` as a Python object.
#include "program_binding.hpp"

namespace simnet {

PyTypeObject* program_type = nullptr;

namespace {

ProgramObject& object_of(PyObject* self) { return *reinterpret_cast<ProgramObject*>(self); }

void program_dealloc(PyObject* self) {
  delete object_of(self).builder;
  delete object_of(self).program;
  free_object(self);
}

// src, dst, connection, size, reduces, dep_offsets, deps: the columns of a block.
class Columns {
 public:
  static constexpr Py_ssize_t COUNT = 7;

  explicit Columns(PyObject* const* args)
      : src_(args[0], "src"),
        dst_(args[1], "dst"),
        connection_(args[2], "connection"),
        size_(args[3], "size"),
        reduces_(args[4], "reduces"),
        offsets_(args[5], "dep_offsets"),
        deps_(args[6], "deps") {
    const size_t count = src_.size();
    dst_.expect(count, "dst");
    connection_.expect(count, "connection");
    reduces_.expect(count, "reduces");
    offsets_.expect(count + 1, "dep_offsets");
  }

  ProgramBlock block(size_t times) const {
    return {src_.size(),    times,          size_.size(),       deps_.size(),
            src_.data(),    dst_.data(),    connection_.data(), size_.data(),
            reduces_.data(), offsets_.data(), deps_.data()};
  }

 private:
  Array<int64_t> src_, dst_, connection_, size_;
  Array<uint8_t> reduces_;
  Array<int64_t> offsets_, deps_;
};

std::vector<uint32_t> to_ranks(const Array<int64_t>& ranks) {
  for (size_t place = 0; place < ranks.size(); ++place) {
    const int64_t rank = ranks.data()[place];
    if (rank < 0 || rank >= static_cast<int64_t>(NONE)) {
      throw std::invalid_argument("rank " + std::to_string(rank) + " is not one of the network's");
    }
  }
  return std::vector<uint32_t>(ranks.data(), ranks.data() + ranks.size());
}

// Program(ranks, in_flight, network_ranks), empty at first
PyObject* program_new(PyTypeObject* type, PyObject* args, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject *ranks, *in_flight, *network_ranks;
    if (!PyArg_ParseTuple(args, "OOO", &ranks, &in_flight, &network_ranks)) throw PythonError();
    auto builder = std::make_unique<ProgramBuilder>(
        to_ranks({ranks, "ranks"}), to_index(network_ranks, "network_ranks"),
        to_index(in_flight, "in_flight"));
    PyObject* self = allocate(type);
    object_of(self).builder = builder.release();
    return self;
  });
}

ProgramBuilder& builder_of(PyObject* self) {
  if (!object_of(self).builder) throw std::invalid_argument("the program is in use already");
  return *object_of(self).builder;
}

// expect(transfers): make room
PyObject* expect(PyObject* self, PyObject* transfers) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    builder_of(self).expect(to_index(transfers, "transfers"));
    return none();
  });
}

// add(*columns, times, connections): append a block, so many times
PyObject* add(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, Columns::COUNT + 2);
    const Columns columns(args);
    const size_t times = to_index(args[Columns::COUNT], "times");
    builder_of(self).add(columns.block(times), to_index(args[Columns::COUNT + 1], "connections"));
    return none();
  });
}

// release(after): let transfers start at these times after posting at the earliest
PyObject* release(PyObject* self, PyObject* times) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    const Array<double> after(times, "release");
    builder_of(self).release(after.data(), after.size());
    return none();
  });
}

PyMethodDef program_methods[] = {
    {"expect", expect, METH_O, nullptr},
    {"add", method(add), METH_FASTCALL, nullptr},
    {"release", release, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot program_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(program_new)},
    {Py_tp_methods, program_methods},
    {Py_tp_dealloc, reinterpret_cast<void*>(program_dealloc)},
    {Py_tp_doc, const_cast<char*>("A piece of work as arrays; see simnet.engine.kernel.")},
    {0, nullptr},
};

PyType_Spec spec = {"simnet.engine._kernel.core.Program", sizeof(ProgramObject), 0,
                    Py_TPFLAGS_DEFAULT, program_slots};

}  // namespace

const std::shared_ptr<const Program>& program_of(PyObject* self) {
  ProgramObject& object = object_of(self);
  if (!object.program) {
    object.program = new std::shared_ptr<const Program>(builder_of(self).finish());
    delete object.builder;
    object.builder = nullptr;
  }
  return *object.program;
}

void add_program(PyObject* module) {
  program_type = add_type(module, "Program", spec);
  Py_INCREF(reinterpret_cast<PyObject*>(program_type));  // `post` asks for it at any time
}

}  // namespace simnet
