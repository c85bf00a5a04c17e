// A requestor as restic is one: it knows no header of VSS, finds the C++-mangled entry point in System32's
// vssapi.dll at run time and calls every method by its number in the vtable. A full backup of one volume
// without components.
//
//   slots_client.exe VOLUME      exit status 0 when all calls gave what they should
//   slots_client.exe every       calls every slot once, each of a new object that was not initialised
#include <windows.h>

#include <oleauto.h>

#include <algorithm>
#include <cstdio>
#include <cwchar>
#include <iterator>

namespace {

constexpr HRESULT finished = 0x0004230A;

struct Object {
    void** slots;
};

template <class... Arguments>
HRESULT call(Object* object, int slot, Arguments... arguments) {
    using Method = HRESULT(STDMETHODCALLTYPE*)(Object*, Arguments...);
    return reinterpret_cast<Method>(object->slots[slot])(object, arguments...);
}

bool good(const char* what, HRESULT result) {
    std::printf("%s 0x%08lX\n", what, static_cast<unsigned long>(result));
    return SUCCEEDED(result);
}

// IVssAsync: Cancel 3, Wait 4, QueryStatus 5. Its result is the second of the call's two.
bool waited(const char* what, Object* backup, int slot) {
    Object* step = nullptr;
    if (!good(what, call(backup, slot, &step))) return false;
    HRESULT result = 0;
    do {
        if (FAILED(call(step, 4, DWORD{1000}))) return false;
        if (FAILED(call(step, 5, &result, static_cast<INT*>(nullptr)))) return false;
    } while (result == 0x00042309);
    call(step, 2);
    return good("  ended", result) && result == finished;
}

struct SnapshotProperties {
    GUID snapshot, set;
    LONG count;
    wchar_t *device, *original, *originating, *service, *exposed_name, *exposed_path;
    GUID provider;
    LONG attributes;
    LONGLONG created;
    int status;
};
static_assert(sizeof(SnapshotProperties) == 128);

bool back_up(Object* backup, wchar_t* volume, void(WINAPI* free_properties)(SnapshotProperties*)) {
    GUID set{};
    GUID snapshot{};
    constexpr GUID none{};
    constexpr int copy = 5;
    if (!good("InitializeForBackup", call(backup, 5, static_cast<BSTR>(nullptr)))) return false;
    if (!good("SetContext", call(backup, 35, LONG{0}))) return false;
    if (!waited("GatherWriterMetadata", backup, 9)) return false;
    if (!good("SetBackupState", call(backup, 6, BYTE{0}, BYTE{0}, copy, BYTE{0}))) return false;
    BOOL supported = FALSE;
    if (!good("IsVolumeSupported", call(backup, 44, none, volume, &supported)) || !supported) return false;
    if (!good("StartSnapshotSet", call(backup, 36, &set))) return false;
    if (!good("AddToSnapshotSet", call(backup, 37, volume, none, &snapshot))) return false;
    if (!waited("PrepareForBackup", backup, 14)) return false;
    if (!waited("DoSnapshotSet", backup, 38)) return false;
    SnapshotProperties properties{};
    if (!good("GetSnapshotProperties", call(backup, 42, snapshot, &properties))) return false;
    std::printf("device %ls\n", properties.device);
    free_properties(&properties);
    return waited("BackupComplete", backup, 27);
}

// Arguments that are good for every method before its object is initialised: places for answers, empty texts
// and ids of zeros, which are handed over by address; a count where a list of ids has one.
bool call_every_slot(HRESULT(WINAPI* create)(Object**)) {
    alignas(16) static unsigned char zeros[4096];
    constexpr int first = 3;
    constexpr int end = 65;
    for (int slot = first; slot < end; ++slot) {
        Object* backup = nullptr;
        if (FAILED(create(&backup))) return false;
        std::fill(std::begin(zeros), std::end(zeros), static_cast<unsigned char>(0));
        const bool list = slot >= 45 && slot <= 47;  // DisableWriterClasses and its kind
        void* const second = list ? reinterpret_cast<void*>(1) : zeros;
        call(backup, slot, static_cast<void*>(zeros), second, static_cast<void*>(zeros),
             static_cast<void*>(zeros), static_cast<void*>(zeros), static_cast<void*>(zeros),
             static_cast<void*>(zeros), static_cast<void*>(zeros));
        call(backup, 2);
    }
    return true;
}

}  // namespace

int wmain(int count, wchar_t** arguments) {
    if (count != 2 || FAILED(CoInitializeEx(nullptr, COINIT_MULTITHREADED))) return 2;
    const auto library = LoadLibraryExW(L"vssapi.dll", nullptr, LOAD_LIBRARY_SEARCH_SYSTEM32);
    if (library == nullptr) return 3;
    const auto address = [&](const char* name) {
        return reinterpret_cast<void*>(GetProcAddress(library, name));
    };
    using Create = HRESULT(WINAPI*)(Object**);
    using Free = void(WINAPI*)(SnapshotProperties*);
    const auto create =
        reinterpret_cast<Create>(address("?CreateVssBackupComponents@@YAJPEAPEAVIVssBackupComponents@@@Z"));
    const auto free_properties = reinterpret_cast<Free>(address("VssFreeSnapshotProperties"));
    if (create == nullptr || free_properties == nullptr) return 4;

    if (std::wcscmp(arguments[1], L"every") == 0) return call_every_slot(create) ? 0 : 6;
    Object* backup = nullptr;
    if (!good("CreateVssBackupComponents", create(&backup))) return 5;
    const bool done = back_up(backup, arguments[1], free_properties);
    call(backup, 2);
    CoUninitialize();
    return done ? 0 : 1;
}
