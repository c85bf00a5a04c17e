// The extension exshadow._core: translation only. python/exshadow/_core.pyi is its contract.
#include "bindings/handles.h"

PYBIND11_MODULE(_core, module) {
    module.doc() = "The native engine: volumes, mirrors, snapshots. Errors are those of exshadow.errors.";
    module.attr("__version__") = EXSHADOW_VERSION;

    // In this order: what a signature names is known before.
    exshadow::python::register_job(module);
    exshadow::python::register_volume(module);
    exshadow::python::register_nbd(module);
    exshadow::python::register_engine(module);
    exshadow::python::register_facts(module);
    exshadow::python::register_ese(module);
}
