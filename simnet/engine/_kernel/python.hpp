// What every binding needs: exceptions across the border, references, arguments, registration.
//
// A new native function or object gets a file of its own that defines one `add_…` function,
// declared at the end here and called in module.cpp.
#pragma once

#include "buffers.hpp"

#include <cstdint>
#include <exception>
#include <new>

#include "heap.hpp"

namespace simnet {

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

inline PyObject* checked(PyObject* object) {
  if (!object) throw PythonError();
  return object;
}

inline PyObject* none() {
  Py_INCREF(Py_None);
  return Py_None;
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

// Leave a failed conversion: a number that is too large is a wrong value like any other.
[[noreturn]] inline void refuse_number(const char* name) {
  if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
    PyErr_Clear();
    throw std::invalid_argument(std::string(name) + " is out of range");
  }
  throw PythonError();
}

inline double to_double(PyObject* object, const char* name) {
  const double value = PyFloat_AsDouble(object);
  if (value == -1.0 && PyErr_Occurred()) refuse_number(name);
  return value;
}

inline int64_t to_int64(PyObject* object, const char* name) {
  const long long value = PyLong_AsLongLong(object);
  if (value == -1 && PyErr_Occurred()) refuse_number(name);
  return value;
}

// A number of things that are counted in 32 bits.
inline uint32_t to_index(PyObject* object, const char* name) {
  const int64_t value = to_int64(object, name);
  if (value < 0 || value >= static_cast<int64_t>(NONE)) {
    throw std::invalid_argument(std::string(name) + " is " + std::to_string(value));
  }
  return static_cast<uint32_t>(value);
}

inline void expect_args(Py_ssize_t given, Py_ssize_t needed) {
  if (given != needed) {
    PyErr_Format(PyExc_TypeError, "needs %zd arguments, not %zd", needed, given);
    throw PythonError();
  }
}

// METH_FASTCALL functions are handed over under the type of all others.
template <class Function>
PyCFunction method(Function function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

// A new object of a type made from a spec, all zero behind its head.
inline PyObject* allocate(PyTypeObject* type) {
  return checked(reinterpret_cast<allocfunc>(PyType_GetSlot(type, Py_tp_alloc))(type, 0));
}

// Give back the memory of such an object.
inline void free_object(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  reinterpret_cast<freefunc>(PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

// Make a type part of the module; PythonError where that fails.
inline PyTypeObject* add_type(PyObject* module, const char* name, PyType_Spec& spec) {
  const Ref type(checked(PyType_FromSpec(&spec)));
  if (PyModule_AddObjectRef(module, name, type.get()) < 0) throw PythonError();
  return reinterpret_cast<PyTypeObject*>(type.get());
}

// What the module offers, one file each.
void add_numbering(PyObject* module);
void add_program(PyObject* module);
void add_model(PyObject* module);
void add_max_plus(PyObject* module);
void add_many(PyObject* module);

}  // namespace simnet
