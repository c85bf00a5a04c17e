#include "vss/win32/session.h"

#include <windows.h>

#include <objbase.h>
#include <objidl.h>

#include <cstdint>
#include <utility>

#include "vss/win32/owned.h"
#include "vss/win32/text.h"

namespace exshadow::vss::win32 {

namespace {

// Packet privacy, and the null descriptor that admits the writers' answers: a requestor is a COM server as
// well, and a descriptor that is too narrow makes VSS log event 8194. Impersonation with static cloaking is
// what file shares need.
Status set_security() {
    const HRESULT result =
        CoInitializeSecurity(nullptr, -1, nullptr, nullptr, RPC_C_AUTHN_LEVEL_PKT_PRIVACY,
                             RPC_C_IMP_LEVEL_IMPERSONATE, nullptr, EOAC_STATIC_CLOAKING, nullptr);
    if (result == RPC_E_TOO_LATE) return {};
    return check(result, "CoInitializeSecurity");
}

// COM swallows the crashes of objects unless it is told not to. A system without the option works as well.
void show_crashes() {
    ComPtr<IGlobalOptions> options;
    void* found = nullptr;
    if (FAILED(CoCreateInstance(CLSID_GlobalOptions, nullptr, CLSCTX_INPROC_SERVER, __uuidof(IGlobalOptions),
                                &found)))
        return;
    *options.out() = static_cast<IGlobalOptions*>(found);
    static_cast<void>(options->Set(COMGLB_EXCEPTION_HANDLING, COMGLB_EXCEPTION_DONOT_HANDLE));
}

class Token {
public:
    explicit Token(DWORD access) { OpenProcessToken(GetCurrentProcess(), access, &handle_); }
    Token(const Token&) = delete;
    Token& operator=(const Token&) = delete;
    ~Token() {
        if (handle_ != nullptr) CloseHandle(handle_);
    }
    [[nodiscard]] HANDLE get() const { return handle_; }

private:
    HANDLE handle_ = nullptr;
};

bool enable(HANDLE token, const wchar_t* privilege) {
    TOKEN_PRIVILEGES wanted{};
    wanted.PrivilegeCount = 1;
    wanted.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
    if (!LookupPrivilegeValueW(nullptr, privilege, &wanted.Privileges[0].Luid)) return false;
    SetLastError(ERROR_SUCCESS);
    if (!AdjustTokenPrivileges(token, FALSE, &wanted, 0, nullptr, nullptr)) return false;
    return GetLastError() == ERROR_SUCCESS;  // it succeeds with ERROR_NOT_ALL_ASSIGNED when not held
}

}  // namespace

Result<ComSession> ComSession::open() {
    EXSHADOW_TRY(check_bitness());
    const HRESULT began = CoInitializeEx(nullptr, COINIT_MULTITHREADED);
    if (began != RPC_E_CHANGED_MODE) EXSHADOW_TRY(check(began, "CoInitializeEx"));
    ComSession session(SUCCEEDED(began));
    EXSHADOW_TRY(set_security());
    show_crashes();
    return session;
}

ComSession::ComSession(ComSession&& other) noexcept
    : initialized_(std::exchange(other.initialized_, false)) {}

ComSession::~ComSession() {
    if (initialized_) CoUninitialize();
}

Status check_bitness() {
    const std::string wrong = "VSS answers only programs of the system's own kind";
    const std::string hint = "use the exshadow-vss.exe built for this system's processor";
    BOOL emulated = FALSE;
    if (!IsWow64Process(GetCurrentProcess(), &emulated)) return last_error("IsWow64Process");
    if (emulated != FALSE)
        return Error(Code::unsupported, wrong + ": this one is 32-bit, the system 64-bit", hint);
    // Windows 10 and later can also say that an x64 program runs on another processor.
    using Ask = BOOL(WINAPI*)(HANDLE, USHORT*, USHORT*);
    const HMODULE kernel = GetModuleHandleW(L"kernel32.dll");
    const auto found = kernel == nullptr ? nullptr : GetProcAddress(kernel, "IsWow64Process2");
    if (found == nullptr) return {};
    const auto ask = reinterpret_cast<Ask>(reinterpret_cast<void*>(found));
    USHORT process = 0;
    USHORT native = 0;
    if (ask(GetCurrentProcess(), &process, &native) == FALSE) return {};
#if defined(_M_X64) || defined(__x86_64__)
    if (native != IMAGE_FILE_MACHINE_AMD64)
        return Error(Code::unsupported, wrong + ": this one is for x64, the system is not", hint);
#endif
    return {};
}

bool enable_privileges() {
    const Token token(TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY);
    if (token.get() == nullptr) return false;
    const bool backup = enable(token.get(), L"SeBackupPrivilege");
    const bool restore = enable(token.get(), L"SeRestorePrivilege");
    return backup && restore;
}

bool is_elevated() {
    const Token token(TOKEN_QUERY);
    TOKEN_ELEVATION elevation{};
    DWORD size = 0;
    if (token.get() == nullptr ||
        !GetTokenInformation(token.get(), TokenElevation, &elevation, sizeof elevation, &size))
        return false;
    return elevation.TokenIsElevated != 0;
}

}  // namespace exshadow::vss::win32
