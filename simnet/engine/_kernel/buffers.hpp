// One-dimensional arrays from Python, checked, over the buffer protocol.
#pragma once

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstring>
#include <stdexcept>
#include <string>

namespace simnet {

// A Python exception is set already.
struct PythonError {};

inline const char* formats_of(const int64_t*) { return "lq"; }
inline const char* formats_of(const double*) { return "d"; }
inline const char* formats_of(const uint8_t*) { return "B?"; }

// A contiguous array of T for as long as this lives.
template <class T>
class Array {
 public:
  Array(PyObject* object, const char* name, bool writable = false) {
    const int flags = PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, &view_, flags) < 0) {
      // A wrong argument is a ValueError here, whatever the exporter calls it.
      PyErr_Clear();
      throw std::invalid_argument(std::string(name) + " is not a contiguous array" +
                                  (writable ? " that can be written" : ""));
    }
    const char* format = view_.format ? view_.format : "B";
    while (*format == '@' || *format == '=' || *format == '<') ++format;
    const bool known = *format && !format[1] && std::strchr(formats_of(data()), *format);
    if (view_.ndim != 1 || view_.itemsize != sizeof(T) || !known) {
      const std::string given = view_.format ? view_.format : "";
      const int ndim = view_.ndim;
      PyBuffer_Release(&view_);
      throw std::invalid_argument(std::string(name) + " has format '" + given + "' and " +
                                  std::to_string(ndim) + " dimensions; needs one of '" +
                                  formats_of(static_cast<const T*>(nullptr)) + "', one dimension");
    }
  }
  ~Array() { PyBuffer_Release(&view_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  const T* data() const { return static_cast<const T*>(view_.buf); }
  T* writable() { return static_cast<T*>(view_.buf); }
  size_t size() const { return static_cast<size_t>(view_.len) / sizeof(T); }

  void expect(size_t count, const char* name) const {
    if (size() != count) {
      throw std::invalid_argument(std::string(name) + " has " + std::to_string(size()) +
                                  " entries; needs " + std::to_string(count));
    }
  }

 private:
  Py_buffer view_;
};

}  // namespace simnet
