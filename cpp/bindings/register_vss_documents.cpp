// The documents of VSS and its tables of words, for exshadow.vss.
#include "bindings/vss_session.h"
#include "bindings/vss_values.h"
#include "vss/documents.h"

namespace exshadow::python {

namespace {

template <class T>
py::object parsed(Result<T> (*parse)(std::string_view), const std::string& xml) {
    const auto document = [&] {
        const py::gil_scoped_release release;
        return parse(xml);
    }();
    if (!document.ok()) raise_vss(document.error());
    return to_python(*document);
}

template <class T>
py::str serialised(const T& document) {
    const auto xml = [&] {
        const py::gil_scoped_release release;
        return vss::serialise(document);
    }();
    if (!xml.ok()) raise_vss(xml.error());
    return text(*xml);
}

py::dict hresults() {
    py::dict rows;
    for (const auto& row : vss::all_hresults()) {
        const auto error = vss::vss_error(row.value, "");
        rows[py::int_(static_cast<std::uint32_t>(row.value))] =
            py::make_tuple(std::string(row.name), static_cast<int>(row.retry), std::string(row.meaning),
                           std::string(row.advice), std::string(code_name(error.code())));
    }
    return rows;
}

py::dict enumerations() {
    py::dict tables;
    const auto add = [&](const char* name, std::span<const vss::EnumName> rows) {
        py::dict values;
        for (const auto& row : rows) values[py::str(std::string(row.word))] = row.value;
        tables[name] = values;
    };
#define EXSHADOW_ADD(type, underlying, list) add(#type, vss::enum_names<vss::type>());
    EXSHADOW_VSS_ENUMS(EXSHADOW_ADD)
    EXSHADOW_VSS_FLAG_SETS(EXSHADOW_ADD)
#undef EXSHADOW_ADD
    return tables;
}

}  // namespace

void register_vss_documents(py::module_& module) {
    module.def(
        "vss_parse_writer_metadata",
        [](const std::string& xml) { return parsed(&vss::parse_writer_metadata, xml); }, py::arg("xml"));
    module.def(
        "vss_parse_backup_document",
        [](const std::string& xml) { return parsed(&vss::parse_backup_document, xml); }, py::arg("xml"));
    module.def(
        "vss_serialise_writer_metadata",
        [](const py::object& document) { return serialised(value_from<vss::WriterMetadata>(document)); },
        py::arg("document"));
    module.def(
        "vss_serialise_backup_document",
        [](const py::object& document) { return serialised(value_from<vss::BackupDocument>(document)); },
        py::arg("document"));
    module.def("vss_hresults", &hresults,
               "HRESULT to name, retry, meaning, advice and code, as the engine has them.");
    module.def("vss_enumerations", &enumerations, "Enumeration to its words and values.");
}

}  // namespace exshadow::python
