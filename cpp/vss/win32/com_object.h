// The class behind make_com_requestor(). com_object.cpp has the session, writers and the backup,
// com_snapshots.cpp what manages snapshots, com_restore.cpp the restore.
#pragma once

#include <windows.h>

#include <vsbackup.h>
#include <vss.h>
#include <vswriter.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vss/order.h"
#include "vss/requestor.h"
#include "vss/win32/owned.h"
#include "vss/win32/vssapi.h"

namespace exshadow::vss::win32 {

class ComRequestor final : public Requestor {
public:
    ComRequestor(Vssapi api, ComPtr<IVssBackupComponents> object);
    ComRequestor(const ComRequestor&) = delete;
    ComRequestor& operator=(const ComRequestor&) = delete;
    ~ComRequestor() override;

    Status initialize_for_backup(std::string_view document) override;
    Status initialize_for_restore(std::string_view document) override;
    Status set_context(SnapshotAttributes context) override;
    Status set_backup_state(BackupState state) override;
    Status set_restore_state(RestoreType type) override;
    Status enable_writer_classes(std::span<const Uuid> classes) override;
    Status disable_writer_classes(std::span<const Uuid> classes) override;
    Status disable_writer_instances(std::span<const Uuid> instances) override;
    Result<Uuid> session_id() override;

    Result<Step> gather_writer_metadata() override;
    Result<std::vector<WriterMetadata>> writer_metadata() override;
    Result<std::vector<std::string>> writer_metadata_documents() override;
    Status free_writer_metadata() override;
    Result<Step> gather_writer_status() override;
    Result<std::vector<WriterStatus>> writer_status() override;
    Result<std::vector<BackupWriter>> writer_components() override;

    Status add_component(const ComponentKey& component) override;
    Status set_previous_backup_stamp(const ComponentKey& component, std::string_view stamp) override;
    Status set_backup_options(const ComponentKey& component, std::string_view options) override;

    Result<bool> is_volume_supported(const Uuid& provider, std::string_view volume) override;
    Result<Uuid> start_snapshot_set() override;
    Result<Uuid> add_to_snapshot_set(std::string_view volume, const Uuid& provider) override;
    Result<Step> prepare_for_backup() override;
    Result<Step> do_snapshot_set() override;
    Status set_backup_succeeded(const ComponentKey& component, bool succeeded) override;
    Result<Step> backup_complete() override;
    Status abort_backup() override;
    Result<std::string> save_as_xml() override;

    Result<SnapshotProperties> snapshot_properties(const Uuid& snapshot) override;
    Result<std::vector<SnapshotProperties>> query_snapshots() override;
    Result<std::vector<ProviderProperties>> query_providers() override;
    Result<DeleteOutcome> delete_snapshots(const Uuid& id, ObjectType type, bool force) override;
    Status break_snapshot_set(const Uuid& set) override;
    Result<Step> break_snapshot_set_ex(const Uuid& set, BreakFlags flags) override;
    Result<Step> import_snapshots() override;
    Result<std::string> expose_snapshot(const Uuid& snapshot, std::string_view path_from_root, Exposure how,
                                        std::string_view name) override;
    Status unexpose_snapshot(const Uuid& snapshot) override;
    Status revert_to_snapshot(const Uuid& snapshot, bool force_dismount) override;
    Result<Step> query_revert_status(std::string_view volume) override;
    Result<RootAndPrefix> root_and_logical_prefix_paths(std::string_view path, bool normalize_fqdn) override;

    Status set_selected_for_restore(const ComponentKey& component, bool selected) override;
    Status set_restore_options(const ComponentKey& component, std::string_view options) override;
    Status set_additional_restores(const ComponentKey& component, bool more) override;
    Status set_authoritative_restore(const ComponentKey& component, bool authoritative) override;
    Status set_roll_forward(const ComponentKey& component, RollForward kind, std::string_view point) override;
    Status set_restore_name(const ComponentKey& component, std::string_view name) override;
    Status add_restore_subcomponent(const ComponentKey& component, const RestoreSubcomponent& part) override;
    Status add_new_target(const ComponentKey& component, const LocationMapping& target) override;
    Status set_ranges_file_path(const ComponentKey& component, std::uint32_t partial_file,
                                std::string_view path) override;
    Result<Step> pre_restore() override;
    Status add_alternative_location_mapping(const ComponentKey& component,
                                            const LocationMapping& mapping) override;
    Status set_file_restore_status(const ComponentKey& component, FileRestoreStatus status) override;
    Result<Step> post_restore() override;
    Status add_snapshot_to_recovery_set(const Uuid& snapshot, std::string_view destination) override;
    Result<Step> recover_set(RecoveryFlags flags) override;

private:
    // Every call to COM goes through one of these: refused here when the order forbids it, else made, its end
    // noted.
    template <class Make>
    Status call(Call which, std::string_view what, Make make) {
        EXSHADOW_TRY(order_.permit(which));
        const HRESULT result = make();
        order_.ended(which, SUCCEEDED(result));
        return check(result, what);
    }
    template <class Make>
    Result<Step> begin(Call which, std::string_view what, Make make) {
        EXSHADOW_TRY(order_.permit(which));
        ComPtr<IVssAsync> async;
        const HRESULT result = make(async.out());
        if (FAILED(result)) order_.ended(which, false);
        EXSHADOW_TRY(check(result, what));
        return wrap(std::move(async), which, what);
    }
    Result<Step> wrap(ComPtr<IVssAsync> async, Call which, std::string_view what);
    // `make` gets the wide names of the component: logical path (null for the root) and name.
    template <class Make>
    Status on_component(Call which, std::string_view what, const ComponentKey& component, Make make);

    Status filter(std::string_view what, std::span<const Uuid> ids,
                  HRESULT (STDMETHODCALLTYPE IVssBackupComponents::*method)(const VSS_ID*, UINT));
    Result<ComPtr<IVssExamineWriterMetadata>> examine(UINT index);
    Result<std::vector<WriterStatus>> read_status();
    Result<ComPtr<IVssEnumObject>> query(VSS_OBJECT_TYPE type);

    Vssapi api_;
    Order order_;
    ComPtr<IVssBackupComponents> object_;
    ComPtr<IVssBackupComponentsEx> ex_;  // these are empty where Windows is too old
    ComPtr<IVssBackupComponentsEx2> ex2_;
    ComPtr<IVssBackupComponentsEx3> ex3_;
    ComPtr<IVssBackupComponentsEx4> ex4_;
    BackupState state_;
    std::vector<ComponentKey> chosen_;  // explicitly
    std::vector<WriterMetadata> metadata_;
};

// The error when an interface that a call needs is missing.
[[nodiscard]] Error no_interface(std::string_view interface_name, std::string_view call);

template <class Make>
Status ComRequestor::on_component(Call which, std::string_view what, const ComponentKey& component,
                                  Make make) {
    const auto path = wide(component.logical_path);
    const auto name = wide(component.name);
    const auto named = std::string(what) + " for component '" +
                       (component.logical_path.empty() ? "" : component.logical_path + "\\") +
                       component.name + "'";
    return call(which, named, [&] {
        return make(guid(component.writer_id), static_cast<VSS_COMPONENT_TYPE>(component.type),
                    path.empty() ? nullptr : path.c_str(), name.c_str());
    });
}

}  // namespace exshadow::vss::win32
