// VssSession and VssStep: the requestor's contract, one method each. exshadow.vss.requestor gives them types.
#include "bindings/handles.h"
#include "bindings/vss_session.h"
#include "bindings/vss_values.h"

namespace exshadow::python {

namespace {

using vss::Requestor;

// What an argument is kept as while the GIL is free.
template <class T>
struct Kept {
    using Type = std::remove_cvref_t<T>;
};
template <>
struct Kept<std::string_view> {
    using Type = std::string;
};
template <class T>
struct Kept<std::span<const T>> {
    using Type = std::vector<T>;
};

py::object give(SessionHandle& /*session*/, const Status& status) {
    raise_vss_if(status);
    return py::none();
}
py::object give(SessionHandle& session, Result<vss::Step> step) {
    if (!step.ok()) raise_vss(step.error());
    return py::cast(session.keep(std::move(step).value()));
}
template <class T>
py::object give(SessionHandle& /*session*/, const Result<T>& value) {
    if (!value.ok()) raise_vss(value.error());
    return to_python(*value);
}

template <class>
using Object = py::object;

// A method of the contract as a function of the session.
template <class R, class... A>
auto bound(R (Requestor::*method)(A...)) {
    return [method](SessionHandle& session, const Object<A>&... arguments) {
        const std::tuple<typename Kept<A>::Type...> kept{value_from<typename Kept<A>::Type>(arguments)...};
        return give(session, session.call([&](Requestor& requestor) {
            return std::apply([&](const auto&... kept_one) { return (requestor.*method)(kept_one...); },
                              kept);
        }));
    };
}

using SessionClass = py::class_<SessionHandle, std::shared_ptr<SessionHandle>>;

void add_beginning(SessionClass& session) {
    session.def("initialize_for_backup", bound(&Requestor::initialize_for_backup))
        .def("initialize_for_restore", bound(&Requestor::initialize_for_restore))
        .def("set_context", bound(&Requestor::set_context))
        .def("set_backup_state", bound(&Requestor::set_backup_state))
        .def("set_restore_state", bound(&Requestor::set_restore_state))
        .def("enable_writer_classes", bound(&Requestor::enable_writer_classes))
        .def("disable_writer_classes", bound(&Requestor::disable_writer_classes))
        .def("disable_writer_instances", bound(&Requestor::disable_writer_instances))
        .def("session_id", bound(&Requestor::session_id));
}

void add_writers(SessionClass& session) {
    session.def("gather_writer_metadata", bound(&Requestor::gather_writer_metadata))
        .def("writer_metadata", bound(&Requestor::writer_metadata))
        .def("writer_metadata_documents", bound(&Requestor::writer_metadata_documents))
        .def("free_writer_metadata", bound(&Requestor::free_writer_metadata))
        .def("gather_writer_status", bound(&Requestor::gather_writer_status))
        .def("writer_status", bound(&Requestor::writer_status))
        .def("writer_components", bound(&Requestor::writer_components))
        .def("add_component", bound(&Requestor::add_component))
        .def("set_previous_backup_stamp", bound(&Requestor::set_previous_backup_stamp))
        .def("set_backup_options", bound(&Requestor::set_backup_options));
}

void add_snapshot_set(SessionClass& session) {
    session.def("is_volume_supported", bound(&Requestor::is_volume_supported))
        .def("start_snapshot_set", bound(&Requestor::start_snapshot_set))
        .def("add_to_snapshot_set", bound(&Requestor::add_to_snapshot_set))
        .def("prepare_for_backup", bound(&Requestor::prepare_for_backup))
        .def("do_snapshot_set", bound(&Requestor::do_snapshot_set))
        .def("set_backup_succeeded", bound(&Requestor::set_backup_succeeded))
        .def("backup_complete", bound(&Requestor::backup_complete))
        .def("abort_backup", bound(&Requestor::abort_backup))
        .def("save_as_xml", bound(&Requestor::save_as_xml));
}

void add_existing(SessionClass& session) {
    session.def("snapshot_properties", bound(&Requestor::snapshot_properties))
        .def("query_snapshots", bound(&Requestor::query_snapshots))
        .def("query_providers", bound(&Requestor::query_providers))
        .def("delete_snapshots", bound(&Requestor::delete_snapshots))
        .def("break_snapshot_set", bound(&Requestor::break_snapshot_set))
        .def("break_snapshot_set_ex", bound(&Requestor::break_snapshot_set_ex))
        .def("import_snapshots", bound(&Requestor::import_snapshots))
        .def("expose_snapshot", bound(&Requestor::expose_snapshot))
        .def("unexpose_snapshot", bound(&Requestor::unexpose_snapshot))
        .def("revert_to_snapshot", bound(&Requestor::revert_to_snapshot))
        .def("query_revert_status", bound(&Requestor::query_revert_status))
        .def("root_and_logical_prefix_paths", bound(&Requestor::root_and_logical_prefix_paths));
}

void add_restore(SessionClass& session) {
    session.def("set_selected_for_restore", bound(&Requestor::set_selected_for_restore))
        .def("set_restore_options", bound(&Requestor::set_restore_options))
        .def("set_additional_restores", bound(&Requestor::set_additional_restores))
        .def("set_authoritative_restore", bound(&Requestor::set_authoritative_restore))
        .def("set_roll_forward", bound(&Requestor::set_roll_forward))
        .def("set_restore_name", bound(&Requestor::set_restore_name))
        .def("add_restore_subcomponent", bound(&Requestor::add_restore_subcomponent))
        .def("add_new_target", bound(&Requestor::add_new_target))
        .def("set_ranges_file_path", bound(&Requestor::set_ranges_file_path))
        .def("pre_restore", bound(&Requestor::pre_restore))
        .def("add_alternative_location_mapping", bound(&Requestor::add_alternative_location_mapping))
        .def("set_file_restore_status", bound(&Requestor::set_file_restore_status))
        .def("post_restore", bound(&Requestor::post_restore))
        .def("add_snapshot_to_recovery_set", bound(&Requestor::add_snapshot_to_recovery_set))
        .def("recover_set", bound(&Requestor::recover_set));
}

void add_step(py::module_& module) {
    py::class_<StepHandle, std::shared_ptr<StepHandle>>(
        module, "VssStep", "The second result of an asynchronous call of VSS.", plain_metaclass())
        .def(py::init(&not_constructible<StepHandle>))
        .def("wait", &StepHandle::wait, py::arg("milliseconds"))
        .def("status", [](StepHandle& self) { return to_python(self.status()); })
        .def("cancel", [](StepHandle& self) { return to_python(self.cancel()); })
        .def(
            "finish",
            [](StepHandle& self, const std::string& what, vss::Milliseconds limit, vss::Milliseconds grace) {
                return to_python(self.finish(what, limit, grace));
            },
            py::arg("what"), py::arg("limit"), py::arg("grace"));
}

}  // namespace

void register_vss_session(py::module_& module) {
    add_step(module);
    SessionClass session(module, "VssSession",
                         "A requestor's session; exshadow.vss.BackupComponents is its typed face.",
                         plain_metaclass());
    session.def(py::init(&not_constructible<SessionHandle>))
        .def("close", &SessionHandle::close, "End the session: abort what was begun, tell the writers.");
    add_beginning(session);
    add_writers(session);
    add_snapshot_set(session);
    add_existing(session);
    add_restore(session);
}

}  // namespace exshadow::python
