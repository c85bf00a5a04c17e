// A requestor as vshadow is one: linked with the import library, smart pointers, components, a look at the
// writers after each step, everything freed as the SDK says.
//
//   import_client.exe VOLUME [die | leave]
//
// Exit status 0 when the backup was made. Between DoSnapshotSet and BackupComplete `die` kills the process
// and `leave` drops the object.
#include "sdk.h"

namespace {

using client::Owned;
using client::Text;

#define MUST(call)                                                                       \
    do {                                                                                 \
        const HRESULT must_result = (call);                                              \
        if (FAILED(must_result)) {                                                       \
            std::printf("%s 0x%08lX\n", #call, static_cast<unsigned long>(must_result)); \
            return false;                                                                \
        }                                                                                \
    } while (false)

struct Chosen {
    VSS_ID instance{};
    VSS_ID writer{};
    VSS_COMPONENT_TYPE type = VSS_CT_UNDEFINED;
    std::wstring path;
    std::wstring name;
};

bool show_files(IVssWMComponent* component, const VSS_COMPONENTINFO& info) {
    for (UINT i = 0; i < info.cFileCount + info.cDatabases; ++i) {
        Owned<IVssWMFiledesc> files;
        MUST(i < info.cFileCount ? component->GetFile(i, files.out())
                                 : component->GetDatabaseFile(i - info.cFileCount, files.out()));
        Text path;
        Text spec;
        MUST(files->GetPath(path.out()));
        MUST(files->GetFilespec(spec.out()));
        std::printf("files %ls %ls\n", path.get(), spec.get());
    }
    return true;
}

bool add_components(IVssBackupComponents* backup, Chosen& last) {
    UINT writers = 0;
    MUST(backup->GetWriterMetadataCount(&writers));
    for (UINT i = 0; i < writers; ++i) {
        Owned<IVssExamineWriterMetadata> metadata;
        VSS_ID instance{};
        VSS_ID writer{};
        Text name;
        VSS_USAGE_TYPE usage = VSS_UT_UNDEFINED;
        VSS_SOURCE_TYPE source = VSS_ST_UNDEFINED;
        UINT included = 0;
        UINT excluded = 0;
        UINT components = 0;
        MUST(backup->GetWriterMetadata(i, &instance, metadata.out()));
        MUST(metadata->GetIdentity(&instance, &writer, name.out(), &usage, &source));
        MUST(metadata->GetFileCounts(&included, &excluded, &components));
        std::printf("writer %ls\n", name.get());
        for (UINT k = 0; k < components; ++k) {
            Owned<IVssWMComponent> component;
            PVSSCOMPONENTINFO info = nullptr;
            MUST(metadata->GetComponent(k, component.out()));
            MUST(component->GetComponentInfo(&info));
            const bool shown = show_files(component.get(), *info);
            last = {instance, writer, info->type,
                    info->bstrLogicalPath != nullptr ? info->bstrLogicalPath : L"", info->bstrComponentName};
            MUST(component->FreeComponentInfo(info));
            if (!shown) return false;
            MUST(backup->AddComponent(instance, writer, last.type, last.path.c_str(), last.name.c_str()));
        }
    }
    return true;
}

bool writers_are_well(IVssBackupComponents* backup) {
    Owned<IVssAsync> step;
    MUST(client::wait(backup->GatherWriterStatus(step.out()), step));
    UINT count = 0;
    bool well = true;
    MUST(backup->GetWriterStatusCount(&count));
    for (UINT i = 0; i < count; ++i) {
        VSS_ID instance{};
        VSS_ID writer{};
        Text name;
        VSS_WRITER_STATE state = VSS_WS_UNKNOWN;
        HRESULT failure = S_OK;
        MUST(backup->GetWriterStatus(i, &instance, &writer, name.out(), &state, &failure));
        std::printf("status %ls %d 0x%08lX\n", name.get(), static_cast<int>(state),
                    static_cast<unsigned long>(failure));
        well = well && SUCCEEDED(failure);
    }
    MUST(backup->FreeWriterStatus());
    return well;
}

bool show_components(IVssBackupComponents* backup) {
    UINT writers = 0;
    MUST(backup->GetWriterComponentsCount(&writers));
    for (UINT i = 0; i < writers; ++i) {
        IVssWriterComponentsExt* pointer = nullptr;
        MUST(backup->GetWriterComponents(i, &pointer));
        auto* components = reinterpret_cast<client::WriterComponents*>(pointer);
        UINT count = 0;
        MUST(components->GetComponentCount(&count));
        for (UINT k = 0; k < count; ++k) {
            Owned<IVssComponent> component;
            Text name;
            Text stamp;
            MUST(components->GetComponent(k, component.out()));
            MUST(component->GetComponentName(name.out()));
            MUST(component->GetBackupStamp(stamp.out()));
            std::printf("component %ls stamp %ls\n", name.get(), stamp.get() != nullptr ? stamp.get() : L"-");
        }
        components->Release();
    }
    return true;
}

bool make_set(IVssBackupComponents* backup, wchar_t* volume, VSS_ID& snapshot) {
    Owned<IVssAsync> step;
    VSS_ID set{};
    MUST(backup->StartSnapshotSet(&set));
    MUST(backup->AddToSnapshotSet(volume, GUID_NULL, &snapshot));
    MUST(client::wait(backup->PrepareForBackup(step.out()), step));
    if (!writers_are_well(backup)) return false;
    MUST(client::wait(backup->DoSnapshotSet(step.out()), step));
    return writers_are_well(backup);
}

bool back_up(IVssBackupComponents* backup, wchar_t* volume, const std::wstring& leaving) {
    Owned<IVssAsync> step;
    Chosen last;
    VSS_ID snapshot{};
    MUST(backup->InitializeForBackup());
    MUST(backup->SetBackupState(true, true, VSS_BT_FULL, false));
    MUST(client::wait(backup->GatherWriterMetadata(step.out()), step));
    if (!add_components(backup, last) || !make_set(backup, volume, snapshot)) return false;
    if (leaving == L"die") TerminateProcess(GetCurrentProcess(), 9);
    if (leaving == L"leave") return true;

    VSS_SNAPSHOT_PROP properties{};
    MUST(backup->GetSnapshotProperties(snapshot, &properties));
    std::printf("device %ls\n", properties.m_pwszSnapshotDeviceObject);
    VssFreeSnapshotProperties(&properties);
    if (!show_components(backup)) return false;
    MUST(backup->SetBackupSucceeded(last.instance, last.writer, last.type, last.path.c_str(),
                                    last.name.c_str(), true));
    MUST(client::wait(backup->BackupComplete(step.out()), step));
    if (!writers_are_well(backup)) return false;
    Text document;
    MUST(backup->SaveAsXML(document.out()));
    std::printf("document %u characters\n", SysStringLen(document.get()));
    return true;
}

}  // namespace

int wmain(int count, wchar_t** arguments) {
    if (count < 2 || FAILED(CoInitialize(nullptr))) return 2;
    bool done = false;
    {
        Owned<IVssBackupComponents> backup;
        const auto created = CreateVssBackupComponents(backup.out());
        if (FAILED(created)) return 3;
        done = back_up(backup.get(), arguments[1], count > 2 ? arguments[2] : L"");
    }
    CoUninitialize();
    return done ? 0 : 1;
}
