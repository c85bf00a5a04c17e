#include "vss/win32/answers.h"
#include "vss/win32/examine.h"

namespace exshadow::vss::win32 {

namespace {

std::int64_t filetime(const FILETIME& time) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(time.dwHighDateTime) << 32U |
                                     time.dwLowDateTime);
}

void read_partial_files(Answers& answers, BackupComponent& out, IVssComponent& component) {
    const UINT count = answers.needed_value(&component, &IVssComponent::GetPartialFileCount);
    for (UINT i = 0; i < count; ++i) {
        Bstr path;
        Bstr name;
        Bstr ranges;
        Bstr metadata;
        if (!answers.need(component.GetPartialFile(i, path.out(), name.out(), ranges.out(), metadata.out())))
            continue;
        out.partial_files.push_back({path.text(), name.text(), ranges.text(), metadata.text()});
    }
}

void read_differenced_files(Answers& answers, BackupComponent& out, IVssComponent& component) {
    const UINT count = answers.needed_value(&component, &IVssComponent::GetDifferencedFilesCount);
    for (UINT i = 0; i < count; ++i) {
        Bstr path;
        Bstr spec;
        Bstr sequence;  // reserved: always empty
        BOOL recursive = FALSE;
        FILETIME modified{};
        if (!answers.need(component.GetDifferencedFile(i, path.out(), spec.out(), &recursive, sequence.out(),
                                                       &modified)))
            continue;
        DifferencedFile file;
        file.files.path = path.text();
        file.files.spec = spec.text();
        file.files.recursive = recursive != FALSE;
        file.last_modified = filetime(modified);
        out.differenced_files.push_back(std::move(file));
    }
}

LocationMapping as_mapping(FileSet files) {
    LocationMapping mapping;
    mapping.destination = std::exchange(files.alternate_path, {});
    mapping.files = std::move(files);
    return mapping;
}

// The counts of a restore's lists have no answer in a backup: none.
void read_mappings(Answers& answers, RestoreChoice& out, IVssComponent& component) {
    const UINT mappings = answers.value(&component, &IVssComponent::GetAlternateLocationMappingCount);
    for (UINT i = 0; i < mappings; ++i) {
        if (const auto files = answers.element(&component, &IVssComponent::GetAlternateLocationMapping, i))
            out.alternate_mappings.push_back(as_mapping(read_file_set(answers, *files.get())));
    }
    const UINT targets = answers.value(&component, &IVssComponent::GetNewTargetCount);
    for (UINT i = 0; i < targets; ++i) {
        if (const auto files = answers.element(&component, &IVssComponent::GetNewTarget, i))
            out.new_targets.push_back(as_mapping(read_file_set(answers, *files.get())));
    }
}

void read_directed_targets(Answers& answers, RestoreChoice& out, IVssComponent& component) {
    const UINT count = answers.value(&component, &IVssComponent::GetDirectedTargetCount);
    for (UINT i = 0; i < count; ++i) {
        Bstr from_path;
        Bstr from_name;
        Bstr from_ranges;
        Bstr to_path;
        Bstr to_name;
        Bstr to_ranges;
        if (!answers.need(component.GetDirectedTarget(i, from_path.out(), from_name.out(), from_ranges.out(),
                                                      to_path.out(), to_name.out(), to_ranges.out())))
            continue;
        out.directed_targets.push_back({from_path.text(), from_name.text(), from_ranges.text(),
                                        to_path.text(), to_name.text(), to_ranges.text()});
    }
}

void read_subcomponents(Answers& answers, RestoreChoice& out, IVssComponent& component) {
    const UINT count = answers.value(&component, &IVssComponent::GetRestoreSubcomponentCount);
    for (UINT i = 0; i < count; ++i) {
        Bstr path;
        Bstr name;
        OutFlag repair;
        if (answers.need(component.GetRestoreSubcomponent(i, path.out(), name.out(), repair)))
            out.subcomponents.push_back({path.text(), name.text()});
    }
}

RestoreChoice read_restore(Answers& answers, IVssComponent& component, IVssComponentEx* newer) {
    RestoreChoice out;
    out.selected = answers.value(&component, &IVssComponent::IsSelectedForRestore) != 0;
    out.additional_restores = answers.value(&component, &IVssComponent::GetAdditionalRestores) != 0;
    out.options = answers.text(&component, &IVssComponent::GetRestoreOptions);
    out.target = static_cast<RestoreTarget>(answers.value(&component, &IVssComponent::GetRestoreTarget));
    out.status =
        static_cast<FileRestoreStatus>(answers.value(&component, &IVssComponent::GetFileRestoreStatus));
    out.pre_restore_failure = answers.text(&component, &IVssComponent::GetPreRestoreFailureMsg);
    out.post_restore_failure = answers.text(&component, &IVssComponent::GetPostRestoreFailureMsg);
    read_mappings(answers, out, component);
    read_directed_targets(answers, out, component);
    read_subcomponents(answers, out, component);
    if (newer == nullptr) return out;
    out.authoritative = answers.value(newer, &IVssComponentEx::GetAuthoritativeRestore) != 0;
    out.new_name = answers.text(newer, &IVssComponentEx::GetRestoreName);
    VSS_ROLLFORWARD_TYPE kind = VSS_RF_UNDEFINED;
    Bstr point;
    if (answers.take(newer->GetRollForward(&kind, point.out()))) {
        out.roll_forward = static_cast<RollForward>(kind);
        out.roll_forward_point = point.text();
    }
    return out;
}

std::optional<ComponentFailure> read_failure(Answers& answers, IVssComponentEx2* newest) {
    if (newest == nullptr) return std::nullopt;
    HRESULT failure = S_OK;
    HRESULT application = S_OK;
    Bstr message;
    DWORD reserved = 0;
    if (!answers.take(newest->GetFailure(&failure, &application, message.out(), &reserved)) ||
        SUCCEEDED(failure))
        return std::nullopt;
    return ComponentFailure{code(failure), code(application), message.text()};
}

BackupComponent read_component(Answers& answers, ComPtr<IVssComponent>& component, bool whole) {
    IVssComponent* const object = component.get();
    const auto newer = component.as<IVssComponentEx>();
    const auto newest = component.as<IVssComponentEx2>();
    BackupComponent out;
    out.type = static_cast<ComponentType>(answers.needed_value(object, &IVssComponent::GetComponentType));
    out.logical_path = answers.needed_text(object, &IVssComponent::GetLogicalPath);
    out.name = answers.needed_text(object, &IVssComponent::GetComponentName);
    const bool succeeded = answers.value(object, &IVssComponent::GetBackupSucceeded) != 0;
    if (succeeded || whole) out.succeeded = succeeded;
    out.backup_options = answers.text(object, &IVssComponent::GetBackupOptions);
    out.backup_stamp = answers.text(object, &IVssComponent::GetBackupStamp);
    out.previous_backup_stamp = answers.text(object, &IVssComponent::GetPreviousBackupStamp);
    out.backup_metadata = answers.text(object, &IVssComponent::GetBackupMetadata);
    out.restore_metadata = answers.text(object, &IVssComponent::GetRestoreMetadata);
    read_partial_files(answers, out, *object);
    read_differenced_files(answers, out, *object);
    out.restore = read_restore(answers, *object, newer.get());
    out.failure = read_failure(answers, newest.get());
    return out;
}

}  // namespace

Result<BackupWriter> read_components(WriterComponents& writer, bool whole) {
    Answers answers("reading a writer's components");
    BackupWriter out;
    VSS_ID instance{};
    VSS_ID id{};
    if (answers.need(writer.GetWriterInfo(&instance, &id))) {
        out.instance_id = uuid(instance);
        out.writer_id = uuid(id);
    }
    UINT count = 0;
    answers.need(writer.GetComponentCount(&count));
    for (UINT i = 0; i < count; ++i) {
        auto component = answers.element(&writer, &IVssWriterComponents::GetComponent, i);
        if (component) out.components.push_back(read_component(answers, component, whole));
    }
    EXSHADOW_TRY(answers.status());
    return out;
}

}  // namespace exshadow::vss::win32
