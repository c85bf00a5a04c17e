#include "vss/win32/com_object.h"
#include "vss/win32/com_requestor.h"

namespace exshadow::vss::win32 {

namespace {

SnapshotProperties as_value(const VSS_SNAPSHOT_PROP& given) {
    SnapshotProperties out;
    out.snapshot_id = uuid(given.m_SnapshotId);
    out.set_id = uuid(given.m_SnapshotSetId);
    out.set_size = given.m_lSnapshotsCount;
    out.device = utf8(given.m_pwszSnapshotDeviceObject);
    out.original_volume = utf8(given.m_pwszOriginalVolumeName);
    out.originating_machine = utf8(given.m_pwszOriginatingMachine);
    out.service_machine = utf8(given.m_pwszServiceMachine);
    out.exposed_name = utf8(given.m_pwszExposedName);
    out.exposed_path = utf8(given.m_pwszExposedPath);
    out.provider_id = uuid(given.m_ProviderId);
    out.attributes = static_cast<SnapshotAttributes>(static_cast<std::uint32_t>(given.m_lSnapshotAttributes));
    out.created = given.m_tsCreationTimestamp;
    out.state = static_cast<SnapshotState>(given.m_eStatus);
    return out;
}

ProviderProperties as_value(const VSS_PROVIDER_PROP& given) {
    ProviderProperties out;
    out.provider_id = uuid(given.m_ProviderId);
    out.name = utf8(given.m_pwszProviderName);
    out.type = static_cast<ProviderType>(given.m_eProviderType);
    out.version = utf8(given.m_pwszProviderVersion);
    out.version_id = uuid(given.m_ProviderVersionId);
    out.class_id = uuid(given.m_ClassId);
    return out;
}

// Frees what an enumerator gave, by its type.
void free_object(const Vssapi& api, VSS_OBJECT_PROP& object) {
    if (object.Type == VSS_OBJECT_SNAPSHOT) {
        api.free(object.Obj.Snap);
    } else if (object.Type == VSS_OBJECT_PROVIDER) {
        CoTaskMemFree(object.Obj.Prov.m_pwszProviderName);
        CoTaskMemFree(object.Obj.Prov.m_pwszProviderVersion);
    }
}

// Gives every object of the list to `take`; an empty list is a null one or one that ends at once.
template <class Take>
Status for_each(const Vssapi& api, IVssEnumObject* list, Take take) {
    while (list != nullptr) {
        VSS_OBJECT_PROP object{};
        ULONG fetched = 0;
        const HRESULT result = list->Next(1, &object, &fetched);
        EXSHADOW_TRY(check(result, "IVssEnumObject::Next"));
        if (result == S_FALSE || fetched == 0) break;
        take(object);
        free_object(api, object);
    }
    return {};
}

}  // namespace

Result<bool> should_block_revert(std::string_view volume) {
    const auto api = Vssapi::load();
    if (!api.ok()) return api.error();
    return api->should_block_revert(volume);
}

Result<SnapshotProperties> ComRequestor::snapshot_properties(const Uuid& snapshot) {
    VSS_SNAPSHOT_PROP given{};
    EXSHADOW_TRY(call(Call::get_snapshot_properties, "GetSnapshotProperties of " + snapshot.text(),
                      [&] { return object_->GetSnapshotProperties(guid(snapshot), &given); }));
    const auto out = as_value(given);
    api_.free(given);
    return out;
}

Result<ComPtr<IVssEnumObject>> ComRequestor::query(VSS_OBJECT_TYPE type) {
    ComPtr<IVssEnumObject> list;
    EXSHADOW_TRY(call(Call::query, "Query",
                      [&] { return object_->Query(GUID{}, VSS_OBJECT_NONE, type, list.out()); }));
    return list;
}

Result<std::vector<SnapshotProperties>> ComRequestor::query_snapshots() {
    const auto list = query(VSS_OBJECT_SNAPSHOT);
    if (!list.ok()) return list.error();
    std::vector<SnapshotProperties> all;
    EXSHADOW_TRY(for_each(api_, list->get(), [&](const VSS_OBJECT_PROP& object) {
        if (object.Type == VSS_OBJECT_SNAPSHOT) all.push_back(as_value(object.Obj.Snap));
    }));
    return all;
}

Result<std::vector<ProviderProperties>> ComRequestor::query_providers() {
    const auto list = query(VSS_OBJECT_PROVIDER);
    if (!list.ok()) return list.error();
    std::vector<ProviderProperties> all;
    EXSHADOW_TRY(for_each(api_, list->get(), [&](const VSS_OBJECT_PROP& object) {
        if (object.Type == VSS_OBJECT_PROVIDER) all.push_back(as_value(object.Obj.Prov));
    }));
    return all;
}

Result<DeleteOutcome> ComRequestor::delete_snapshots(const Uuid& id, ObjectType type, bool force) {
    EXSHADOW_TRY(order_.permit(Call::delete_snapshots));
    LONG deleted = 0;
    VSS_ID stopped_at{};
    const HRESULT result =
        object_->DeleteSnapshots(guid(id), static_cast<VSS_OBJECT_TYPE>(type), force, &deleted, &stopped_at);
    order_.ended(Call::delete_snapshots, SUCCEEDED(result));
    DeleteOutcome outcome{deleted, std::nullopt, code(result)};
    if (SUCCEEDED(result)) return outcome;
    // A failure that names the snapshot it stopped at is an outcome, any other one an error.
    if (uuid(stopped_at).is_nil()) return com_error(result, "DeleteSnapshots of " + id.text());
    outcome.failed_snapshot = uuid(stopped_at);
    return outcome;
}

Status ComRequestor::break_snapshot_set(const Uuid& set) {
    return call(Call::break_snapshot_set, "BreakSnapshotSet of " + set.text(),
                [&] { return object_->BreakSnapshotSet(guid(set)); });
}

Result<Step> ComRequestor::break_snapshot_set_ex(const Uuid& set, BreakFlags flags) {
    EXSHADOW_TRY(order_.permit(Call::break_snapshot_set));
    if (!ex2_) return no_interface("IVssBackupComponentsEx2", "BreakSnapshotSetEx");
    return begin(Call::break_snapshot_set, "BreakSnapshotSetEx of " + set.text(), [&](IVssAsync** async) {
        return ex2_->BreakSnapshotSetEx(guid(set), static_cast<DWORD>(flags), async);
    });
}

Result<Step> ComRequestor::import_snapshots() {
    return begin(Call::import_snapshots, "ImportSnapshots",
                 [&](IVssAsync** async) { return object_->ImportSnapshots(async); });
}

Result<std::string> ComRequestor::expose_snapshot(const Uuid& snapshot, std::string_view path_from_root,
                                                  Exposure how, std::string_view name) {
    auto path = wide(path_from_root);
    auto wanted = wide(name);
    TaskText got;
    EXSHADOW_TRY(call(Call::expose_snapshot, "ExposeSnapshot of " + snapshot.text(), [&] {
        const auto attribute = how == Exposure::locally ? SnapshotAttributes::exposed_locally
                                                        : SnapshotAttributes::exposed_remotely;
        return object_->ExposeSnapshot(guid(snapshot), path.empty() ? nullptr : path.data(),
                                       static_cast<LONG>(attribute), wanted.empty() ? nullptr : wanted.data(),
                                       got.out());
    }));
    return got.text();
}

Status ComRequestor::unexpose_snapshot(const Uuid& snapshot) {
    EXSHADOW_TRY(order_.permit(Call::unexpose_snapshot));
    if (!ex2_) return no_interface("IVssBackupComponentsEx2", "UnexposeSnapshot");
    return call(Call::unexpose_snapshot, "UnexposeSnapshot of " + snapshot.text(),
                [&] { return ex2_->UnexposeSnapshot(guid(snapshot)); });
}

Status ComRequestor::revert_to_snapshot(const Uuid& snapshot, bool force_dismount) {
    return call(Call::revert_to_snapshot, "RevertToSnapshot " + snapshot.text(),
                [&] { return object_->RevertToSnapshot(guid(snapshot), force_dismount); });
}

Result<Step> ComRequestor::query_revert_status(std::string_view volume) {
    auto name = wide(volume);
    return begin(Call::query_revert_status, "QueryRevertStatus of " + std::string(volume),
                 [&](IVssAsync** async) { return object_->QueryRevertStatus(name.data(), async); });
}

Result<Requestor::RootAndPrefix> ComRequestor::root_and_logical_prefix_paths(std::string_view path,
                                                                             bool normalize_fqdn) {
    EXSHADOW_TRY(order_.permit(Call::get_root_and_logical_prefix_paths));
    if (!ex4_) return no_interface("IVssBackupComponentsEx4", "GetRootAndLogicalPrefixPaths");
    auto name = wide(path);
    TaskText root;
    TaskText prefix;
    EXSHADOW_TRY(call(
        Call::get_root_and_logical_prefix_paths, "GetRootAndLogicalPrefixPaths of " + std::string(path), [&] {
            return ex4_->GetRootAndLogicalPrefixPaths(name.data(), root.out(), prefix.out(), normalize_fqdn);
        }));
    return RootAndPrefix{root.text(), prefix.text()};
}

}  // namespace exshadow::vss::win32
