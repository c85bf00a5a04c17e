// Every call in every phase of an object's life, right or wrong: one line "PHASE CALL 0xHRESULT" each, with a
// new object for each. The test says which of them must be refused with VSS_E_BAD_STATE.
//
//   orders_client.exe VOLUME
#include <functional>
#include <map>
#include <vector>

#include "sdk.h"

namespace {

using client::Owned;
using client::Text;

// One session as far as it came.
struct Session {
    Owned<IVssBackupComponentsEx4> backup;
    VSS_ID writer{};
    VSS_ID instance{};
    VSS_COMPONENT_TYPE type = VSS_CT_FILEGROUP;
    std::wstring path;
    std::wstring name;
    VSS_ID set{};
    VSS_ID snapshot{};
};

wchar_t* volume = nullptr;
std::wstring document;                           // of a whole backup, for restores
constexpr VSS_ID unknown{0x12345678, 0, 0, {}};  // of no snapshot and no set

HRESULT step(HRESULT began, Owned<IVssAsync>& async) {
    return client::wait(began, async);
}

HRESULT create(Session& s) {
    Owned<IVssBackupComponents> base;
    const auto result = CreateVssBackupComponents(base.out());
    if (FAILED(result)) return result;
    return base->QueryInterface(__uuidof(IVssBackupComponentsEx4), reinterpret_cast<void**>(s.backup.out()));
}

HRESULT gather(Session& s) {
    Owned<IVssAsync> async;
    auto result = step(s.backup->GatherWriterMetadata(async.out()), async);
    if (FAILED(result)) return result;
    Owned<IVssExamineWriterMetadata> metadata;
    result = s.backup->GetWriterMetadata(0, &s.instance, metadata.out());
    if (FAILED(result)) return result;
    Text name;
    VSS_USAGE_TYPE usage = VSS_UT_UNDEFINED;
    VSS_SOURCE_TYPE source = VSS_ST_UNDEFINED;
    result = metadata->GetIdentity(&s.instance, &s.writer, name.out(), &usage, &source);
    if (FAILED(result)) return result;
    Owned<IVssWMComponent> component;
    PVSSCOMPONENTINFO info = nullptr;
    result = metadata->GetComponent(0, component.out());
    if (FAILED(result)) return result;
    result = component->GetComponentInfo(&info);
    if (FAILED(result)) return result;
    s.type = info->type;
    s.path = info->bstrLogicalPath != nullptr ? info->bstrLogicalPath : L"";
    s.name = info->bstrComponentName;
    return component->FreeComponentInfo(info);
}

HRESULT restore_begun(Session& s) {
    const auto text = SysAllocString(document.c_str());
    auto result = s.backup->InitializeForRestore(text);
    SysFreeString(text);
    if (FAILED(result)) return result;
    result = gather(s);
    if (FAILED(result)) return result;
    return s.backup->SetSelectedForRestore(s.writer, s.type, s.path.c_str(), s.name.c_str(), true);
}

using Move = std::function<HRESULT(Session&)>;

struct Phase {
    const char* name;
    std::vector<Move> moves;
};

HRESULT start_set(Session& s) {
    const auto result = s.backup->StartSnapshotSet(&s.set);
    return FAILED(result) ? result : s.backup->AddToSnapshotSet(volume, GUID_NULL, &s.snapshot);
}
HRESULT add(Session& s) {
    return s.backup->AddComponent(s.instance, s.writer, s.type, s.path.c_str(), s.name.c_str());
}

std::vector<Phase> phases() {
    const Move begun = [](Session& s) { return s.backup->InitializeForBackup(nullptr); };
    const Move state = [](Session& s) { return s.backup->SetBackupState(true, false, VSS_BT_FULL, false); };
    const Move prepared = [](Session& s) {
        Owned<IVssAsync> async;
        return step(s.backup->PrepareForBackup(async.out()), async);
    };
    const Move made = [](Session& s) {
        Owned<IVssAsync> async;
        return step(s.backup->DoSnapshotSet(async.out()), async);
    };
    const Move complete = [](Session& s) {
        s.backup->SetBackupSucceeded(s.instance, s.writer, s.type, s.path.c_str(), s.name.c_str(), true);
        Owned<IVssAsync> async;
        return step(s.backup->BackupComplete(async.out()), async);
    };
    const Move aborted = [](Session& s) { return s.backup->AbortBackup(); };
    const Move pre_restored = [](Session& s) {
        Owned<IVssAsync> async;
        return step(s.backup->PreRestore(async.out()), async);
    };
    const Move post_restored = [](Session& s) {
        Owned<IVssAsync> async;
        return step(s.backup->PostRestore(async.out()), async);
    };
    return {
        {"P0", {}},
        {"B1", {begun}},
        {"B2", {begun, state, gather}},
        {"B3", {begun, state, gather, add, start_set}},
        {"B4", {begun, state, gather, add, start_set, prepared}},
        {"B5", {begun, state, gather, add, start_set, prepared, made}},
        {"B6", {begun, state, gather, add, start_set, prepared, made, complete}},
        {"CLOSED", {begun, state, gather, add, start_set, prepared, aborted}},
        {"R1", {restore_begun}},
        {"R2", {restore_begun, pre_restored}},
        {"R3", {restore_begun, pre_restored, post_restored}},
    };
}

template <class Begin>
Move asynchronous(Begin begin) {
    return [begin](Session& s) {
        Owned<IVssAsync> async;
        return step(begin(s, async.out()), async);
    };
}

// Calls that choose something for one component of the document.
std::map<std::string, Move> component_calls() {
    const auto call = [](auto method, auto... rest) {
        return [=](Session& s) {
            return (s.backup.get()->*method)(s.writer, s.type, s.path.c_str(), s.name.c_str(), rest...);
        };
    };
    using B = IVssBackupComponentsEx4;
    const boolean yes = 1;
    const LPCWSTR text = L"text";
    return {
        {"AddComponent", add},
        {"SetBackupOptions", call(&B::SetBackupOptions, text)},
        {"SetPreviousBackupStamp", call(&B::SetPreviousBackupStamp, text)},
        {"SetBackupSucceeded",
         [](Session& s) {
             return s.backup->SetBackupSucceeded(s.instance, s.writer, s.type, s.path.c_str(), s.name.c_str(),
                                                 true);
         }},
        {"SetSelectedForRestore", call(&B::SetSelectedForRestore, yes)},
        {"SetSelectedForRestoreEx",
         [](Session& s) {
             return s.backup->SetSelectedForRestoreEx(s.writer, s.type, s.path.c_str(), s.name.c_str(), true,
                                                      s.instance);
         }},
        {"SetRestoreOptions", call(&B::SetRestoreOptions, text)},
        {"SetAdditionalRestores", call(&B::SetAdditionalRestores, yes)},
        {"SetAuthoritativeRestore", call(&B::SetAuthoritativeRestore, yes)},
        {"SetRollForward", call(&B::SetRollForward, VSS_RF_ALL, text)},
        {"SetRestoreName", call(&B::SetRestoreName, text)},
        {"SetFileRestoreStatus", call(&B::SetFileRestoreStatus, VSS_RS_ALL)},
        {"AddNewTarget", call(&B::AddNewTarget, L"C:\\nowhere", L"*", boolean{0}, L"D:\\nowhere")},
        {"AddAlternativeLocationMapping",
         call(&B::AddAlternativeLocationMapping, L"C:\\nowhere", L"*", boolean{0}, L"D:\\nowhere")},
        {"AddRestoreSubcomponent", call(&B::AddRestoreSubcomponent, L"none", L"none", boolean{0})},
        {"SetRangesFilePath", call(&B::SetRangesFilePath, UINT{0}, L"C:\\ranges")},
    };
}

std::map<std::string, Move> snapshot_calls() {
    return {
        {"StartSnapshotSet", [](Session& s) { return s.backup->StartSnapshotSet(&s.set); }},
        {"AddToSnapshotSet",
         [](Session& s) { return s.backup->AddToSnapshotSet(volume, GUID_NULL, &s.snapshot); }},
        {"PrepareForBackup",
         asynchronous([](Session& s, IVssAsync** out) { return s.backup->PrepareForBackup(out); })},
        {"DoSnapshotSet",
         asynchronous([](Session& s, IVssAsync** out) { return s.backup->DoSnapshotSet(out); })},
        {"BackupComplete",
         asynchronous([](Session& s, IVssAsync** out) { return s.backup->BackupComplete(out); })},
        {"AbortBackup", [](Session& s) { return s.backup->AbortBackup(); }},
        {"SaveAsXML",
         [](Session& s) {
             Text text;
             return s.backup->SaveAsXML(text.out());
         }},
        {"GetSnapshotProperties",
         [](Session& s) {
             VSS_SNAPSHOT_PROP properties{};
             const auto result = s.backup->GetSnapshotProperties(s.snapshot, &properties);
             if (SUCCEEDED(result)) VssFreeSnapshotProperties(&properties);
             return result;
         }},
        {"Query",
         [](Session& s) {
             Owned<IVssEnumObject> list;
             return s.backup->Query(GUID_NULL, VSS_OBJECT_NONE, VSS_OBJECT_SNAPSHOT, list.out());
         }},
        {"DeleteSnapshots",
         [](Session& s) {
             LONG deleted = 0;
             VSS_ID bad{};
             return s.backup->DeleteSnapshots(unknown, VSS_OBJECT_SNAPSHOT, true, &deleted, &bad);
         }},
        {"IsVolumeSupported",
         [](Session& s) {
             WINBOOL yes = FALSE;
             return s.backup->IsVolumeSupported(GUID_NULL, volume, &yes);
         }},
        {"ImportSnapshots",
         asynchronous([](Session& s, IVssAsync** out) { return s.backup->ImportSnapshots(out); })},
        {"RevertToSnapshot", [](Session& s) { return s.backup->RevertToSnapshot(unknown, false); }},
        {"QueryRevertStatus",
         asynchronous([](Session& s, IVssAsync** out) { return s.backup->QueryRevertStatus(volume, out); })},
        {"BreakSnapshotSet", [](Session& s) { return s.backup->BreakSnapshotSet(unknown); }},
        {"BreakSnapshotSetEx", asynchronous([](Session& s, IVssAsync** out) {
             return s.backup->BreakSnapshotSetEx(unknown, 0, out);
         })},
        {"ExposeSnapshot",
         [](Session& s) {
             wchar_t drive[] = L"X:";
             wchar_t* exposed = nullptr;
             const auto result = s.backup->ExposeSnapshot(unknown, nullptr, VSS_VOLSNAP_ATTR_EXPOSED_LOCALLY,
                                                          drive, &exposed);
             CoTaskMemFree(exposed);
             return result;
         }},
        {"UnexposeSnapshot", [](Session& s) { return s.backup->UnexposeSnapshot(unknown); }},
        {"GetRootAndLogicalPrefixPaths",
         [](Session& s) {
             wchar_t* root = nullptr;
             wchar_t* prefix = nullptr;
             const auto result = s.backup->GetRootAndLogicalPrefixPaths(volume, &root, &prefix, false);
             CoTaskMemFree(root);
             CoTaskMemFree(prefix);
             return result;
         }},
    };
}

std::map<std::string, Move> session_calls() {
    return {
        {"InitializeForBackup", [](Session& s) { return s.backup->InitializeForBackup(nullptr); }},
        {"InitializeForRestore",
         [](Session& s) {
             const auto text = SysAllocString(document.c_str());
             const auto result = s.backup->InitializeForRestore(text);
             SysFreeString(text);
             return result;
         }},
        {"SetContext", [](Session& s) { return s.backup->SetContext(VSS_CTX_BACKUP); }},
        {"SetBackupState",
         [](Session& s) { return s.backup->SetBackupState(true, false, VSS_BT_FULL, false); }},
        {"SetRestoreState", [](Session& s) { return s.backup->SetRestoreState(VSS_RTYPE_BY_COPY); }},
        {"DisableWriterClasses", [](Session& s) { return s.backup->DisableWriterClasses(&s.writer, 1); }},
        {"EnableWriterClasses", [](Session& s) { return s.backup->EnableWriterClasses(&s.writer, 1); }},
        {"DisableWriterInstances",
         [](Session& s) { return s.backup->DisableWriterInstances(&s.instance, 1); }},
        {"GetWriterMetadata",
         [](Session& s) {
             VSS_ID id{};
             Owned<IVssExamineWriterMetadata> metadata;
             return s.backup->GetWriterMetadata(0, &id, metadata.out());
         }},
        {"GetWriterMetadataEx",
         [](Session& s) {
             VSS_ID id{};
             Owned<IVssExamineWriterMetadataEx> metadata;
             return s.backup->GetWriterMetadataEx(0, &id, metadata.out());
         }},
        {"GetWriterStatus",
         [](Session& s) {
             VSS_ID id{};
             Text name;
             VSS_WRITER_STATE state = VSS_WS_UNKNOWN;
             HRESULT failure = S_OK;
             return s.backup->GetWriterStatus(0, &id, &id, name.out(), &state, &failure);
         }},
        {"GetWriterStatusEx",
         [](Session& s) {
             VSS_ID id{};
             Text name;
             Text message;
             VSS_WRITER_STATE state = VSS_WS_UNKNOWN;
             HRESULT failure = S_OK;
             return s.backup->GetWriterStatusEx(0, &id, &id, name.out(), &state, &failure, &failure,
                                                message.out());
         }},
        {"GetWriterComponents",
         [](Session& s) {
             IVssWriterComponentsExt* given = nullptr;
             const auto result = s.backup->GetWriterComponents(0, &given);
             if (given != nullptr) reinterpret_cast<client::WriterComponents*>(given)->Release();
             return result;
         }},
        {"GatherWriterMetadata",
         asynchronous([](Session& s, IVssAsync** out) { return s.backup->GatherWriterMetadata(out); })},
        {"GetWriterMetadataCount",
         [](Session& s) {
             UINT count = 0;
             return s.backup->GetWriterMetadataCount(&count);
         }},
        {"FreeWriterMetadata", [](Session& s) { return s.backup->FreeWriterMetadata(); }},
        {"GatherWriterStatus",
         asynchronous([](Session& s, IVssAsync** out) { return s.backup->GatherWriterStatus(out); })},
        {"GetWriterStatusCount",
         [](Session& s) {
             UINT count = 0;
             return s.backup->GetWriterStatusCount(&count);
         }},
        {"FreeWriterStatus", [](Session& s) { return s.backup->FreeWriterStatus(); }},
        {"GetWriterComponentsCount",
         [](Session& s) {
             UINT count = 0;
             return s.backup->GetWriterComponentsCount(&count);
         }},
        {"PreRestore", asynchronous([](Session& s, IVssAsync** out) { return s.backup->PreRestore(out); })},
        {"PostRestore", asynchronous([](Session& s, IVssAsync** out) { return s.backup->PostRestore(out); })},
        {"AddSnapshotToRecoverySet",
         [](Session& s) { return s.backup->AddSnapshotToRecoverySet(s.snapshot, 0, nullptr); }},
        {"RecoverSet",
         asynchronous([](Session& s, IVssAsync** out) { return s.backup->RecoverSet(0, out); })},
        {"GetSessionId",
         [](Session& s) {
             VSS_ID id{};
             return s.backup->GetSessionId(&id);
         }},
    };
}

bool enter(Session& session, const Phase& phase) {
    auto result = create(session);
    for (const auto& move : phase.moves) {
        if (SUCCEEDED(result)) result = move(session);
    }
    if (FAILED(result))
        std::printf("%s unreachable 0x%08lX\n", phase.name, static_cast<unsigned long>(result));
    return SUCCEEDED(result);
}

bool make_document() {
    Session session;
    const auto all = phases();
    for (const auto& phase : all) {
        if (std::strcmp(phase.name, "B6") == 0 && !enter(session, phase)) return false;
    }
    Text text;
    if (FAILED(session.backup->SaveAsXML(text.out()))) return false;
    document = text.get();
    return true;
}

}  // namespace

int wmain(int count, wchar_t** arguments) {
    if (count != 2 || FAILED(CoInitializeEx(nullptr, COINIT_MULTITHREADED))) return 2;
    volume = arguments[1];
    if (!make_document()) return 3;
    auto calls = session_calls();
    calls.merge(snapshot_calls());
    calls.merge(component_calls());
    for (const auto& phase : phases()) {
        for (const auto& [name, call] : calls) {
            Session session;
            if (!enter(session, phase)) return 4;
            std::printf("%s %s 0x%08lX\n", phase.name, name.c_str(),
                        static_cast<unsigned long>(call(session)));
        }
    }
    CoUninitialize();
    return 0;
}
