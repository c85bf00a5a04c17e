#include "bindings/vss_values.h"

namespace exshadow::python {

void wrong_type(py::handle found, const char* wanted) {
    const auto type = py::str(py::type::handle_of(found).attr("__name__")).cast<std::string>();
    throw py::type_error(std::string(wanted) + " expected, not " + type);
}

void from_python(py::handle found, std::string& value) {
    if (!py::isinstance<py::str>(found)) wrong_type(found, "str");
    // Text of the engine comes back as it went out, bytes that are not UTF-8 included (text()).
    const auto bytes =
        py::reinterpret_steal<py::bytes>(PyUnicode_AsEncodedString(found.ptr(), "utf-8", "surrogateescape"));
    if (!bytes) throw py::error_already_set();
    value = static_cast<std::string>(bytes);
}

void from_python(py::handle found, Uuid& value) {
    std::string written;
    from_python(found, written);
    const auto parsed = Uuid::parse(written);
    if (!parsed) raise(Error(Code::invalid, "'" + written + "' is no id", "ids look like " + Uuid{}.text()));
    value = *parsed;
}

}  // namespace exshadow::python
