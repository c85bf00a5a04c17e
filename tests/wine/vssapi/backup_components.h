// IVssBackupComponents through ..Ex4: the 65 slots over a Requestor. Arguments are judged here
// (E_INVALIDARG), the order of calls by the Requestor (VSS_E_BAD_STATE); what the SDK asks in pieces (counts,
// the i-th, free) is served from what the Requestor gave at once.
//
// backup_session.cpp: beginning, writers, components; backup_snapshots.cpp: sets and snapshots;
// backup_restore.cpp: restore.
#pragma once

#include <windows.h>

#include <vsbackup.h>
#include <vss.h>
#include <vswriter.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "com_object.h"
#include "memory.h"
#include "session.h"

namespace exshadow::test_double {

class BackupComponents final
    : public ComObject<IVssBackupComponentsEx4, IVssBackupComponents, IVssBackupComponentsEx,
                       IVssBackupComponentsEx2, IVssBackupComponentsEx3, IVssBackupComponentsEx4> {
public:
    explicit BackupComponents(std::unique_ptr<vss::Requestor> requestor);
    ~BackupComponents() override;

    STDMETHODIMP GetWriterComponentsCount(UINT* out) override;
    STDMETHODIMP GetWriterComponents(UINT i, IVssWriterComponentsExt** out) override;
    STDMETHODIMP InitializeForBackup(BSTR document) override;
    STDMETHODIMP SetBackupState(boolean select, boolean bootable, VSS_BACKUP_TYPE type,
                                boolean partial) override;
    STDMETHODIMP InitializeForRestore(BSTR document) override;
    STDMETHODIMP SetRestoreState(VSS_RESTORE_TYPE type) override;
    STDMETHODIMP GatherWriterMetadata(IVssAsync** out) override;
    STDMETHODIMP GetWriterMetadataCount(UINT* out) override;
    STDMETHODIMP GetWriterMetadata(UINT i, VSS_ID* instance, IVssExamineWriterMetadata** out) override;
    STDMETHODIMP FreeWriterMetadata() override;
    STDMETHODIMP AddComponent(VSS_ID instance, VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                              LPCWSTR name) override;
    STDMETHODIMP PrepareForBackup(IVssAsync** out) override;
    STDMETHODIMP AbortBackup() override;
    STDMETHODIMP GatherWriterStatus(IVssAsync** out) override;
    STDMETHODIMP GetWriterStatusCount(UINT* out) override;
    STDMETHODIMP FreeWriterStatus() override;
    STDMETHODIMP GetWriterStatus(UINT i, VSS_ID* instance, VSS_ID* writer, BSTR* name,
                                 VSS_WRITER_STATE* state, HRESULT* failure) override;
    STDMETHODIMP SetBackupSucceeded(VSS_ID instance, VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                    LPCWSTR name, boolean succeeded) override;
    STDMETHODIMP SetBackupOptions(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                                  LPCWSTR options) override;
    STDMETHODIMP SetSelectedForRestore(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                                       boolean selected) override;
    STDMETHODIMP SetRestoreOptions(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                                   LPCWSTR options) override;
    STDMETHODIMP SetAdditionalRestores(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                                       boolean more) override;
    STDMETHODIMP SetPreviousBackupStamp(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                                        LPCWSTR stamp) override;
    STDMETHODIMP SaveAsXML(BSTR* out) override;
    STDMETHODIMP BackupComplete(IVssAsync** out) override;
    STDMETHODIMP AddAlternativeLocationMapping(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                                               LPCWSTR name, LPCWSTR folder, LPCWSTR spec, boolean recursive,
                                               LPCWSTR destination) override;
    STDMETHODIMP AddRestoreSubcomponent(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                                        LPCWSTR part_path, LPCWSTR part_name, boolean repair) override;
    STDMETHODIMP SetFileRestoreStatus(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                                      VSS_FILE_RESTORE_STATUS status) override;
    STDMETHODIMP AddNewTarget(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                              LPCWSTR folder, LPCWSTR spec, boolean recursive, LPCWSTR destination) override;
    STDMETHODIMP SetRangesFilePath(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                                   UINT partial_file, LPCWSTR file) override;
    STDMETHODIMP PreRestore(IVssAsync** out) override;
    STDMETHODIMP PostRestore(IVssAsync** out) override;
    STDMETHODIMP SetContext(LONG context) override;
    STDMETHODIMP StartSnapshotSet(VSS_ID* set) override;
    STDMETHODIMP AddToSnapshotSet(VSS_PWSZ volume, VSS_ID provider, VSS_ID* snapshot) override;
    STDMETHODIMP DoSnapshotSet(IVssAsync** out) override;
    STDMETHODIMP DeleteSnapshots(VSS_ID id, VSS_OBJECT_TYPE type, WINBOOL force, LONG* deleted,
                                 VSS_ID* not_deleted) override;
    STDMETHODIMP ImportSnapshots(IVssAsync** out) override;
    STDMETHODIMP BreakSnapshotSet(VSS_ID set) override;
    STDMETHODIMP GetSnapshotProperties(VSS_ID snapshot, VSS_SNAPSHOT_PROP* out) override;
    STDMETHODIMP Query(VSS_ID queried, VSS_OBJECT_TYPE queried_type, VSS_OBJECT_TYPE returned_type,
                       IVssEnumObject** out) override;
    STDMETHODIMP IsVolumeSupported(VSS_ID provider, VSS_PWSZ volume, WINBOOL* out) override;
    STDMETHODIMP DisableWriterClasses(const VSS_ID* ids, UINT count) override;
    STDMETHODIMP EnableWriterClasses(const VSS_ID* ids, UINT count) override;
    STDMETHODIMP DisableWriterInstances(const VSS_ID* ids, UINT count) override;
    STDMETHODIMP ExposeSnapshot(VSS_ID snapshot, VSS_PWSZ path, LONG attributes, VSS_PWSZ name,
                                VSS_PWSZ* out) override;
    STDMETHODIMP RevertToSnapshot(VSS_ID snapshot, WINBOOL force) override;
    STDMETHODIMP QueryRevertStatus(VSS_PWSZ volume, IVssAsync** out) override;

    STDMETHODIMP GetWriterMetadataEx(UINT i, VSS_ID* instance, IVssExamineWriterMetadataEx** out) override;
    STDMETHODIMP SetSelectedForRestoreEx(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                                         boolean selected, VSS_ID instance) override;

    STDMETHODIMP UnexposeSnapshot(VSS_ID snapshot) override;
    STDMETHODIMP SetAuthoritativeRestore(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                                         boolean authoritative) override;
    STDMETHODIMP SetRollForward(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                                VSS_ROLLFORWARD_TYPE kind, LPCWSTR point) override;
    STDMETHODIMP SetRestoreName(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR name,
                                LPCWSTR new_name) override;
    STDMETHODIMP BreakSnapshotSetEx(VSS_ID set, DWORD flags, IVssAsync** out) override;
    STDMETHODIMP PreFastRecovery(VSS_ID set, DWORD flags, IVssAsync** out) override;
    STDMETHODIMP FastRecovery(VSS_ID set, DWORD flags, IVssAsync** out) override;

    STDMETHODIMP GetWriterStatusEx(UINT i, VSS_ID* instance, VSS_ID* writer, BSTR* name,
                                   VSS_WRITER_STATE* state, HRESULT* failure, HRESULT* application,
                                   BSTR* message) override;
    STDMETHODIMP AddSnapshotToRecoverySet(VSS_ID snapshot, DWORD flags, VSS_PWSZ destination) override;
    STDMETHODIMP RecoverSet(DWORD flags, IVssAsync** out) override;
    STDMETHODIMP GetSessionId(VSS_ID* out) override;

    STDMETHODIMP GetRootAndLogicalPrefixPaths(VSS_PWSZ path, VSS_PWSZ* root, VSS_PWSZ* prefix,
                                              WINBOOL normalize) override;

private:
    struct Metadata {
        vss::WriterMetadata parsed;
        std::string document;
    };

    // Begins a step: `start` is the requestor's method.
    HRESULT start(const char* name, vss::Call call, Result<vss::Step> (vss::Requestor::*start)(),
                  IVssAsync** out);
    // Changes one component: `change` gets the requestor and the key.
    template <class Change>
    HRESULT change(const char* name, VSS_ID instance, VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path,
                   LPCWSTR component, Json more, Change change);
    HRESULT load_metadata();
    HRESULT load_status();
    HRESULT filter(const char* name, const VSS_ID* ids, UINT count,
                   Status (vss::Requestor::*choose)(std::span<const Uuid>));
    HRESULT metadata_at(const char* name, UINT i, VSS_ID* instance, IVssExamineWriterMetadataEx** out);

    std::shared_ptr<Session> session_;
    std::optional<std::vector<Metadata>> metadata_;  // read since GatherWriterMetadata
    std::optional<std::vector<vss::WriterStatus>> status_;
    bool status_gathered_ = false;  // and not freed
};

// For the log.
[[nodiscard]] std::string text(const VSS_ID& id);
[[nodiscard]] Json key_arguments(VSS_ID writer, VSS_COMPONENT_TYPE type, LPCWSTR path, LPCWSTR component);

[[nodiscard]] inline Status missing_argument() {
    return vss::vss_error(vss::HResult::e_invalidarg, "a text that may not be null");
}

template <class Change>
HRESULT BackupComponents::change(const char* name, VSS_ID instance, VSS_ID writer, VSS_COMPONENT_TYPE type,
                                 LPCWSTR path, LPCWSTR component, Json more, Change change) {
    auto arguments = key_arguments(writer, type, path, component);
    arguments.update(more);
    LoggedCall call("IVssBackupComponents", name, std::move(arguments), session_.get());
    const bool known_type = type == VSS_CT_DATABASE || type == VSS_CT_FILEGROUP;
    if (component == nullptr || !known_type) return call.result(E_INVALIDARG);
    const vss::ComponentKey key{uuid(writer), uuid(instance), static_cast<vss::ComponentType>(type),
                                narrow(path), narrow(component)};
    const auto held = session_->lock();
    const Status status = change(session_->requestor(), key);
    return call.result(status);
}

}  // namespace exshadow::test_double
