// Restore, and the resynchronisation of whole disks.
#include "arguments.h"
#include "backup_components.h"

namespace exshadow::test_double {

using vss::Call;

namespace {

constexpr auto object_name = "IVssBackupComponents";

vss::LocationMapping mapping(LPCWSTR folder, LPCWSTR spec, boolean recursive, LPCWSTR destination) {
    vss::LocationMapping result;
    result.files.path = narrow(folder);
    result.files.spec = narrow(spec);
    result.files.recursive = recursive != 0;
    result.destination = narrow(destination);
    return result;
}

Json mapping_arguments(LPCWSTR folder, LPCWSTR spec, LPCWSTR destination) {
    return {{"folder", narrow(folder)}, {"spec", narrow(spec)}, {"destination", narrow(destination)}};
}

}  // namespace

STDMETHODIMP BackupComponents::SetRestoreState(VSS_RESTORE_TYPE type) {
    LoggedCall call(object_name, "SetRestoreState", {{"type", static_cast<int>(type)}}, session_.get());
    if (type < VSS_RTYPE_UNDEFINED || type > VSS_RTYPE_OTHER) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    return call.result(session_->requestor().set_restore_state(static_cast<vss::RestoreType>(type)));
}

STDMETHODIMP BackupComponents::SetSelectedForRestore(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                                     LPCWSTR name, boolean selected) {
    return change("SetSelectedForRestore", {}, writer, type, path, name, {{"selected", selected != 0}},
                  [=](auto& requestor, const auto& key) {
                      return requestor.set_selected_for_restore(key, selected != 0);
                  });
}

STDMETHODIMP BackupComponents::SetSelectedForRestoreEx(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                                       LPCWSTR name, boolean selected, VSS_ID instance) {
    return change("SetSelectedForRestoreEx", instance, writer, type, path, name,
                  {{"selected", selected != 0}, {"instance", text(instance)}},
                  [=](auto& requestor, const auto& key) {
                      return requestor.set_selected_for_restore(key, selected != 0);
                  });
}

STDMETHODIMP BackupComponents::SetRestoreOptions(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                                 LPCWSTR name, LPCWSTR options) {
    return change("SetRestoreOptions", {}, writer, type, path, name, {{"options", narrow(options)}},
                  [=](auto& requestor, const auto& key) {
                      if (options == nullptr) return missing_argument();
                      return requestor.set_restore_options(key, narrow(options));
                  });
}

STDMETHODIMP BackupComponents::SetAdditionalRestores(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                                     LPCWSTR name, boolean more) {
    return change(
        "SetAdditionalRestores", {}, writer, type, path, name, {{"more", more != 0}},
        [=](auto& requestor, const auto& key) { return requestor.set_additional_restores(key, more != 0); });
}

STDMETHODIMP BackupComponents::SetAuthoritativeRestore(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                                       LPCWSTR name, boolean authoritative) {
    return change("SetAuthoritativeRestore", {}, writer, type, path, name,
                  {{"authoritative", authoritative != 0}}, [=](auto& requestor, const auto& key) {
                      return requestor.set_authoritative_restore(key, authoritative != 0);
                  });
}

STDMETHODIMP BackupComponents::SetRollForward(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                              LPCWSTR name, VSS_ROLLFORWARD_TYPE kind, LPCWSTR point) {
    return change(
        "SetRollForward", {}, writer, type, path, name,
        {{"kind", static_cast<int>(kind)}, {"point", narrow(point)}}, [=](auto& requestor, const auto& key) {
            return requestor.set_roll_forward(key, static_cast<vss::RollForward>(kind), narrow(point));
        });
}

STDMETHODIMP BackupComponents::SetRestoreName(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                              LPCWSTR name, LPCWSTR new_name) {
    return change("SetRestoreName", {}, writer, type, path, name, {{"new name", narrow(new_name)}},
                  [=](auto& requestor, const auto& key) {
                      if (new_name == nullptr) return missing_argument();
                      return requestor.set_restore_name(key, narrow(new_name));
                  });
}

STDMETHODIMP BackupComponents::AddAlternativeLocationMapping(VSS_ID writer, VSS_COMPONENT_TYPE type,
                                                             LPCWSTR path, LPCWSTR name, LPCWSTR folder,
                                                             LPCWSTR spec, boolean recursive,
                                                             LPCWSTR destination) {
    return change("AddAlternativeLocationMapping", {}, writer, type, path, name,
                  mapping_arguments(folder, spec, destination), [=](auto& requestor, const auto& key) {
                      if (any_null(folder, spec, destination)) return missing_argument();
                      return requestor.add_alternative_location_mapping(
                          key, mapping(folder, spec, recursive, destination));
                  });
}

STDMETHODIMP BackupComponents::AddNewTarget(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                            LPCWSTR name, LPCWSTR folder, LPCWSTR spec, boolean recursive,
                                            LPCWSTR destination) {
    return change("AddNewTarget", {}, writer, type, path, name, mapping_arguments(folder, spec, destination),
                  [=](auto& requestor, const auto& key) {
                      if (any_null(folder, spec, destination)) return missing_argument();
                      return requestor.add_new_target(key, mapping(folder, spec, recursive, destination));
                  });
}

STDMETHODIMP BackupComponents::AddRestoreSubcomponent(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                                      LPCWSTR name, LPCWSTR part_path, LPCWSTR part_name,
                                                      boolean repair) {
    return change("AddRestoreSubcomponent", {}, writer, type, path, name, {{"part", narrow(part_name)}},
                  [=](auto& requestor, const auto& key) {
                      if (part_name == nullptr || repair != 0) return missing_argument();
                      return requestor.add_restore_subcomponent(
                          key, vss::RestoreSubcomponent{narrow(part_path), narrow(part_name)});
                  });
}

STDMETHODIMP BackupComponents::SetFileRestoreStatus(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                                    LPCWSTR name, VSS_FILE_RESTORE_STATUS status) {
    return change("SetFileRestoreStatus", {}, writer, type, path, name,
                  {{"status", static_cast<int>(status)}}, [=](auto& requestor, const auto& key) {
                      return requestor.set_file_restore_status(key,
                                                               static_cast<vss::FileRestoreStatus>(status));
                  });
}

STDMETHODIMP BackupComponents::SetRangesFilePath(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                                 LPCWSTR name, UINT partial_file, LPCWSTR file) {
    return change("SetRangesFilePath", {}, writer, type, path, name, {{"file", narrow(file)}},
                  [=](auto& requestor, const auto& key) {
                      if (file == nullptr) return missing_argument();
                      return requestor.set_ranges_file_path(key, partial_file, narrow(file));
                  });
}

STDMETHODIMP BackupComponents::PreRestore(IVssAsync** out) {
    return start("PreRestore", Call::pre_restore, &vss::Requestor::pre_restore, out);
}
STDMETHODIMP BackupComponents::PostRestore(IVssAsync** out) {
    return start("PostRestore", Call::post_restore, &vss::Requestor::post_restore, out);
}

STDMETHODIMP BackupComponents::AddSnapshotToRecoverySet(VSS_ID snapshot, DWORD flags, VSS_PWSZ destination) {
    LoggedCall call(object_name, "AddSnapshotToRecoverySet",
                    {{"snapshot", text(snapshot)}, {"destination", narrow(destination)}}, session_.get());
    if (flags != 0) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    const auto status =
        session_->requestor().add_snapshot_to_recovery_set(uuid(snapshot), narrow(destination));
    session_->done(Call::add_snapshot_to_recovery_set, hresult(status));
    return call.result(status);
}

STDMETHODIMP BackupComponents::RecoverSet(DWORD flags, IVssAsync** out) {
    LoggedCall call(object_name, "RecoverSet", {{"flags", flags}}, session_.get());
    if (out == nullptr) return call.result(E_INVALIDARG);
    *out = nullptr;
    const auto held = session_->lock();
    auto step = session_->requestor().recover_set(static_cast<vss::RecoveryFlags>(flags));
    if (!step.ok()) call.note("error", step.error().message());
    return call.result(session_->begun(Call::recover_set, std::move(step), "RecoverSet", out));
}

// Reserved by the SDK; what Windows answers is not documented (unconfirmed).
STDMETHODIMP BackupComponents::PreFastRecovery(VSS_ID, DWORD, IVssAsync**) {
    LoggedCall call(object_name, "PreFastRecovery", {}, session_.get());
    return call.result(E_NOTIMPL);
}
STDMETHODIMP BackupComponents::FastRecovery(VSS_ID, DWORD, IVssAsync**) {
    LoggedCall call(object_name, "FastRecovery", {}, session_.get());
    return call.result(E_NOTIMPL);
}

}  // namespace exshadow::test_double
