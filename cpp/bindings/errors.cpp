#include "bindings/errors.h"

#include <pybind11/gil_safe_call_once.h>

namespace exshadow::python {

namespace {

const py::object& make_function() {
    PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> storage;
    return storage
        .call_once_and_store_result(
            [] { return py::object(py::module_::import("exshadow.errors").attr("make")); })
        .get_stored();
}

}  // namespace

py::str text(const std::string& bytes) {
    PyObject* const decoded =
        PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "surrogateescape");
    if (decoded == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::str>(decoded);
}

void raise(const Error& error) {
    const py::object exception = make_function()(py::str(std::string(code_name(error.code()))),
                                                 text(error.message()), text(error.hint()), error.os_error());
    PyErr_SetObject(py::type::handle_of(exception).ptr(), exception.ptr());
    throw py::error_already_set();
}

}  // namespace exshadow::python
