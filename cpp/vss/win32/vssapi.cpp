#include "vss/win32/vssapi.h"

#include <initializer_list>

#include "vss/win32/session.h"
#include "vss/win32/text.h"

namespace exshadow::vss::win32 {

namespace {

// The first of these exports that there is. Newer headers call the ...Internal ones; the DLL has older names
// too.
template <class Function>
Function find(HMODULE library, std::initializer_list<const char*> names) {
    for (const char* name : names) {
        if (const auto found = GetProcAddress(library, name); found != nullptr)
            return reinterpret_cast<Function>(reinterpret_cast<void*>(found));
    }
    return nullptr;
}

}  // namespace

Result<Vssapi> Vssapi::load() {
    // System32 alone: this program runs elevated, and anybody may have written into the folder it lies in.
    const HMODULE library = LoadLibraryExW(L"vssapi.dll", nullptr, LOAD_LIBRARY_SEARCH_SYSTEM32);
    if (library == nullptr) return last_error("cannot load vssapi.dll");
    Vssapi api;
    api.create_ = find<Create>(library, {"CreateVssBackupComponentsInternal",
                                         "?CreateVssBackupComponents@@YAJPEAPEAVIVssBackupComponents@@@Z"});
    if (api.create_ == nullptr)
        return Error(Code::unsupported, "vssapi.dll has no CreateVssBackupComponents",
                     "this Windows is too old or damaged: Windows 7 or Server 2008 R2 and later have it");
    api.free_ = find<Free>(library, {"VssFreeSnapshotPropertiesInternal", "VssFreeSnapshotProperties"});
    api.should_block_ = find<ShouldBlock>(library, {"ShouldBlockRevertInternal", "ShouldBlockRevert"});
    return api;
}

Result<ComPtr<IVssBackupComponents>> Vssapi::create_backup_components() const {
    ComPtr<IVssBackupComponents> object;
    const HRESULT result = create_(object.out());
    if (FAILED(result)) {
        const auto error = com_error(result, "CreateVssBackupComponents");
        if (result == E_ACCESSDENIED && !is_elevated())
            return Error(error.code(), error.message() + ", and this program does not run elevated",
                         "start it from an administrator's command prompt", error.os_error());
        if (result == E_NOTIMPL)
            return Error(error.code(), error.message(),
                         "Wine, for one, has no Volume Shadow Copy Service: run on Windows",
                         error.os_error());
        return error;
    }
    if (!object) return com_error(E_POINTER, "CreateVssBackupComponents gave nothing");
    return object;
}

void Vssapi::free(VSS_SNAPSHOT_PROP& properties) const {
    if (free_ != nullptr) {
        free_(&properties);
        return;
    }
    for (VSS_PWSZ text : {properties.m_pwszSnapshotDeviceObject, properties.m_pwszOriginalVolumeName,
                          properties.m_pwszOriginatingMachine, properties.m_pwszServiceMachine,
                          properties.m_pwszExposedName, properties.m_pwszExposedPath})
        CoTaskMemFree(text);
}

Result<bool> Vssapi::should_block_revert(std::string_view volume) const {
    if (should_block_ == nullptr) return false;
    unsigned char block = 0;
    EXSHADOW_TRY(check(should_block_(wide(volume).c_str(), &block), "ShouldBlockRevert"));
    return block != 0;
}

}  // namespace exshadow::vss::win32
