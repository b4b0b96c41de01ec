// `Program` as a Python object.
#pragma once

#include "python.hpp"

#include <memory>

#include "program.hpp"

namespace simnet {

struct ProgramObject {
  PyObject_HEAD
  ProgramBuilder* builder;  // until it is first used
  std::shared_ptr<const Program>* program;
};

// A program that is used, and from now on complete.
const std::shared_ptr<const Program>& program_of(PyObject* self);

extern PyTypeObject* program_type;

}  // namespace simnet
