// `Program` as a Python object.
#include "program_binding.hpp"

namespace simnet {

PyTypeObject* program_type = nullptr;

namespace {

void program_dealloc(PyObject* self) {
  delete reinterpret_cast<ProgramObject*>(self)->program;
  free_object(self);
}

int64_t sum_bytes(const Array<int64_t>& sizes) {
  int64_t sum = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes.data()[i] > MOST_BYTES - sum) {
      throw std::invalid_argument("transfer " + std::to_string(i) + " brings the bytes over 2^62");
    }
    sum += sizes.data()[i];
  }
  return sum;
}

// Program(ranks, src, dst, connection, size, reduces, dep_offsets, deps, release, in_flight,
//         network_ranks, connections)
PyObject* program_new(PyTypeObject* type, PyObject* args, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject *ranks, *src, *dst, *connection, *size, *reduces, *offsets, *deps, *release;
    PyObject *in_flight, *network_ranks, *connections;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOOO", &ranks, &src, &dst, &connection, &size, &reduces,
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
                           to_index(in_flight, "in_flight")};
    auto program = std::make_shared<const Program>(
        make_program(columns, to_index(network_ranks, "network_ranks"),
                     to_index(connections, "connections")));
    const int64_t bytes = sum_bytes(size_of);
    PyObject* self = allocate(type);
    reinterpret_cast<ProgramObject*>(self)->bytes = bytes;
    reinterpret_cast<ProgramObject*>(self)->program =
        new std::shared_ptr<const Program>(std::move(program));
    return self;
  });
}

PyType_Slot program_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(program_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(program_dealloc)},
    {Py_tp_doc, const_cast<char*>("A piece of work as arrays; see simnet.engine.kernel.")},
    {0, nullptr},
};

PyType_Spec spec = {"simnet.engine._kernel.core.Program", sizeof(ProgramObject), 0,
                    Py_TPFLAGS_DEFAULT, program_slots};

}  // namespace

void add_program(PyObject* module) {
  program_type = add_type(module, "Program", spec);
  Py_INCREF(reinterpret_cast<PyObject*>(program_type));  // `post` asks for it at any time
}

}  // namespace simnet
