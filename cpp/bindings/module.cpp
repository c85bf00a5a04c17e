// The extension exshadow._core: translation only. python/exshadow/_core.pyi is its contract.
#include "bindings/handles.h"
#include "bindings/vss_actors.h"
#include "bindings/vss_session.h"

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
    exshadow::python::register_vss_session(module);
    exshadow::python::register_vss_coordinator(module);
    exshadow::python::register_vss_documents(module);
    exshadow::python::register_vss_procedures(module);
}
