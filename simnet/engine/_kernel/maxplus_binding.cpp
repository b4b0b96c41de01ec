// `MaxPlus` as a Python object.
#include "python.hpp"

#include <memory>

#include "maxplus.hpp"

namespace simnet {

namespace {

// The pass with the arrays it fills.
struct Pass {
  std::unique_ptr<Array<double>> start;
  Array<double> end;
  MaxPlus core;
};

struct PassObject {
  PyObject_HEAD
  Pass* pass;
};

Pass& pass_of(PyObject* self) { return *reinterpret_cast<PassObject*>(self)->pass; }

void pass_dealloc(PyObject* self) {
  delete reinterpret_cast<PassObject*>(self)->pass;
  free_object(self);
}

template <class To, class From>
std::vector<To> to_vector(const Array<From>& array) {
  return std::vector<To>(array.data(), array.data() + array.size());
}

std::vector<uint32_t> to_ranks(const Array<int64_t>& array) {
  for (size_t i = 0; i < array.size(); ++i) {
    if (array.data()[i] < 0 || array.data()[i] >= static_cast<int64_t>(NONE)) {
      throw std::invalid_argument("rank " + std::to_string(array.data()[i]));
    }
  }
  return to_vector<uint32_t>(array);
}

// MaxPlus(capacity, num_links, ranks, arrivals, in_flight, start or None, end)
PyObject* pass_new(PyTypeObject* type, PyObject* args, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject *capacity, *ranks, *arrivals, *in_flight, *links, *start, *end;
    if (!PyArg_ParseTuple(args, "OOOOOOO", &capacity, &links, &ranks, &arrivals, &in_flight,
                          &start, &end)) {
      throw PythonError();
    }
    const Array<double> capacity_of(capacity, "capacity"), arrivals_of(arrivals, "arrivals");
    const Array<int64_t> ranks_of(ranks, "ranks");
    Array<double> end_of(end, "end", true);
    std::unique_ptr<Array<double>> start_of;
    if (start != Py_None) {
      start_of = std::make_unique<Array<double>>(start, "start", true);
      start_of->expect(end_of.size(), "start");
    }
    MaxPlusInput input{to_vector<double>(capacity_of),
                       to_index(links, "num_links"),
                       to_ranks(ranks_of),
                       to_vector<double>(arrivals_of),
                       to_index(in_flight, "in_flight"),
                       end_of.size(),
                       end_of.writable(),
                       start_of ? start_of->writable() : nullptr};
    std::unique_ptr<Pass> pass(
        new Pass{std::move(start_of), {end, "end", true}, MaxPlus(std::move(input))});
    PyObject* self = allocate(type);
    reinterpret_cast<PassObject*>(self)->pass = pass.release();
    return self;
  });
}

// A block's columns, and how often it comes: src, dst, size, channel, reduces, dep_offsets, deps,
// release or None, times.
class Columns {
 public:
  explicit Columns(PyObject* const* args)
      : src_(args[0], "src"),
        dst_(args[1], "dst"),
        size_(args[2], "size"),
        channel_(args[3], "channel"),
        reduces_(args[4], "reduces"),
        offsets_(args[5], "dep_offsets"),
        deps_(args[6], "deps") {
    const size_t count = src_.size();
    dst_.expect(count, "dst");
    channel_.expect(count, "channel");
    reduces_.expect(count, "reduces");
    offsets_.expect(count + 1, "dep_offsets");
    if (args[7] != Py_None) {
      release_ = std::make_unique<Array<double>>(args[7], "release");
      release_->expect(count, "release");
    }
    times_ = to_index(args[8], "times");
  }

  static constexpr Py_ssize_t COUNT = 9;

  TransferBlock block() const {
    return {src_.size(),     times_,          size_.size(),    deps_.size(), src_.data(),
            dst_.data(),     size_.data(),    channel_.data(), reduces_.data(),
            offsets_.data(), deps_.data(),    release_ ? release_->data() : nullptr};
  }

 private:
  Array<int64_t> src_, dst_, size_, channel_;
  Array<uint8_t> reduces_;
  Array<int64_t> offsets_, deps_;
  std::unique_ptr<Array<double>> release_;
  size_t times_;
};

PyObject* truth(bool value) { return checked(PyBool_FromLong(value)); }

// run(*columns) → True, False where the pass does not apply, or the connections that need a route
// first: int64 triples of source, destination and channel as bytes
PyObject* run(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, Columns::COUNT);
    const Columns columns(args);
    const TransferBlock block = columns.block();
    MaxPlus& core = pass_of(self).core;
    const auto& wanted = core.find_connections(block);
    if (wanted.empty()) return truth(core.run(block));
    std::vector<int64_t> keys;
    for (const MaxPlus::Key& key : wanted) keys.insert(keys.end(), {key.src, key.dst, key.channel});
    return checked(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(keys.data()),
                                             static_cast<Py_ssize_t>(8 * keys.size())));
  });
}

// connect(offsets, links, delay): routes of the connections that `run` asked for, in order
PyObject* connect(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 3);
    const Array<int64_t> offsets(args[0], "offsets"), links(args[1], "links");
    const Array<double> delay(args[2], "delay");
    offsets.expect(delay.size() + 1, "offsets");
    for (size_t i = 0; i < delay.size(); ++i) {
      const int64_t begin = offsets.data()[i], end = offsets.data()[i + 1];
      if (begin < 0 || end < begin || end > static_cast<int64_t>(links.size())) {
        throw std::invalid_argument("offsets[" + std::to_string(i) + "] do not lie in links");
      }
      pass_of(self).core.connect(links.data() + begin, static_cast<size_t>(end - begin),
                                 delay.data()[i]);
    }
    return none();
  });
}

PyObject* in_doubt(PyObject* self, PyObject*) {
  return PyBool_FromLong(pass_of(self).core.in_doubt());
}

// collect(first, *columns): a block that has run, once more for the sweep
PyObject* collect(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 1 + Columns::COUNT);
    const Columns columns(args + 1);
    pass_of(self).core.collect(columns.block(), to_index(args[0], "first"));
    return none();
  });
}

PyObject* sweep(PyObject* self, PyObject*) {
  return guarded<PyObject*>(nullptr, [&] { return truth(pass_of(self).core.sweep()); });
}

// finish(left, links): when each place has left, and the bytes that each link has carried
PyObject* finish(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    expect_args(count, 2);
    const Pass& pass = pass_of(self);
    if (pass.core.done() != pass.end.size()) throw std::invalid_argument("transfers are missing");
    Array<double> left(args[0], "left", true);
    Array<int64_t> links(args[1], "links", true);
    left.expect(pass.core.left().size(), "left");
    links.expect(pass.core.num_links(), "links");
    std::copy(pass.core.left().begin(), pass.core.left().end(), left.writable());
    pass.core.carried(links.writable());
    return none();
  });
}

PyMethodDef methods[] = {
    {"run", method(run), METH_FASTCALL, nullptr},
    {"connect", method(connect), METH_FASTCALL, nullptr},
    {"in_doubt", in_doubt, METH_NOARGS, nullptr},
    {"collect", method(collect), METH_FASTCALL, nullptr},
    {"sweep", sweep, METH_NOARGS, nullptr},
    {"finish", method(finish), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(pass_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(pass_dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("A max-plus pass; see simnet.engine.maxplus.")},
    {0, nullptr},
};

PyType_Spec spec = {"simnet.engine._kernel.core.MaxPlus", sizeof(PassObject), 0,
                    Py_TPFLAGS_DEFAULT, slots};

}  // namespace

void add_max_plus(PyObject* module) { add_type(module, "MaxPlus", spec); }

}  // namespace simnet
