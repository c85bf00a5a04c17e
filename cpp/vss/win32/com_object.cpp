#include "vss/win32/com_object.h"

#include <algorithm>
#include <utility>

#include "vss/snapshot_need.h"
#include "vss/win32/com_requestor.h"
#include "vss/win32/com_step.h"
#include "vss/win32/examine.h"

namespace exshadow::vss::win32 {

Result<std::unique_ptr<Requestor>> make_com_requestor() {
    const auto api = Vssapi::load();
    if (!api.ok()) return api.error();
    auto object = api->create_backup_components();
    if (!object.ok()) return object.error();
    return std::unique_ptr<Requestor>(std::make_unique<ComRequestor>(*api, std::move(object).value()));
}

Error no_interface(std::string_view interface_name, std::string_view call) {
    return vss_error(HResult::e_nointerface, std::string(call) + " needs " + std::string(interface_name));
}

ComRequestor::ComRequestor(Vssapi api, ComPtr<IVssBackupComponents> object)
    : api_(api),
      object_(std::move(object)),
      ex_(object_.as<IVssBackupComponentsEx>()),
      ex2_(object_.as<IVssBackupComponentsEx2>()),
      ex3_(object_.as<IVssBackupComponentsEx3>()),
      ex4_(object_.as<IVssBackupComponentsEx4>()) {}

ComRequestor::~ComRequestor() {
    if (order_.must_abort()) object_->AbortBackup();
}

Result<Step> ComRequestor::wrap(ComPtr<IVssAsync> async, Call which, std::string_view what) {
    if (!async) {
        order_.ended(which, false);
        return vss_error(HResult::e_pointer, std::string(what) + " gave nothing to wait for");
    }
    return Step(std::make_unique<ComStep>(std::move(async), order_, which));
}

// --- Beginning

Status ComRequestor::initialize_for_backup(std::string_view document) {
    const Bstr text(document);
    EXSHADOW_TRY(call(Call::initialize_for_backup, "InitializeForBackup",
                      [&] { return object_->InitializeForBackup(document.empty() ? nullptr : text.get()); }));
    order_.set_from_document(!document.empty());
    return {};
}

Status ComRequestor::initialize_for_restore(std::string_view document) {
    const Bstr text(document);
    return call(Call::initialize_for_restore, "InitializeForRestore",
                [&] { return object_->InitializeForRestore(text.get()); });
}

Status ComRequestor::set_context(SnapshotAttributes context) {
    EXSHADOW_TRY(call(Call::set_context, "SetContext",
                      [&] { return object_->SetContext(static_cast<LONG>(context)); }));
    order_.set_writers(!has(context, SnapshotAttributes::no_writers));
    return {};
}

Status ComRequestor::set_backup_state(BackupState state) {
    EXSHADOW_TRY(call(Call::set_backup_state, "SetBackupState", [&] {
        return object_->SetBackupState(state.select_components, state.bootable_system_state,
                                       static_cast<VSS_BACKUP_TYPE>(state.type), state.partial_files);
    }));
    state_ = state;
    return {};
}

Status ComRequestor::set_restore_state(RestoreType type) {
    return call(Call::set_restore_state, "SetRestoreState",
                [&] { return object_->SetRestoreState(static_cast<VSS_RESTORE_TYPE>(type)); });
}

Status ComRequestor::filter(std::string_view what, std::span<const Uuid> ids,
                            HRESULT (STDMETHODCALLTYPE IVssBackupComponents::*method)(const VSS_ID*, UINT)) {
    std::vector<VSS_ID> list;
    for (const auto& id : ids) list.push_back(guid(id));
    return call(Call::filter_writers, what,
                [&] { return (object_.get()->*method)(list.data(), static_cast<UINT>(list.size())); });
}

Status ComRequestor::enable_writer_classes(std::span<const Uuid> classes) {
    return filter("EnableWriterClasses", classes, &IVssBackupComponents::EnableWriterClasses);
}

Status ComRequestor::disable_writer_classes(std::span<const Uuid> classes) {
    return filter("DisableWriterClasses", classes, &IVssBackupComponents::DisableWriterClasses);
}

Status ComRequestor::disable_writer_instances(std::span<const Uuid> instances) {
    return filter("DisableWriterInstances", instances, &IVssBackupComponents::DisableWriterInstances);
}

Result<Uuid> ComRequestor::session_id() {
    EXSHADOW_TRY(order_.permit(Call::get_session_id));
    if (!ex3_) return no_interface("IVssBackupComponentsEx3", "GetSessionId");
    VSS_ID id{};
    EXSHADOW_TRY(call(Call::get_session_id, "GetSessionId", [&] { return ex3_->GetSessionId(&id); }));
    return uuid(id);
}

// --- Writers

Result<Step> ComRequestor::gather_writer_metadata() {
    return begin(Call::gather_writer_metadata, "GatherWriterMetadata",
                 [&](IVssAsync** async) { return object_->GatherWriterMetadata(async); });
}

Result<ComPtr<IVssExamineWriterMetadata>> ComRequestor::examine(UINT index) {
    VSS_ID instance{};
    ComPtr<IVssExamineWriterMetadata> out;
    if (!ex_) {
        EXSHADOW_TRY(check(object_->GetWriterMetadata(index, &instance, out.out()), "GetWriterMetadata"));
        return out;
    }
    ComPtr<IVssExamineWriterMetadataEx> newer;
    EXSHADOW_TRY(check(ex_->GetWriterMetadataEx(index, &instance, newer.out()), "GetWriterMetadataEx"));
    return newer.as<IVssExamineWriterMetadata>();
}

Result<std::vector<WriterMetadata>> ComRequestor::writer_metadata() {
    UINT count = 0;
    EXSHADOW_TRY(call(Call::read_writer_metadata, "GetWriterMetadataCount",
                      [&] { return object_->GetWriterMetadataCount(&count); }));
    std::vector<WriterMetadata> all;
    for (UINT i = 0; i < count; ++i) {
        const auto writer = examine(i);
        if (!writer.ok()) return writer.error();
        if (!*writer) return vss_error(HResult::e_nointerface, "GetWriterMetadata");
        auto read = read_metadata(*writer->get());
        if (!read.ok()) return read.error();
        all.push_back(std::move(read).value());
    }
    metadata_ = all;
    return all;
}

Result<std::vector<std::string>> ComRequestor::writer_metadata_documents() {
    UINT count = 0;
    EXSHADOW_TRY(call(Call::read_writer_metadata, "GetWriterMetadataCount",
                      [&] { return object_->GetWriterMetadataCount(&count); }));
    std::vector<std::string> all;
    for (UINT i = 0; i < count; ++i) {
        const auto writer = examine(i);
        if (!writer.ok()) return writer.error();
        if (!*writer) return vss_error(HResult::e_nointerface, "GetWriterMetadata");
        Bstr text;
        EXSHADOW_TRY(check((*writer)->SaveAsXML(text.out()), "IVssExamineWriterMetadata::SaveAsXML"));
        all.push_back(text.text());
    }
    return all;
}

Status ComRequestor::free_writer_metadata() {
    return call(Call::free_writer_metadata, "FreeWriterMetadata",
                [&] { return object_->FreeWriterMetadata(); });
}

Result<Step> ComRequestor::gather_writer_status() {
    return begin(Call::gather_writer_status, "GatherWriterStatus",
                 [&](IVssAsync** async) { return object_->GatherWriterStatus(async); });
}

Result<std::vector<WriterStatus>> ComRequestor::read_status() {
    UINT count = 0;
    EXSHADOW_TRY(check(object_->GetWriterStatusCount(&count), "GetWriterStatusCount"));
    std::vector<WriterStatus> all;
    for (UINT i = 0; i < count; ++i) {
        VSS_ID instance{};
        VSS_ID writer{};
        Bstr name;
        Bstr message;
        VSS_WRITER_STATE state = VSS_WS_UNKNOWN;
        HRESULT failure = S_OK;
        HRESULT application = S_OK;
        const HRESULT result =
            ex3_ ? ex3_->GetWriterStatusEx(i, &instance, &writer, name.out(), &state, &failure, &application,
                                           message.out())
                 : object_->GetWriterStatus(i, &instance, &writer, name.out(), &state, &failure);
        EXSHADOW_TRY(check(result, "GetWriterStatus"));
        all.push_back({uuid(instance), uuid(writer), name.text(), static_cast<WriterState>(state),
                       code(failure), code(application), message.text()});
    }
    return all;
}

Result<std::vector<WriterStatus>> ComRequestor::writer_status() {
    EXSHADOW_TRY(order_.permit(Call::read_writer_status));
    auto all = read_status();
    const auto freed =
        call(Call::read_writer_status, "FreeWriterStatus", [&] { return object_->FreeWriterStatus(); });
    if (all.ok()) EXSHADOW_TRY(freed);
    return all;
}

Result<std::vector<BackupWriter>> ComRequestor::writer_components() {
    UINT count = 0;
    EXSHADOW_TRY(call(Call::read_components, "GetWriterComponentsCount",
                      [&] { return object_->GetWriterComponentsCount(&count); }));
    const auto phase = order_.phase();
    const bool whole = phase != Phase::gathered && phase != Phase::set_open && phase != Phase::prepared &&
                       phase != Phase::snapshotted;
    std::vector<BackupWriter> all;
    for (UINT i = 0; i < count; ++i) {
        IVssWriterComponentsExt* given = nullptr;
        EXSHADOW_TRY(check(object_->GetWriterComponents(i, &given), "GetWriterComponents"));
        ComPtr<WriterComponents> writer;
        *writer.out() = reinterpret_cast<WriterComponents*>(given);
        auto read = read_components(*writer.get(), whole);
        if (!read.ok()) return read.error();
        // The object does not say these two; the writer's metadata does.
        for (const auto& known : metadata_) {
            if (known.instance_id != read->instance_id) continue;
            read->instance_name = known.instance_name;
            read->schema = known.schema;
        }
        all.push_back(std::move(read).value());
    }
    return all;
}

// --- Choosing

Status ComRequestor::add_component(const ComponentKey& component) {
    EXSHADOW_TRY(on_component(Call::add_component, "AddComponent", component,
                              [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                                  return object_->AddComponent(guid(component.instance_id), writer, type,
                                                               path, name);
                              }));
    chosen_.push_back(component);
    return {};
}

Status ComRequestor::set_previous_backup_stamp(const ComponentKey& component, std::string_view stamp) {
    const auto text = wide(stamp);
    return on_component(Call::set_previous_stamp, "SetPreviousBackupStamp", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return object_->SetPreviousBackupStamp(writer, type, path, name, text.c_str());
                        });
}

Status ComRequestor::set_backup_options(const ComponentKey& component, std::string_view options) {
    const auto text = wide(options);
    return on_component(Call::set_backup_options, "SetBackupOptions", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return object_->SetBackupOptions(writer, type, path, name, text.c_str());
                        });
}

// --- The snapshot set

Result<bool> ComRequestor::is_volume_supported(const Uuid& provider, std::string_view volume) {
    auto name = wide(volume);
    BOOL supported = FALSE;
    EXSHADOW_TRY(call(Call::is_volume_supported, "IsVolumeSupported for " + std::string(volume),
                      [&] { return object_->IsVolumeSupported(guid(provider), name.data(), &supported); }));
    return supported != FALSE;
}

Result<Uuid> ComRequestor::start_snapshot_set() {
    VSS_ID set{};
    EXSHADOW_TRY(
        call(Call::start_snapshot_set, "StartSnapshotSet", [&] { return object_->StartSnapshotSet(&set); }));
    return uuid(set);
}

Result<Uuid> ComRequestor::add_to_snapshot_set(std::string_view volume, const Uuid& provider) {
    auto name = wide(volume);
    VSS_ID snapshot{};
    EXSHADOW_TRY(call(Call::add_to_snapshot_set, "AddToSnapshotSet for " + std::string(volume),
                      [&] { return object_->AddToSnapshotSet(name.data(), guid(provider), &snapshot); }));
    return uuid(snapshot);
}

Result<Step> ComRequestor::prepare_for_backup() {
    order_.set_snapshot_needed(snapshot_needed(metadata_, chosen_, state_.type));
    return begin(Call::prepare_for_backup, "PrepareForBackup",
                 [&](IVssAsync** async) { return object_->PrepareForBackup(async); });
}

Result<Step> ComRequestor::do_snapshot_set() {
    return begin(Call::do_snapshot_set, "DoSnapshotSet",
                 [&](IVssAsync** async) { return object_->DoSnapshotSet(async); });
}

Status ComRequestor::set_backup_succeeded(const ComponentKey& component, bool succeeded) {
    return on_component(Call::set_backup_succeeded, "SetBackupSucceeded", component,
                        [&](const VSS_ID& writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name) {
                            return object_->SetBackupSucceeded(guid(component.instance_id), writer, type,
                                                               path, name, succeeded);
                        });
}

Result<Step> ComRequestor::backup_complete() {
    return begin(Call::backup_complete, "BackupComplete",
                 [&](IVssAsync** async) { return object_->BackupComplete(async); });
}

Status ComRequestor::abort_backup() {
    return call(Call::abort_backup, "AbortBackup", [&] { return object_->AbortBackup(); });
}

Result<std::string> ComRequestor::save_as_xml() {
    Bstr text;
    EXSHADOW_TRY(call(Call::save_as_xml, "SaveAsXML", [&] { return object_->SaveAsXML(text.out()); }));
    return text.text();
}

}  // namespace exshadow::vss::win32
