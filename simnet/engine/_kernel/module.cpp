// The Python module: arrays in and arrays out.
#include "python.hpp"

namespace {

// Counts changes of what Python calls: see load_core, which wants the same.
constexpr long INTERFACE = 1;

PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "simnet.engine._kernel.core",
                          "The compiled kernel.",
                          -1,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_core() {
  return simnet::guarded<PyObject*>(nullptr, [] {
    simnet::Ref module(simnet::checked(PyModule_Create(&definition)));
    if (PyModule_AddIntConstant(module.get(), "INTERFACE", INTERFACE) < 0) throw simnet::PythonError();
    simnet::add_numbering(module.get());
    simnet::add_program(module.get());
    simnet::add_model(module.get());
    simnet::add_max_plus(module.get());
    simnet::add_many(module.get());
    Py_INCREF(module.get());
    return module.get();
  });
}
