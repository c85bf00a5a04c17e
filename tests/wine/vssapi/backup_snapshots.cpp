// The snapshot set being made, and snapshots that exist.
#include "arguments.h"
#include "backup_components.h"
#include "enum_object.h"

namespace exshadow::test_double {

using vss::Call;

namespace {
constexpr auto object_name = "IVssBackupComponents";
}

STDMETHODIMP BackupComponents::StartSnapshotSet(VSS_ID* set) {
    LoggedCall call(object_name, "StartSnapshotSet", {}, session_.get());
    if (set == nullptr) return call.result(E_INVALIDARG);
    *set = GUID_NULL;
    const auto held = session_->lock();
    const auto id = session_->requestor().start_snapshot_set();
    if (!id.ok()) return call.result(Status(id.error()));
    *set = guid(*id);
    return call.result(session_->done(Call::start_snapshot_set, S_OK));
}

STDMETHODIMP BackupComponents::AddToSnapshotSet(VSS_PWSZ volume, VSS_ID provider, VSS_ID* snapshot) {
    LoggedCall call(object_name, "AddToSnapshotSet",
                    {{"volume", narrow(volume)}, {"provider", text(provider)}}, session_.get());
    if (any_null(volume, snapshot)) return call.result(E_INVALIDARG);
    *snapshot = GUID_NULL;
    const auto held = session_->lock();
    const auto id = session_->requestor().add_to_snapshot_set(narrow(volume), uuid(provider));
    if (!id.ok()) return call.result(Status(id.error()));
    *snapshot = guid(*id);
    return call.result(S_OK);
}

STDMETHODIMP BackupComponents::PrepareForBackup(IVssAsync** out) {
    return start("PrepareForBackup", Call::prepare_for_backup, &vss::Requestor::prepare_for_backup, out);
}
STDMETHODIMP BackupComponents::DoSnapshotSet(IVssAsync** out) {
    return start("DoSnapshotSet", Call::do_snapshot_set, &vss::Requestor::do_snapshot_set, out);
}
STDMETHODIMP BackupComponents::BackupComplete(IVssAsync** out) {
    return start("BackupComplete", Call::backup_complete, &vss::Requestor::backup_complete, out);
}
STDMETHODIMP BackupComponents::ImportSnapshots(IVssAsync** out) {
    return start("ImportSnapshots", Call::import_snapshots, &vss::Requestor::import_snapshots, out);
}

STDMETHODIMP BackupComponents::AbortBackup() {
    LoggedCall call(object_name, "AbortBackup", {}, session_.get());
    const auto held = session_->lock();
    const auto status = session_->requestor().abort_backup();
    session_->done(Call::abort_backup, hresult(status));
    return call.result(status);
}

STDMETHODIMP BackupComponents::IsVolumeSupported(VSS_ID provider, VSS_PWSZ volume, WINBOOL* out) {
    LoggedCall call(object_name, "IsVolumeSupported",
                    {{"volume", narrow(volume)}, {"provider", text(provider)}}, session_.get());
    if (any_null(volume, out)) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    const auto supported = session_->requestor().is_volume_supported(uuid(provider), narrow(volume));
    if (!supported.ok()) return call.result(Status(supported.error()));
    *out = *supported;
    return call.result(S_OK);
}

STDMETHODIMP BackupComponents::GetSnapshotProperties(VSS_ID snapshot, VSS_SNAPSHOT_PROP* out) {
    LoggedCall call(object_name, "GetSnapshotProperties", {{"snapshot", text(snapshot)}}, session_.get());
    if (out == nullptr) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    const auto properties = session_->requestor().snapshot_properties(uuid(snapshot));
    if (!properties.ok()) return call.result(Status(properties.error()));
    fill(*out, *properties);
    return call.result(S_OK);
}

// S_FALSE comes with an enumerator that is empty, which has to be released as well.
STDMETHODIMP BackupComponents::Query(VSS_ID queried, VSS_OBJECT_TYPE queried_type,
                                     VSS_OBJECT_TYPE returned_type, IVssEnumObject** out) {
    LoggedCall call(object_name, "Query", {{"returned", static_cast<int>(returned_type)}}, session_.get());
    if (out == nullptr) return call.result(E_INVALIDARG);
    *out = nullptr;
    if (queried != GUID_NULL || queried_type != VSS_OBJECT_NONE) return call.result(E_INVALIDARG);
    if (returned_type != VSS_OBJECT_SNAPSHOT && returned_type != VSS_OBJECT_PROVIDER) {
        return call.result(E_INVALIDARG);
    }
    const auto held = session_->lock();
    std::vector<Found> list;
    if (returned_type == VSS_OBJECT_SNAPSHOT) {
        auto found = session_->requestor().query_snapshots();
        if (!found.ok()) return call.result(Status(found.error()));
        list.assign(found->begin(), found->end());
    } else {
        auto found = session_->requestor().query_providers();
        if (!found.ok()) return call.result(Status(found.error()));
        list.assign(found->begin(), found->end());
    }
    const bool none = list.empty();
    *out = new EnumObject(std::move(list));
    return call.result(none ? S_FALSE : S_OK);
}

STDMETHODIMP BackupComponents::DeleteSnapshots(VSS_ID id, VSS_OBJECT_TYPE type, WINBOOL force, LONG* deleted,
                                               VSS_ID* not_deleted) {
    LoggedCall call(object_name, "DeleteSnapshots",
                    {{"id", text(id)}, {"type", static_cast<int>(type)}, {"force", force != 0}},
                    session_.get());
    if (any_null(deleted, not_deleted)) return call.result(E_INVALIDARG);
    *deleted = 0;
    *not_deleted = GUID_NULL;
    if (type != VSS_OBJECT_SNAPSHOT && type != VSS_OBJECT_SNAPSHOT_SET) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    const auto outcome =
        session_->requestor().delete_snapshots(uuid(id), static_cast<vss::ObjectType>(type), force != 0);
    if (!outcome.ok()) return call.result(Status(outcome.error()));
    *deleted = outcome->deleted;
    if (outcome->failed_snapshot) *not_deleted = guid(*outcome->failed_snapshot);
    call.note("deleted", outcome->deleted);
    return call.result(hresult(outcome->failure));
}

STDMETHODIMP BackupComponents::BreakSnapshotSet(VSS_ID set) {
    LoggedCall call(object_name, "BreakSnapshotSet", {{"set", text(set)}}, session_.get());
    const auto held = session_->lock();
    return call.result(session_->requestor().break_snapshot_set(uuid(set)));
}

STDMETHODIMP BackupComponents::BreakSnapshotSetEx(VSS_ID set, DWORD flags, IVssAsync** out) {
    LoggedCall call(object_name, "BreakSnapshotSetEx", {{"set", text(set)}, {"flags", flags}},
                    session_.get());
    if (out == nullptr) return call.result(E_INVALIDARG);
    *out = nullptr;
    const auto held = session_->lock();
    auto step = session_->requestor().break_snapshot_set_ex(uuid(set), static_cast<vss::BreakFlags>(flags));
    if (!step.ok()) call.note("error", step.error().message());
    return call.result(session_->begun(Call::break_snapshot_set, std::move(step), "BreakSnapshotSetEx", out));
}

STDMETHODIMP BackupComponents::ExposeSnapshot(VSS_ID snapshot, VSS_PWSZ path, LONG attributes, VSS_PWSZ name,
                                              VSS_PWSZ* out) {
    LoggedCall call(object_name, "ExposeSnapshot",
                    {{"snapshot", text(snapshot)},
                     {"path", narrow(path)},
                     {"attributes", static_cast<std::uint32_t>(attributes)},
                     {"name", narrow(name)}},
                    session_.get());
    if (out == nullptr) return call.result(E_INVALIDARG);
    *out = nullptr;
    const bool locally = attributes == VSS_VOLSNAP_ATTR_EXPOSED_LOCALLY;
    if (!locally && attributes != VSS_VOLSNAP_ATTR_EXPOSED_REMOTELY) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    const auto exposed = session_->requestor().expose_snapshot(
        uuid(snapshot), narrow(path), locally ? vss::Exposure::locally : vss::Exposure::remotely,
        narrow(name));
    if (!exposed.ok()) return call.result(Status(exposed.error()));
    *out = new_task_text(*exposed);
    return call.result(S_OK);
}

STDMETHODIMP BackupComponents::UnexposeSnapshot(VSS_ID snapshot) {
    LoggedCall call(object_name, "UnexposeSnapshot", {{"snapshot", text(snapshot)}}, session_.get());
    const auto held = session_->lock();
    return call.result(session_->requestor().unexpose_snapshot(uuid(snapshot)));
}

STDMETHODIMP BackupComponents::RevertToSnapshot(VSS_ID snapshot, WINBOOL force) {
    LoggedCall call(object_name, "RevertToSnapshot", {{"snapshot", text(snapshot)}, {"force", force != 0}},
                    session_.get());
    const auto held = session_->lock();
    return call.result(session_->requestor().revert_to_snapshot(uuid(snapshot), force != 0));
}

STDMETHODIMP BackupComponents::QueryRevertStatus(VSS_PWSZ volume, IVssAsync** out) {
    LoggedCall call(object_name, "QueryRevertStatus", {{"volume", narrow(volume)}}, session_.get());
    if (out == nullptr) return call.result(E_POINTER);
    *out = nullptr;
    if (volume == nullptr) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    auto step = session_->requestor().query_revert_status(narrow(volume));
    if (!step.ok()) call.note("error", step.error().message());
    return call.result(session_->begun(Call::query_revert_status, std::move(step), "QueryRevertStatus", out));
}

STDMETHODIMP BackupComponents::GetRootAndLogicalPrefixPaths(VSS_PWSZ path, VSS_PWSZ* root, VSS_PWSZ* prefix,
                                                            WINBOOL normalize) {
    LoggedCall call(object_name, "GetRootAndLogicalPrefixPaths", {{"path", narrow(path)}}, session_.get());
    if (any_null(path) || any_null(root, prefix)) return call.result(E_INVALIDARG);
    const auto held = session_->lock();
    const auto found = session_->requestor().root_and_logical_prefix_paths(narrow(path), normalize != 0);
    if (!found.ok()) return call.result(Status(found.error()));
    *root = new_task_text(found->root);
    *prefix = new_task_text(found->prefix);
    return call.result(S_OK);
}

}  // namespace exshadow::test_double
