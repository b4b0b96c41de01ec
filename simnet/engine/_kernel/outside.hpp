// What the model asks of Python.
#pragma once

#include "python.hpp"

#include "model.hpp"

namespace simnet {

// Calls draw(connection, size) → (delay, [(wait, bytes), …]) and rank([job, …]) → [place, …].
Outside ask_python(PyObject* draw, PyObject* rank);

}  // namespace simnet
