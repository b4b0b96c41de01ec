#include "outside.hpp"

namespace simnet {
namespace {

// (first, second) of a tuple; what else it may be is named.
template <class First, class Second>
void unpack(PyObject* pair, const char* format, const char* name, First* first, Second* second) {
  if (!PyTuple_Check(pair)) throw std::invalid_argument(std::string(name) + " is no tuple");
  if (!PyArg_ParseTuple(pair, format, first, second)) refuse_number(name);
}

Round to_round(PyObject* pair) {
  Round round{};
  long long size = 0;
  unpack(pair, "dL", "a round", &round.wait, &size);
  if (!(round.wait >= 0.0 && round.wait < INF) || size < 0) {
    throw std::invalid_argument("a round waits " + std::to_string(round.wait) + " s and sends " +
                                std::to_string(size) + " bytes");
  }
  round.size = size;
  return round;
}

double ask_draw(PyObject* draw, uint32_t connection, int64_t size, std::vector<Round>& rounds) {
  const Ref answer(checked(
      PyObject_CallFunction(draw, "IL", connection, static_cast<long long>(size))));
  double delay = 0.0;
  PyObject* listed = nullptr;
  unpack(answer.get(), "dO", "what draw() returned", &delay, &listed);
  if (!(delay >= 0.0 && delay < INF)) throw std::invalid_argument("drawn delay is no time");
  const Py_ssize_t count = PySequence_Size(listed);
  if (count < 0) throw PythonError();
  int64_t left = MOST_BYTES;
  for (Py_ssize_t i = 0; i < count; ++i) {
    const Ref item(checked(PySequence_GetItem(listed, i)));
    rounds.push_back(to_round(item.get()));
    if (rounds.back().size > left) throw std::invalid_argument("a message of over 2^62 bytes");
    left -= rounds.back().size;
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
