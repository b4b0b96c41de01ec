#include "outside.hpp"

namespace simnet {
namespace {

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

}  // namespace

Outside ask_python(PyObject* draw, PyObject* rank) {
  Outside outside;
  outside.draw = [draw](uint32_t connection, int64_t size, std::vector<Round>& rounds) {
    return ask_draw(draw, connection, size, rounds);
  };
  outside.rank = [rank](const std::vector<uint32_t>& jobs, std::vector<uint32_t>& places) {
    ask_rank(rank, jobs, places);
  };
  return outside;
}

}  // namespace simnet
