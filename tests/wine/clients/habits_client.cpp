// What requestors in use do, one habit after the other, each with an object of its own: a line "NAME ok" or
// "NAME wrong (what was found)" for each promise of VSS that they stand on.
//
//   habits_client.exe VOLUME
#include <functional>

#include "sdk.h"

namespace {

using client::Owned;
using client::Text;

int wrong = 0;
wchar_t* volume = nullptr;

void gives(const char* name, HRESULT found, HRESULT wanted) {
    if (found == wanted) {
        std::printf("%s ok\n", name);
        return;
    }
    ++wrong;
    std::printf("%s wrong (0x%08lX)\n", name, static_cast<unsigned long>(found));
}

HRESULT create(Owned<IVssBackupComponents>& backup) {
    const auto result = CreateVssBackupComponents(backup.out());
    return FAILED(result) ? result : backup->InitializeForBackup();
}

HRESULT gather(IVssBackupComponents* backup) {
    Owned<IVssAsync> step;
    return client::wait(backup->GatherWriterMetadata(step.out()), step);
}

HRESULT prepare(IVssBackupComponents* backup) {
    Owned<IVssAsync> step;
    return client::wait(backup->PrepareForBackup(step.out()), step);
}

HRESULT snap(IVssBackupComponents* backup) {
    Owned<IVssAsync> step;
    return client::wait(backup->DoSnapshotSet(step.out()), step);
}

HRESULT open_set(IVssBackupComponents* backup) {
    VSS_ID set{};
    VSS_ID snapshot{};
    const auto result = backup->StartSnapshotSet(&set);
    return FAILED(result) ? result : backup->AddToSnapshotSet(volume, GUID_NULL, &snapshot);
}

// Fewer and fewer flags, in a loop, until a context is taken.
void context_again_and_again() {
    Owned<IVssBackupComponents> backup;
    gives("contexts: create", create(backup), S_OK);
    const auto plex = static_cast<LONG>(VSS_VOLSNAP_ATTR_PLEX);
    const LONG both = VSS_CTX_APP_ROLLBACK | plex | static_cast<LONG>(VSS_VOLSNAP_ATTR_DIFFERENTIAL);
    gives("contexts: one that cannot be", backup->SetContext(both), VSS_E_UNSUPPORTED_CONTEXT);
    gives("contexts: with fewer flags", backup->SetContext(VSS_CTX_APP_ROLLBACK), S_OK);
    gives("contexts: and once more", backup->SetContext(VSS_CTX_BACKUP), S_OK);
    gives("contexts: state", backup->SetBackupState(false, true, VSS_BT_COPY, false), S_OK);
    gives("contexts: gather", gather(backup.get()), VSS_S_ASYNC_FINISHED);
    gives("contexts: after gathering", backup->SetContext(VSS_CTX_BACKUP), S_OK);
    gives("contexts: set", open_set(backup.get()), S_OK);
    gives("contexts: too late", backup->SetContext(VSS_CTX_BACKUP), VSS_E_BAD_STATE);
    gives("contexts: prepare", prepare(backup.get()), VSS_S_ASYNC_FINISHED);
    gives("contexts: snap", snap(backup.get()), VSS_S_ASYNC_FINISHED);
}

// A volume that is named twice is no reason to give up.
void volume_twice() {
    Owned<IVssBackupComponents> backup;
    create(backup);
    backup->SetBackupState(true, true, VSS_BT_FULL, false);
    gather(backup.get());
    gives("twice: set", open_set(backup.get()), S_OK);
    VSS_ID snapshot{};
    gives("twice: again", backup->AddToSnapshotSet(volume, GUID_NULL, &snapshot),
          VSS_E_OBJECT_ALREADY_EXISTS);
    gives("twice: prepare", prepare(backup.get()), VSS_S_ASYNC_FINISHED);
    gives("twice: snap", snap(backup.get()), VSS_S_ASYNC_FINISHED);
}

// AbortBackup at any moment: it never hurts, and the slot is free after it.
void abort_anywhere() {
    using Move = std::function<void(IVssBackupComponents*)>;
    const Move moves[] = {
        [](IVssBackupComponents* one) { one->InitializeForBackup(); },
        [](IVssBackupComponents* one) { one->SetBackupState(false, true, VSS_BT_COPY, false); },
        [](IVssBackupComponents* one) { gather(one); },
        [](IVssBackupComponents* one) { open_set(one); },
        [](IVssBackupComponents* one) { prepare(one); },
        [](IVssBackupComponents* one) { snap(one); },
        [](IVssBackupComponents* one) {
            Owned<IVssAsync> step;
            client::wait(one->BackupComplete(step.out()), step);
        },
    };
    const HRESULT wanted[] = {
        VSS_E_BAD_STATE, VSS_E_BAD_STATE, VSS_E_BAD_STATE, VSS_E_BAD_STATE, S_OK, S_OK, S_OK,
        VSS_E_BAD_STATE};
    for (std::size_t last = 0; last <= std::size(moves); ++last) {
        Owned<IVssBackupComponents> backup;
        CreateVssBackupComponents(backup.out());
        for (std::size_t i = 0; i < last; ++i) moves[i](backup.get());
        const auto name = "abort: after move " + std::to_string(last);
        gives(name.c_str(), backup->AbortBackup(), wanted[last]);
        Owned<IVssBackupComponents> next;
        create(next);
        VSS_ID set{};
        gives((name + ", the slot").c_str(), next->StartSnapshotSet(&set), S_OK);
    }
}

// A step is dropped without looking, or while it runs.
void careless_with_steps() {
    Owned<IVssBackupComponents> backup;
    create(backup);
    backup->SetBackupState(false, false, VSS_BT_FULL, false);
    {
        Owned<IVssAsync> step;
        gives("steps: begin", backup->GatherWriterMetadata(step.out()), S_OK);
        gives("steps: Wait alone", step->Wait(INFINITE), S_OK);
    }
    UINT count = 0;
    gives("steps: known all the same", backup->GetWriterMetadataCount(&count), S_OK);
    gives("steps: set", open_set(backup.get()), S_OK);
    Owned<IVssAsync> dropped;
    gives("steps: prepare", backup->PrepareForBackup(dropped.out()), S_OK);
    dropped->Wait(INFINITE);
    dropped.reset();
    gives("steps: snap", snap(backup.get()), VSS_S_ASYNC_FINISHED);
    gives("steps: metadata freed", backup->FreeWriterMetadata(), S_OK);
    gives("steps: and freed again", backup->FreeWriterMetadata(), VSS_E_BAD_STATE);
    gives("steps: not gathered again", gather(backup.get()), VSS_E_BAD_STATE);
}

// The newest interface, asked for first, and every place for an answer left out.
void null_places() {
    Owned<IVssBackupComponents> base;
    create(base);
    Owned<IVssBackupComponentsEx4> one;
    base->QueryInterface(__uuidof(IVssBackupComponentsEx4), reinterpret_cast<void**>(one.out()));
    VSS_ID id{};
    LONG deleted = 0;
    gives("null GatherWriterStatus", one->GatherWriterStatus(nullptr), E_INVALIDARG);
    gives("null GetWriterStatusCount", one->GetWriterStatusCount(nullptr), E_INVALIDARG);
    gives("null GetWriterStatus", one->GetWriterStatus(0, nullptr, nullptr, nullptr, nullptr, nullptr),
          E_INVALIDARG);
    gives("null GetWriterMetadata", one->GetWriterMetadata(0, nullptr, nullptr), E_INVALIDARG);
    gives("null GetWriterMetadataEx", one->GetWriterMetadataEx(0, nullptr, nullptr), E_INVALIDARG);
    gives("null GetWriterComponents", one->GetWriterComponents(0, nullptr), E_INVALIDARG);
    gives("null PrepareForBackup", one->PrepareForBackup(nullptr), E_INVALIDARG);
    gives("null BackupComplete", one->BackupComplete(nullptr), E_INVALIDARG);
    gives("null ImportSnapshots", one->ImportSnapshots(nullptr), E_INVALIDARG);
    gives("null PreRestore", one->PreRestore(nullptr), E_INVALIDARG);
    gives("null PostRestore", one->PostRestore(nullptr), E_INVALIDARG);
    gives("null SaveAsXML", one->SaveAsXML(nullptr), E_INVALIDARG);
    gives("null IsVolumeSupported", one->IsVolumeSupported(id, nullptr, nullptr), E_INVALIDARG);
    gives("null GetSnapshotProperties", one->GetSnapshotProperties(id, nullptr), E_INVALIDARG);
    gives("null DeleteSnapshots", one->DeleteSnapshots(id, VSS_OBJECT_SNAPSHOT, 0, &deleted, nullptr),
          E_INVALIDARG);
    gives("null ExposeSnapshot",
          one->ExposeSnapshot(id, nullptr, VSS_VOLSNAP_ATTR_EXPOSED_LOCALLY, nullptr, nullptr), E_INVALIDARG);
    gives("null BreakSnapshotSetEx", one->BreakSnapshotSetEx(id, 0, nullptr), E_INVALIDARG);
    gives("null RecoverSet", one->RecoverSet(0, nullptr), E_INVALIDARG);
    gives("null DisableWriterClasses", one->DisableWriterClasses(nullptr, 1), E_INVALIDARG);
    gives("null AddComponent", one->AddComponent(id, id, VSS_CT_DATABASE, nullptr, nullptr), E_INVALIDARG);
    gives("null SetSelectedForRestore",
          one->SetSelectedForRestore(id, VSS_CT_DATABASE, nullptr, nullptr, true), E_INVALIDARG);
    gives("null GetRootAndLogicalPrefixPaths",
          one->GetRootAndLogicalPrefixPaths(nullptr, nullptr, nullptr, false), E_INVALIDARG);
    gives("null CreateVssBackupComponents", CreateVssBackupComponents(nullptr), E_INVALIDARG);
}

}  // namespace

int wmain(int count, wchar_t** arguments) {
    if (count != 2 || FAILED(CoInitializeEx(nullptr, COINIT_MULTITHREADED))) return 2;
    volume = arguments[1];
    context_again_and_again();
    volume_twice();
    abort_anywhere();
    careless_with_steps();
    null_places();
    CoUninitialize();
    return wrong == 0 ? 0 : 1;
}
