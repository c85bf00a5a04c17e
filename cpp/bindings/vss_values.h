// Values of cpp/vss as Python has them on this side of exshadow.vss: records as dictionaries, ids as text,
// enumerations as numbers. exshadow.vss.plain gives them types.
#pragma once

#include <pybind11/pybind11.h>

#include <concepts>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/errors.h"
#include "bindings/vss_fields.h"

namespace exshadow::python {

// --- to Python ---

inline py::object to_python(bool value) {
    return py::bool_(value);
}
inline py::object to_python(const std::string& value) {
    return text(value);
}
inline py::object to_python(const Uuid& value) {
    return py::str(value.text());
}
template <std::integral T>
py::object to_python(T value) {
    return py::int_(value);
}
template <class E>
requires std::is_enum_v<E> py::object to_python(E value) {
    return py::int_(static_cast<std::int64_t>(value));
}
template <VssRecord R>
py::object to_python(const R& record);
template <class A, class B>
py::object to_python(const std::pair<A, B>& value) {
    return py::make_tuple(to_python(value.first), to_python(value.second));
}
template <class T>
py::object to_python(const std::optional<T>& value) {
    return value ? to_python(*value) : py::object(py::none());
}
template <class T>
py::object to_python(const std::vector<T>& values) {
    py::list list(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) list[i] = to_python(values[i]);
    return list;
}
template <VssRecord R>
py::object to_python(const R& record) {
    py::dict dictionary;
    std::apply(
        [&](const auto&... field) { ((dictionary[field.name] = to_python(record.*field.member)), ...); },
        fields<R>);
    return dictionary;
}

// --- from Python: TypeError for another type, InvalidError for text that is no id ---

[[noreturn]] void wrong_type(py::handle found, const char* wanted);

inline void from_python(py::handle found, bool& value) {
    if (!py::isinstance<py::bool_>(found)) wrong_type(found, "bool");
    value = found.cast<bool>();
}
void from_python(py::handle found, std::string& value);
void from_python(py::handle found, Uuid& value);
template <std::integral T>
void from_python(py::handle found, T& value) {
    if (!py::isinstance<py::int_>(found)) wrong_type(found, "int");
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(found.ptr(), &overflow);
    if (overflow != 0 || !std::in_range<T>(number))
        throw py::value_error(py::str(found).cast<std::string>() + " does not fit");
    value = static_cast<T>(number);
}
template <class E>
requires std::is_enum_v<E>
void from_python(py::handle found, E& value) {
    std::underlying_type_t<E> number{};
    from_python(found, number);
    value = static_cast<E>(number);
}
template <VssRecord R>
void from_python(py::handle found, R& record);
template <class A, class B>
void from_python(py::handle found, std::pair<A, B>& value) {
    const auto items = py::reinterpret_borrow<py::object>(found).cast<py::sequence>();
    if (items.size() != 2) wrong_type(found, "pair");
    from_python(items[0], value.first);
    from_python(items[1], value.second);
}
template <class T>
void from_python(py::handle found, std::optional<T>& value) {
    if (found.is_none()) return value.reset();
    from_python(found, value.emplace());
}
template <class T>
void from_python(py::handle found, std::vector<T>& values) {
    if (!py::isinstance<py::sequence>(found) || py::isinstance<py::str>(found)) wrong_type(found, "list");
    values.clear();
    for (const auto item : py::reinterpret_borrow<py::sequence>(found)) {
        from_python(py::object(item), values.emplace_back());
    }
}
// Fields that the dictionary lacks keep what they have.
template <VssRecord R>
void from_python(py::handle found, R& record) {
    if (!py::isinstance<py::dict>(found)) wrong_type(found, "dict");
    const auto dictionary = py::reinterpret_borrow<py::dict>(found);
    const auto take = [&](const auto& field) {
        if (dictionary.contains(field.name)) from_python(dictionary[field.name], record.*field.member);
    };
    std::apply([&](const auto&... field) { (take(field), ...); }, fields<R>);
}

template <class T>
T value_from(py::handle found) {
    T value{};
    from_python(found, value);
    return value;
}

}  // namespace exshadow::python
