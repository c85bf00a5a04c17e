// IVssComponent through ..Ex2 as a requestor sees it, over one component of the document; and the object of
// one writer's components, in the SDK's shape.
//
// Pointers go stale: after PrepareForBackup, DoSnapshotSet, BackupComplete, PreRestore and PostRestore every
// method but IUnknown's answers VSS_E_OBJECT_NOT_FOUND.
#pragma once

#include <windows.h>

#include <vsbackup.h>
#include <vss.h>
#include <vswriter.h>

#include <memory>

#include "arguments.h"
#include "com_object.h"
#include "session.h"
#include "vss/metadata.h"

namespace exshadow::test_double {

// Is what was handed out in one generation of a session still good?
class Freshness {
public:
    Freshness(std::shared_ptr<Session> session, std::uint64_t generation)
        : session_(std::move(session)), generation_(generation) {}
    [[nodiscard]] HRESULT check(const char* interface_name, const char* method) const;

private:
    std::shared_ptr<Session> session_;
    std::uint64_t generation_;
};

class ComponentObject final
    : public ComObject<IVssComponentEx2, IVssComponent, IVssComponentEx, IVssComponentEx2> {
public:
    ComponentObject(vss::BackupComponent component, Freshness fresh)
        : ComObject("IVssComponent"), component_(std::move(component)), fresh_(std::move(fresh)) {}

    STDMETHODIMP GetLogicalPath(BSTR* out) override;
    STDMETHODIMP GetComponentType(VSS_COMPONENT_TYPE* out) override;
    STDMETHODIMP GetComponentName(BSTR* out) override;
    STDMETHODIMP GetBackupSucceeded(boolean* out) override;
    STDMETHODIMP GetAlternateLocationMappingCount(UINT* out) override;
    STDMETHODIMP GetAlternateLocationMapping(UINT i, IVssWMFiledesc** out) override;
    STDMETHODIMP SetBackupMetadata(LPCWSTR) override;
    STDMETHODIMP GetBackupMetadata(BSTR* out) override;
    STDMETHODIMP AddPartialFile(LPCWSTR, LPCWSTR, LPCWSTR, LPCWSTR) override;
    STDMETHODIMP GetPartialFileCount(UINT* out) override;
    STDMETHODIMP GetPartialFile(UINT i, BSTR* path, BSTR* name, BSTR* ranges, BSTR* metadata) override;
    STDMETHODIMP IsSelectedForRestore(boolean* out) override;
    STDMETHODIMP GetAdditionalRestores(boolean* out) override;
    STDMETHODIMP GetNewTargetCount(UINT* out) override;
    STDMETHODIMP GetNewTarget(UINT i, IVssWMFiledesc** out) override;
    STDMETHODIMP AddDirectedTarget(LPCWSTR, LPCWSTR, LPCWSTR, LPCWSTR, LPCWSTR, LPCWSTR) override;
    STDMETHODIMP GetDirectedTargetCount(UINT* out) override;
    STDMETHODIMP GetDirectedTarget(UINT i, BSTR* source_path, BSTR* source_name, BSTR* source_ranges,
                                   BSTR* target_path, BSTR* target_name, BSTR* target_ranges) override;
    STDMETHODIMP SetRestoreMetadata(LPCWSTR) override;
    STDMETHODIMP GetRestoreMetadata(BSTR* out) override;
    STDMETHODIMP SetRestoreTarget(VSS_RESTORE_TARGET) override;
    STDMETHODIMP GetRestoreTarget(VSS_RESTORE_TARGET* out) override;
    STDMETHODIMP SetPreRestoreFailureMsg(LPCWSTR) override;
    STDMETHODIMP GetPreRestoreFailureMsg(BSTR* out) override;
    STDMETHODIMP SetPostRestoreFailureMsg(LPCWSTR) override;
    STDMETHODIMP GetPostRestoreFailureMsg(BSTR* out) override;
    STDMETHODIMP SetBackupStamp(LPCWSTR) override;
    STDMETHODIMP GetBackupStamp(BSTR* out) override;
    STDMETHODIMP GetPreviousBackupStamp(BSTR* out) override;
    STDMETHODIMP GetBackupOptions(BSTR* out) override;
    STDMETHODIMP GetRestoreOptions(BSTR* out) override;
    STDMETHODIMP GetRestoreSubcomponentCount(UINT* out) override;
    STDMETHODIMP GetRestoreSubcomponent(UINT i, BSTR* path, BSTR* name, boolean* repair) override;
    STDMETHODIMP GetFileRestoreStatus(VSS_FILE_RESTORE_STATUS* out) override;
    STDMETHODIMP AddDifferencedFilesByLastModifyTime(LPCWSTR, LPCWSTR, WINBOOL, FILETIME) override;
    STDMETHODIMP AddDifferencedFilesByLastModifyLSN(LPCWSTR, LPCWSTR, WINBOOL, BSTR) override;
    STDMETHODIMP GetDifferencedFilesCount(UINT* out) override;
    STDMETHODIMP GetDifferencedFile(UINT i, BSTR* path, BSTR* spec, WINBOOL* recursive, BSTR* lsn,
                                    FILETIME* modified) override;
    STDMETHODIMP SetPrepareForBackupFailureMsg(LPCWSTR) override;
    STDMETHODIMP SetPostSnapshotFailureMsg(LPCWSTR) override;
    STDMETHODIMP GetPrepareForBackupFailureMsg(BSTR* out) override;
    STDMETHODIMP GetPostSnapshotFailureMsg(BSTR* out) override;
    STDMETHODIMP GetAuthoritativeRestore(boolean* out) override;
    STDMETHODIMP GetRollForward(VSS_ROLLFORWARD_TYPE* kind, BSTR* point) override;
    STDMETHODIMP GetRestoreName(BSTR* out) override;
    STDMETHODIMP SetFailure(HRESULT, HRESULT, LPCWSTR, DWORD) override;
    STDMETHODIMP GetFailure(HRESULT* failure, HRESULT* application, BSTR* message, DWORD* reserved) override;

private:
    const vss::BackupComponent component_;
    const Freshness fresh_;
};

// IVssWriterComponentsExt of the SDK: IVssWriterComponents and, behind it, IUnknown, with a vptr each. The
// mingw-w64 headers know the first base only, so the pointer has to be reinterpreted.
class WriterComponentsObject final : public IVssWriterComponents, public IUnknown {
public:
    WriterComponentsObject(vss::BackupWriter writer, Freshness fresh);
    WriterComponentsObject(const WriterComponentsObject&) = delete;
    WriterComponentsObject& operator=(const WriterComponentsObject&) = delete;
    virtual ~WriterComponentsObject();

    [[nodiscard]] IVssWriterComponentsExt* pointer() {
        return reinterpret_cast<IVssWriterComponentsExt*>(static_cast<IVssWriterComponents*>(this));
    }

    STDMETHODIMP GetComponentCount(UINT* out) override;
    STDMETHODIMP GetWriterInfo(VSS_ID* instance, VSS_ID* writer) override;
    STDMETHODIMP GetComponent(UINT i, IVssComponent** out) override;

    STDMETHODIMP QueryInterface(REFIID id, void** out) override;
    STDMETHODIMP_(ULONG) AddRef() override { return ++references_; }
    STDMETHODIMP_(ULONG) Release() override;

private:
    const vss::BackupWriter writer_;
    const Freshness fresh_;
    std::atomic<ULONG> references_{1};
};

}  // namespace exshadow::test_double
