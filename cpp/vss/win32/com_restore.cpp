#include "vss/win32/com_object.h"

namespace exshadow::vss::win32 {

Status ComRequestor::set_selected_for_restore(const ComponentKey& component, bool selected) {
    const bool one_instance = !component.instance_id.is_nil();
    if (one_instance && !ex_) {
        EXSHADOW_TRY(order_.permit(Call::select_for_restore));
        return no_interface("IVssBackupComponentsEx", "SetSelectedForRestoreEx");
    }
    return on_component(Call::select_for_restore, "SetSelectedForRestore", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            if (!one_instance)
                                return object_->SetSelectedForRestore(writer, type, path, name, selected);
                            return ex_->SetSelectedForRestoreEx(writer, type, path, name, selected,
                                                                guid(component.instance_id));
                        });
}

Status ComRequestor::set_restore_options(const ComponentKey& component, std::string_view options) {
    const auto text = wide(options);
    return on_component(Call::select_for_restore, "SetRestoreOptions", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return object_->SetRestoreOptions(writer, type, path, name, text.c_str());
                        });
}

Status ComRequestor::set_additional_restores(const ComponentKey& component, bool more) {
    return on_component(Call::select_for_restore, "SetAdditionalRestores", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return object_->SetAdditionalRestores(writer, type, path, name, more);
                        });
}

Status ComRequestor::set_authoritative_restore(const ComponentKey& component, bool authoritative) {
    EXSHADOW_TRY(order_.permit(Call::select_for_restore));
    if (!ex2_) return no_interface("IVssBackupComponentsEx2", "SetAuthoritativeRestore");
    return on_component(Call::select_for_restore, "SetAuthoritativeRestore", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return ex2_->SetAuthoritativeRestore(writer, type, path, name, authoritative);
                        });
}

Status ComRequestor::set_roll_forward(const ComponentKey& component, RollForward kind,
                                      std::string_view point) {
    EXSHADOW_TRY(order_.permit(Call::select_for_restore));
    if (!ex2_) return no_interface("IVssBackupComponentsEx2", "SetRollForward");
    const auto text = wide(point);
    return on_component(Call::select_for_restore, "SetRollForward", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return ex2_->SetRollForward(writer, type, path, name,
                                                        static_cast<VSS_ROLLFORWARD_TYPE>(kind),
                                                        text.empty() ? nullptr : text.c_str());
                        });
}

Status ComRequestor::set_restore_name(const ComponentKey& component, std::string_view new_name) {
    EXSHADOW_TRY(order_.permit(Call::select_for_restore));
    if (!ex2_) return no_interface("IVssBackupComponentsEx2", "SetRestoreName");
    const auto text = wide(new_name);
    return on_component(Call::select_for_restore, "SetRestoreName", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return ex2_->SetRestoreName(writer, type, path, name, text.c_str());
                        });
}

Status ComRequestor::add_restore_subcomponent(const ComponentKey& component,
                                              const RestoreSubcomponent& part) {
    const auto part_path = wide(part.logical_path);
    const auto part_name = wide(part.name);
    // The last argument, bRepair, must be false by its page.
    return on_component(Call::select_for_restore, "AddRestoreSubcomponent", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return object_->AddRestoreSubcomponent(
                                writer, type, path, name, part_path.c_str(), part_name.c_str(), false);
                        });
}

Status ComRequestor::add_new_target(const ComponentKey& component, const LocationMapping& target) {
    const auto folder = wide(target.files.path);
    const auto spec = wide(target.files.spec);
    const auto destination = wide(target.destination);
    return on_component(Call::select_for_restore, "AddNewTarget", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return object_->AddNewTarget(writer, type, path, name, folder.c_str(),
                                                         spec.c_str(), target.files.recursive,
                                                         destination.c_str());
                        });
}

Status ComRequestor::set_ranges_file_path(const ComponentKey& component, std::uint32_t partial_file,
                                          std::string_view file) {
    const auto text = wide(file);
    return on_component(Call::select_for_restore, "SetRangesFilePath", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return object_->SetRangesFilePath(writer, type, path, name, partial_file,
                                                              text.c_str());
                        });
}

Result<Step> ComRequestor::pre_restore() {
    return begin(Call::pre_restore, "PreRestore",
                 [&](IVssAsync** async) { return object_->PreRestore(async); });
}

Status ComRequestor::add_alternative_location_mapping(const ComponentKey& component,
                                                      const LocationMapping& mapping) {
    const auto folder = wide(mapping.files.path);
    const auto spec = wide(mapping.files.spec);
    const auto destination = wide(mapping.destination);
    return on_component(Call::add_alternative_location_mapping, "AddAlternativeLocationMapping", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return object_->AddAlternativeLocationMapping(
                                writer, type, path, name, folder.c_str(), spec.c_str(),
                                mapping.files.recursive, destination.c_str());
                        });
}

Status ComRequestor::set_file_restore_status(const ComponentKey& component, FileRestoreStatus status) {
    return on_component(Call::set_file_restore_status, "SetFileRestoreStatus", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return object_->SetFileRestoreStatus(
                                writer, type, path, name, static_cast<VSS_FILE_RESTORE_STATUS>(status));
                        });
}

Result<Step> ComRequestor::post_restore() {
    return begin(Call::post_restore, "PostRestore",
                 [&](IVssAsync** async) { return object_->PostRestore(async); });
}

Status ComRequestor::add_snapshot_to_recovery_set(const Uuid& snapshot, std::string_view destination) {
    EXSHADOW_TRY(order_.permit(Call::add_snapshot_to_recovery_set));
    if (!ex3_) return no_interface("IVssBackupComponentsEx3", "AddSnapshotToRecoverySet");
    auto volume = wide(destination);
    return call(Call::add_snapshot_to_recovery_set, "AddSnapshotToRecoverySet of " + snapshot.text(), [&] {
        return ex3_->AddSnapshotToRecoverySet(guid(snapshot), 0, volume.empty() ? nullptr : volume.data());
    });
}

Result<Step> ComRequestor::recover_set(RecoveryFlags flags) {
    EXSHADOW_TRY(order_.permit(Call::recover_set));
    if (!ex3_) return no_interface("IVssBackupComponentsEx3", "RecoverSet");
    return begin(Call::recover_set, "RecoverSet",
                 [&](IVssAsync** async) { return ex3_->RecoverSet(static_cast<DWORD>(flags), async); });
}

}  // namespace exshadow::vss::win32
