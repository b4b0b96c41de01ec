// `Program` as a Python object.
#pragma once

#include "python.hpp"

#include <memory>

#include "program.hpp"

namespace simnet {

struct ProgramObject {
  PyObject_HEAD
  std::shared_ptr<const Program>* program;
  int64_t bytes;  // of all transfers
};

extern PyTypeObject* program_type;

}  // namespace simnet
