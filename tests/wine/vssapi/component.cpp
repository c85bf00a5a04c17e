#include "component.h"

#include "file_description.h"

namespace exshadow::test_double {

namespace {

const auto not_found = hresult(vss::HResult::vss_e_object_not_found);
const auto writers_only = hresult(vss::HResult::vss_e_bad_state);  // the setters belong to writers

}  // namespace

HRESULT Freshness::check(const char* interface_name, const char* method) const {
    if (session_->generation() == generation_) return S_OK;
    LoggedCall call(interface_name, method, {{"stale", true}});
    return call.result(not_found);
}

// Every getter looks at its pointer's age first.
#define EXSHADOW_FRESH(method)                                   \
    do {                                                         \
        const auto age = fresh_.check("IVssComponent", #method); \
        if (FAILED(age)) return age;                             \
    } while (false)
#define EXSHADOW_TEXT(method, text)                          \
    STDMETHODIMP ComponentObject::method(BSTR* out) {        \
        EXSHADOW_FRESH(method);                              \
        if (FAILED(denied(#method))) return denied(#method); \
        return give(out, text);                              \
    }
#define EXSHADOW_VALUE(method, type, value)                  \
    STDMETHODIMP ComponentObject::method(type* out) {        \
        EXSHADOW_FRESH(method);                              \
        if (FAILED(denied(#method))) return denied(#method); \
        return give_value(out, value);                       \
    }
#define EXSHADOW_FILES(method, list)                                     \
    STDMETHODIMP ComponentObject::method(UINT i, IVssWMFiledesc** out) { \
        EXSHADOW_FRESH(method);                                          \
        return give_files(list, i, out);                                 \
    }
#define EXSHADOW_REFUSE(method, ...)                    \
    STDMETHODIMP ComponentObject::method(__VA_ARGS__) { \
        return writers_only;                            \
    }

EXSHADOW_TEXT(GetLogicalPath, component_.logical_path)
EXSHADOW_TEXT(GetComponentName, component_.name)
EXSHADOW_TEXT(GetBackupMetadata, component_.backup_metadata)
EXSHADOW_TEXT(GetRestoreMetadata, component_.restore_metadata)
EXSHADOW_TEXT(GetPreRestoreFailureMsg, component_.restore.pre_restore_failure)
EXSHADOW_TEXT(GetPostRestoreFailureMsg, component_.restore.post_restore_failure)
EXSHADOW_TEXT(GetBackupStamp, component_.backup_stamp)
EXSHADOW_TEXT(GetPreviousBackupStamp, component_.previous_backup_stamp)
EXSHADOW_TEXT(GetBackupOptions, component_.backup_options)
EXSHADOW_TEXT(GetRestoreOptions, component_.restore.options)
EXSHADOW_TEXT(GetRestoreName, component_.restore.new_name)
EXSHADOW_TEXT(GetPrepareForBackupFailureMsg, "")  // the contract has one failure per component: GetFailure
EXSHADOW_TEXT(GetPostSnapshotFailureMsg, "")

EXSHADOW_VALUE(GetComponentType, VSS_COMPONENT_TYPE, component_.type)
EXSHADOW_VALUE(GetBackupSucceeded, boolean, component_.succeeded.value_or(false))
EXSHADOW_VALUE(GetAlternateLocationMappingCount, UINT, component_.restore.alternate_mappings.size())
EXSHADOW_VALUE(GetPartialFileCount, UINT, component_.partial_files.size())
EXSHADOW_VALUE(IsSelectedForRestore, boolean, component_.restore.selected)
EXSHADOW_VALUE(GetAdditionalRestores, boolean, component_.restore.additional_restores)
EXSHADOW_VALUE(GetNewTargetCount, UINT, component_.restore.new_targets.size())
EXSHADOW_VALUE(GetDirectedTargetCount, UINT, component_.restore.directed_targets.size())
EXSHADOW_VALUE(GetRestoreTarget, VSS_RESTORE_TARGET, component_.restore.target)
EXSHADOW_VALUE(GetRestoreSubcomponentCount, UINT, component_.restore.subcomponents.size())
EXSHADOW_VALUE(GetFileRestoreStatus, VSS_FILE_RESTORE_STATUS, component_.restore.status)
EXSHADOW_VALUE(GetDifferencedFilesCount, UINT, component_.differenced_files.size())
EXSHADOW_VALUE(GetAuthoritativeRestore, boolean, component_.restore.authoritative)

EXSHADOW_FILES(GetAlternateLocationMapping, component_.restore.alternate_mappings)
EXSHADOW_FILES(GetNewTarget, component_.restore.new_targets)

EXSHADOW_REFUSE(SetBackupMetadata, LPCWSTR)
EXSHADOW_REFUSE(AddPartialFile, LPCWSTR, LPCWSTR, LPCWSTR, LPCWSTR)
EXSHADOW_REFUSE(AddDirectedTarget, LPCWSTR, LPCWSTR, LPCWSTR, LPCWSTR, LPCWSTR, LPCWSTR)
EXSHADOW_REFUSE(SetRestoreMetadata, LPCWSTR)
EXSHADOW_REFUSE(SetRestoreTarget, VSS_RESTORE_TARGET)
EXSHADOW_REFUSE(SetPreRestoreFailureMsg, LPCWSTR)
EXSHADOW_REFUSE(SetPostRestoreFailureMsg, LPCWSTR)
EXSHADOW_REFUSE(SetBackupStamp, LPCWSTR)
EXSHADOW_REFUSE(AddDifferencedFilesByLastModifyTime, LPCWSTR, LPCWSTR, WINBOOL, FILETIME)
EXSHADOW_REFUSE(AddDifferencedFilesByLastModifyLSN, LPCWSTR, LPCWSTR, WINBOOL, BSTR)
EXSHADOW_REFUSE(SetPrepareForBackupFailureMsg, LPCWSTR)
EXSHADOW_REFUSE(SetPostSnapshotFailureMsg, LPCWSTR)
EXSHADOW_REFUSE(SetFailure, HRESULT, HRESULT, LPCWSTR, DWORD)

STDMETHODIMP ComponentObject::GetPartialFile(UINT i, BSTR* path, BSTR* name, BSTR* ranges, BSTR* metadata) {
    EXSHADOW_FRESH(GetPartialFile);
    if (any_null(path, name, ranges, metadata)) return E_INVALIDARG;
    if (i >= component_.partial_files.size()) return not_found;
    const auto& file = component_.partial_files[i];
    *path = new_bstr_or_null(file.path);
    *name = new_bstr_or_null(file.file_name);
    *ranges = new_bstr_or_null(file.ranges);
    *metadata = new_bstr_or_null(file.metadata);
    return S_OK;
}

STDMETHODIMP ComponentObject::GetDirectedTarget(UINT i, BSTR* source_path, BSTR* source_name,
                                                BSTR* source_ranges, BSTR* target_path, BSTR* target_name,
                                                BSTR* target_ranges) {
    EXSHADOW_FRESH(GetDirectedTarget);
    if (any_null(source_path, source_name, source_ranges, target_path, target_name, target_ranges)) {
        return E_INVALIDARG;
    }
    if (i >= component_.restore.directed_targets.size()) return not_found;
    const auto& target = component_.restore.directed_targets[i];
    *source_path = new_bstr_or_null(target.source_path);
    *source_name = new_bstr_or_null(target.source_name);
    *source_ranges = new_bstr_or_null(target.source_ranges);
    *target_path = new_bstr_or_null(target.target_path);
    *target_name = new_bstr_or_null(target.target_name);
    *target_ranges = new_bstr_or_null(target.target_ranges);
    return S_OK;
}

STDMETHODIMP ComponentObject::GetRestoreSubcomponent(UINT i, BSTR* path, BSTR* name, boolean* repair) {
    EXSHADOW_FRESH(GetRestoreSubcomponent);
    if (any_null(path, name, repair)) return E_INVALIDARG;
    if (i >= component_.restore.subcomponents.size()) return not_found;
    *path = new_bstr_or_null(component_.restore.subcomponents[i].logical_path);
    *name = new_bstr_or_null(component_.restore.subcomponents[i].name);
    *repair = false;
    return S_OK;
}

STDMETHODIMP ComponentObject::GetDifferencedFile(UINT i, BSTR* path, BSTR* spec, WINBOOL* recursive,
                                                 BSTR* lsn, FILETIME* modified) {
    EXSHADOW_FRESH(GetDifferencedFile);
    if (any_null(path, spec, recursive, lsn, modified)) return E_INVALIDARG;
    if (i >= component_.differenced_files.size()) return not_found;
    const auto& file = component_.differenced_files[i];
    *path = new_bstr_or_null(file.files.path);
    *spec = new_bstr_or_null(file.files.spec);
    *recursive = file.files.recursive;
    *lsn = nullptr;
    modified->dwLowDateTime = static_cast<DWORD>(file.last_modified & 0xFFFFFFFF);
    modified->dwHighDateTime = static_cast<DWORD>(file.last_modified >> 32);
    return S_OK;
}

STDMETHODIMP ComponentObject::GetRollForward(VSS_ROLLFORWARD_TYPE* kind, BSTR* point) {
    EXSHADOW_FRESH(GetRollForward);
    if (any_null(kind, point)) return E_INVALIDARG;
    *kind = static_cast<VSS_ROLLFORWARD_TYPE>(component_.restore.roll_forward);
    *point = new_bstr_or_null(component_.restore.roll_forward_point);
    return S_OK;
}

STDMETHODIMP ComponentObject::GetFailure(HRESULT* failure, HRESULT* application, BSTR* message,
                                         DWORD* reserved) {
    EXSHADOW_FRESH(GetFailure);
    if (any_null(failure, application, message)) return E_INVALIDARG;
    const auto found = component_.failure.value_or(vss::ComponentFailure{});
    *failure = hresult(found.failure);
    *application = hresult(found.application_failure);
    *message = new_bstr_or_null(found.application_message);
    if (reserved != nullptr) *reserved = 0;
    return S_OK;
}

WriterComponentsObject::WriterComponentsObject(vss::BackupWriter writer, Freshness fresh)
    : writer_(std::move(writer)), fresh_(std::move(fresh)) {
    Ledger::instance().object_made("IVssWriterComponentsExt");
}

WriterComponentsObject::~WriterComponentsObject() {
    Ledger::instance().object_gone("IVssWriterComponentsExt");
}

STDMETHODIMP WriterComponentsObject::GetComponentCount(UINT* out) {
    if (const auto no = denied("GetComponentCount"); FAILED(no)) return no;
    const auto age = fresh_.check("IVssWriterComponentsExt", "GetComponentCount");
    return FAILED(age) ? age : give_value(out, writer_.components.size());
}

STDMETHODIMP WriterComponentsObject::GetWriterInfo(VSS_ID* instance, VSS_ID* writer) {
    if (const auto no = denied("GetWriterInfo"); FAILED(no)) return no;
    const auto age = fresh_.check("IVssWriterComponentsExt", "GetWriterInfo");
    if (FAILED(age)) return age;
    if (any_null(instance, writer)) return E_INVALIDARG;
    *instance = guid(writer_.instance_id);
    *writer = guid(writer_.writer_id);
    return S_OK;
}

STDMETHODIMP WriterComponentsObject::GetComponent(UINT i, IVssComponent** out) {
    if (const auto no = denied("GetComponent"); FAILED(no)) return no;
    const auto age = fresh_.check("IVssWriterComponentsExt", "GetComponent");
    if (FAILED(age)) return age;
    if (out == nullptr) return E_INVALIDARG;
    *out = nullptr;
    if (i >= writer_.components.size()) return not_found;
    *out = new ComponentObject(writer_.components[i], fresh_);
    return S_OK;
}

STDMETHODIMP WriterComponentsObject::QueryInterface(REFIID id, void** out) {
    if (out == nullptr) return E_POINTER;
    *out = nullptr;
    if (id != __uuidof(IUnknown)) return E_NOINTERFACE;  // the rest has no IID
    *out = static_cast<IUnknown*>(this);
    AddRef();
    return S_OK;
}

STDMETHODIMP_(ULONG) WriterComponentsObject::Release() {
    const auto left = --references_;
    if (left == 0) delete this;
    return left;
}

}  // namespace exshadow::test_double
