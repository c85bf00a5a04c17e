// The objects as the SDK shapes them, and what the SDK promises of arguments and pointers: one line
// "NAME ok" or "NAME wrong (what was found)" for each promise.
//
//   shape_client.exe VOLUME
#include <msxml.h>

#include "sdk.h"

namespace {

using client::Owned;
using client::Text;

int wrong = 0;

void promise(const char* name, bool kept, HRESULT found = S_OK) {
    if (kept) {
        std::printf("%s ok\n", name);
        return;
    }
    ++wrong;
    std::printf("%s wrong (0x%08lX)\n", name, static_cast<unsigned long>(found));
}

void gives(const char* name, HRESULT found, HRESULT wanted) {
    promise(name, found == wanted, found);
}

template <class T>
bool offers(IUnknown* object) {
    Owned<T> found;
    return SUCCEEDED(object->QueryInterface(__uuidof(T), reinterpret_cast<void**>(found.out())));
}

// All interfaces of one object give the same IUnknown, and each finds every other.
void identity(IVssBackupComponents* backup) {
    Owned<IVssBackupComponentsEx4> newest;
    Owned<IUnknown> first;
    Owned<IUnknown> second;
    backup->QueryInterface(__uuidof(IVssBackupComponentsEx4), reinterpret_cast<void**>(newest.out()));
    backup->QueryInterface(__uuidof(IUnknown), reinterpret_cast<void**>(first.out()));
    newest->QueryInterface(__uuidof(IUnknown), reinterpret_cast<void**>(second.out()));
    promise("one IUnknown", first.get() == second.get() && first.get() != nullptr);
    promise("every interface is found",
            offers<IVssBackupComponents>(newest.get()) && offers<IVssBackupComponentsEx>(backup) &&
                offers<IVssBackupComponentsEx2>(backup) && offers<IVssBackupComponentsEx3>(backup));
    void* other = backup;
    const auto refused = backup->QueryInterface(__uuidof(IVssAsync), &other);
    promise("other interfaces are refused", refused == E_NOINTERFACE && other == nullptr, refused);
    gives("QueryInterface without a place", backup->QueryInterface(__uuidof(IUnknown), nullptr), E_POINTER);
}

void null_arguments(IVssBackupComponentsEx4* backup) {
    VSS_ID id{};
    gives("null GatherWriterMetadata", backup->GatherWriterMetadata(nullptr), E_INVALIDARG);
    gives("null GetWriterMetadataCount", backup->GetWriterMetadataCount(nullptr), E_INVALIDARG);
    gives("null GetWriterComponentsCount", backup->GetWriterComponentsCount(nullptr), E_INVALIDARG);
    gives("null StartSnapshotSet", backup->StartSnapshotSet(nullptr), E_INVALIDARG);
    gives("null AddToSnapshotSet", backup->AddToSnapshotSet(nullptr, GUID_NULL, &id), E_INVALIDARG);
    gives("null DoSnapshotSet", backup->DoSnapshotSet(nullptr), E_INVALIDARG);
    gives("null Query", backup->Query(GUID_NULL, VSS_OBJECT_NONE, VSS_OBJECT_SNAPSHOT, nullptr),
          E_INVALIDARG);
    gives("null InitializeForRestore", backup->InitializeForRestore(nullptr), E_INVALIDARG);
    gives("null QueryRevertStatus", backup->QueryRevertStatus(nullptr, nullptr), E_POINTER);
    gives("null GetSessionId", backup->GetSessionId(nullptr), E_INVALIDARG);
    gives("unknown backup type", backup->SetBackupState(true, true, VSS_BT_UNDEFINED, false), E_INVALIDARG);
    gives("PreFastRecovery", backup->PreFastRecovery(id, 0, nullptr), E_NOTIMPL);
    Owned<IVssEnumObject> list;
    gives("Query of sets", backup->Query(GUID_NULL, VSS_OBJECT_NONE, VSS_OBJECT_SNAPSHOT_SET, list.out()),
          E_INVALIDARG);
}

void enumerators(IVssBackupComponents* backup) {
    Owned<IVssEnumObject> none;
    gives("Query of nothing", backup->Query(GUID_NULL, VSS_OBJECT_NONE, VSS_OBJECT_SNAPSHOT, none.out()),
          S_FALSE);
    Owned<IVssEnumObject> list;
    gives("Query of providers", backup->Query(GUID_NULL, VSS_OBJECT_NONE, VSS_OBJECT_PROVIDER, list.out()),
          S_OK);
    VSS_OBJECT_PROP found{};
    ULONG count = 0;
    gives("Next without a place", list->Next(1, nullptr, &count), E_INVALIDARG);
    const auto next = list->Next(1, &found, &count);
    promise("Next", next == S_OK && count == 1 && found.Type == VSS_OBJECT_PROVIDER, next);
    CoTaskMemFree(found.Obj.Prov.m_pwszProviderName);
    CoTaskMemFree(found.Obj.Prov.m_pwszProviderVersion);
    gives("Next at the end", list->Next(1, &found, &count), S_FALSE);
    promise("nothing fetched at the end", count == 0);
    gives("Reset", list->Reset(), S_OK);
    Owned<IVssEnumObject> copy;
    gives("Clone", list->Clone(copy.out()), S_OK);
    gives("Skip", list->Skip(1), S_OK);
    gives("Skip past the end", list->Skip(1), S_FALSE);
    gives("the clone's Skip", copy->Skip(1), S_OK);
}

// The SDK's two-vptr object: IVssWriterComponents first, IUnknown eight bytes behind.
void writer_components(IVssBackupComponents* backup) {
    IVssWriterComponentsExt* pointer = nullptr;
    gives("GetWriterComponents", backup->GetWriterComponents(0, &pointer), S_OK);
    IVssWriterComponentsExt* none = nullptr;
    gives("GetWriterComponents past the end", backup->GetWriterComponents(99, &none), VSS_E_OBJECT_NOT_FOUND);
    auto* components = reinterpret_cast<client::WriterComponents*>(pointer);
    promise("a second AddRef", components->AddRef() == 2);
    promise("a Release", components->Release() == 1);
    Owned<IUnknown> same;
    components->QueryInterface(__uuidof(IUnknown), reinterpret_cast<void**>(same.out()));
    promise("IUnknown stands behind",
            reinterpret_cast<char*>(same.get()) - reinterpret_cast<char*>(pointer) == 8);

    Owned<IVssComponent> component;
    gives("GetComponent", components->GetComponent(0, component.out()), S_OK);
    promise("IVssComponentEx2 is found", offers<IVssComponentEx2>(component.get()));
    Text stamp;
    gives("no stamp yet", component->GetBackupStamp(stamp.out()), S_FALSE);
    gives("setters are the writers'", component->SetBackupStamp(L"mine"), VSS_E_BAD_STATE);
    Owned<IVssAsync> step;
    gives("PrepareForBackup", client::wait(backup->PrepareForBackup(step.out()), step), VSS_S_ASYNC_FINISHED);
    UINT count = 0;
    gives("a stale component", component->GetBackupStamp(stamp.out()), VSS_E_OBJECT_NOT_FOUND);
    gives("a stale writer", components->GetComponentCount(&count), VSS_E_OBJECT_NOT_FOUND);
    components->Release();
}

void steps(IVssBackupComponents* backup) {
    Owned<IVssAsync> step;
    gives("DoSnapshotSet", backup->DoSnapshotSet(step.out()), S_OK);
    while (true) {
        HRESULT result = S_OK;
        step->Wait(100);
        step->QueryStatus(&result, nullptr);
        if (result != VSS_S_ASYNC_PENDING) break;
    }
    gives("Cancel comes too late", step->Cancel(), VSS_S_ASYNC_FINISHED);
    gives("null QueryStatus", step->QueryStatus(nullptr, nullptr), E_INVALIDARG);
}

void statuses(IVssBackupComponents* backup) {
    Owned<IVssAsync> step;
    client::wait(backup->GatherWriterStatus(step.out()), step);
    gives("a second gather before the free", backup->GatherWriterStatus(step.out()), VSS_E_BAD_STATE);
    gives("FreeWriterStatus", backup->FreeWriterStatus(), S_OK);
    gives("a gather after the free", client::wait(backup->GatherWriterStatus(step.out()), step),
          VSS_S_ASYNC_FINISHED);
    gives("free again", backup->FreeWriterStatus(), S_OK);
}

HRESULT choose_one(IVssBackupComponents* backup) {
    Owned<IVssExamineWriterMetadata> metadata;
    VSS_ID instance{};
    VSS_ID writer{};
    Text name;
    VSS_USAGE_TYPE usage = VSS_UT_UNDEFINED;
    VSS_SOURCE_TYPE source = VSS_ST_UNDEFINED;
    auto result = backup->GetWriterMetadata(0, &instance, metadata.out());
    if (FAILED(result)) return result;
    metadata->GetIdentity(&instance, &writer, name.out(), &usage, &source);
    promise("..MetadataEx2 is found", offers<IVssExamineWriterMetadataEx2>(metadata.get()));
    Text document;
    gives("SaveAsXML of metadata", metadata->SaveAsXML(document.out()), S_OK);
    Owned<IXMLDOMDocument> parsed;
    gives("GetDocument", metadata->GetDocument(parsed.out()), S_OK);
    Owned<IXMLDOMElement> root;
    Text tag;
    parsed->get_documentElement(root.out());
    root->get_tagName(tag.out());
    promise("the document's root", std::wstring(L"WRITER_METADATA") == tag.get());
    gives("null GetDocument", metadata->GetDocument(nullptr), E_INVALIDARG);
    Owned<IVssExamineWriterMetadata> again;
    gives("a document is examined again", CreateVssExamineWriterMetadata(document.get(), again.out()), S_OK);
    Owned<IVssWMComponent> component;
    PVSSCOMPONENTINFO info = nullptr;
    metadata->GetComponent(0, component.out());
    component->GetComponentInfo(&info);
    result =
        backup->AddComponent(instance, writer, info->type, info->bstrLogicalPath, info->bstrComponentName);
    gives("the same component again",
          backup->AddComponent(instance, writer, info->type, info->bstrLogicalPath, info->bstrComponentName),
          VSS_E_OBJECT_ALREADY_EXISTS);
    gives(
        "null SetBackupOptions",
        backup->SetBackupOptions(writer, info->type, info->bstrLogicalPath, info->bstrComponentName, nullptr),
        E_INVALIDARG);
    gives("null SetPreviousBackupStamp",
          backup->SetPreviousBackupStamp(writer, info->type, info->bstrLogicalPath, info->bstrComponentName,
                                         nullptr),
          E_INVALIDARG);
    component->FreeComponentInfo(info);
    return result;
}

void session(wchar_t* volume) {
    Owned<IVssBackupComponents> backup;
    gives("CreateVssBackupComponents", CreateVssBackupComponents(backup.out()), S_OK);
    identity(backup.get());
    Owned<IVssBackupComponentsEx4> newest;
    backup->QueryInterface(__uuidof(IVssBackupComponentsEx4), reinterpret_cast<void**>(newest.out()));
    null_arguments(newest.get());
    Owned<IVssAsync> step;
    backup->InitializeForBackup();
    backup->SetBackupState(true, false, VSS_BT_FULL, false);
    enumerators(backup.get());
    client::wait(backup->GatherWriterMetadata(step.out()), step);
    gives("a second gather of metadata", backup->GatherWriterMetadata(step.out()), VSS_E_BAD_STATE);
    gives("AddComponent", choose_one(backup.get()), S_OK);
    VSS_ID set{};
    VSS_ID snapshot{};
    backup->StartSnapshotSet(&set);
    Owned<IVssBackupComponents> other;
    CreateVssBackupComponents(other.out());
    other->InitializeForBackup();
    gives("one set at a time", other->StartSnapshotSet(&set), VSS_E_SNAPSHOT_SET_IN_PROGRESS);
    wchar_t missing[] = L"Q:\\";
    gives("no such volume", backup->AddToSnapshotSet(missing, GUID_NULL, &snapshot), VSS_E_OBJECT_NOT_FOUND);
    VSS_ID nobody{};
    nobody.Data1 = 7;
    gives("no such provider", backup->AddToSnapshotSet(volume, nobody, &snapshot),
          VSS_E_PROVIDER_NOT_REGISTERED);
    backup->AddToSnapshotSet(volume, GUID_NULL, &snapshot);
    wchar_t other_name[MAX_PATH] = {};
    GetVolumeNameForVolumeMountPointW(volume, other_name, MAX_PATH);
    gives("the same volume by its other name", backup->AddToSnapshotSet(other_name, GUID_NULL, &snapshot),
          VSS_E_OBJECT_ALREADY_EXISTS);
    writer_components(backup.get());
    steps(backup.get());
    for (const wchar_t* name :
         {static_cast<const wchar_t*>(volume), static_cast<const wchar_t*>(other_name)}) {
        WINBOOL present = FALSE;
        LONG compatibility = 0;
        std::wstring asked(name);
        gives("IsVolumeSnapshotted", IsVolumeSnapshotted(asked.data(), &present, &compatibility), S_OK);
        promise("a snapshot that is there, by each name of its volume", present == TRUE);
    }
    statuses(backup.get());
    LONG deleted = 0;
    VSS_ID bad{};
    VSS_ID unknown{};
    unknown.Data1 = 9;
    gives("DeleteSnapshots of nothing",
          backup->DeleteSnapshots(unknown, VSS_OBJECT_SNAPSHOT, true, &deleted, &bad),
          VSS_E_OBJECT_NOT_FOUND);
    gives("AbortBackup", backup->AbortBackup(), S_OK);
}

}  // namespace

int wmain(int count, wchar_t** arguments) {
    if (count != 2 || FAILED(CoInitializeEx(nullptr, COINIT_MULTITHREADED))) return 2;
    session(arguments[1]);
    CoUninitialize();
    return wrong == 0 ? 0 : 1;
}
