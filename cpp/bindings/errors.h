// The one place where an engine error becomes a Python exception: exshadow.errors.make builds it.
#pragma once

#include <pybind11/pybind11.h>

#include "base/error.h"

namespace exshadow::python {

namespace py = pybind11;

[[noreturn]] void raise(const Error& error);

inline void raise_if(const Status& status) {
    if (!status.ok()) raise(status.error());
}
template <class T>
T value_or_raise(Result<T>& result) {
    if (!result.ok()) raise(result.error());
    return std::move(result).value();
}
template <class T>
T value_or_raise(Result<T>&& result) {
    return value_or_raise(result);
}

// Text of the engine: names and messages are UTF-8, but paths in them may be any bytes.
[[nodiscard]] py::str text(const std::string& bytes);

}  // namespace exshadow::python
