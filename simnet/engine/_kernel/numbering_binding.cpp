// `Numbering` as a Python object.
#include "python.hpp"

#include <memory>
#include <vector>

#include "numbering.hpp"

namespace simnet {

namespace {

struct NumberingObject {
  PyObject_HEAD
  Numbering* numbering;
};

Numbering& numbering_of(PyObject* self) {
  return *reinterpret_cast<NumberingObject*>(self)->numbering;
}

void numbering_dealloc(PyObject* self) {
  delete reinterpret_cast<NumberingObject*>(self)->numbering;
  free_object(self);
}

// Numbering(num_sources)
PyObject* numbering_new(PyTypeObject* type, PyObject* args, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject* sources;
    if (!PyArg_ParseTuple(args, "O", &sources)) throw PythonError();
    auto numbering = std::make_unique<Numbering>(to_index(sources, "num_sources"));
    PyObject* self = allocate(type);
    reinterpret_cast<NumberingObject*>(self)->numbering = numbering.release();
    return self;
  });
}

void check(const Array<int64_t>& src, const Array<int64_t>& dst, const Array<int64_t>& channel,
           size_t ranks) {
  const auto outside = [&](int64_t rank) { return static_cast<uint64_t>(rank) >= ranks; };
  for (size_t i = 0; i < src.size(); ++i) {
    if (outside(src.data()[i]) || outside(dst.data()[i])) {
      throw std::invalid_argument("transfer " + std::to_string(i) +
                                  " is between ranks that there are not");
    }
    if (channel.data()[i] < 0) {
      throw std::invalid_argument("transfer " + std::to_string(i) + " has a negative channel");
    }
  }
}

// numbers(src, dst, channel, numbers) → int64 bytes: which entries are the first of a connection
//
// Fills `numbers`; −1 from a rank to itself.
PyObject* numbers(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 4);
    Numbering& numbering = numbering_of(self);
    const Array<int64_t> src(args[0], "src"), dst(args[1], "dst"), channel(args[2], "channel");
    Array<int64_t> numbers(args[3], "numbers", true);
    dst.expect(src.size(), "dst");
    channel.expect(src.size(), "channel");
    numbers.expect(src.size(), "numbers");
    check(src, dst, channel, numbering.sources());
    std::vector<int64_t> first;
    for (size_t i = 0; i < src.size(); ++i) {
      if (src.data()[i] == dst.data()[i]) {
        numbers.writable()[i] = -1;
        continue;
      }
      const uint32_t before = numbering.count();
      numbers.writable()[i] =
          numbering.number(static_cast<uint32_t>(src.data()[i]),
                           static_cast<uint32_t>(dst.data()[i]), channel.data()[i]);
      if (numbering.count() != before) first.push_back(static_cast<int64_t>(i));
    }
    return checked(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(first.data()),
                                             static_cast<Py_ssize_t>(8 * first.size())));
  });
}

// count() → how many connections there are
PyObject* count(PyObject* self, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    return checked(PyLong_FromUnsignedLong(numbering_of(self).count()));
  });
}

PyMethodDef methods[] = {
    {"numbers", method(numbers), METH_FASTCALL, nullptr},
    {"count", count, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(numbering_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(numbering_dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("Connections as numbers; see simnet.engine.kernel.")},
    {0, nullptr},
};

PyType_Spec spec = {"simnet.engine._kernel.core.Numbering", sizeof(NumberingObject), 0,
                    Py_TPFLAGS_DEFAULT, slots};

}  // namespace

void add_numbering(PyObject* module) { add_type(module, "Numbering", spec); }

}  // namespace simnet
