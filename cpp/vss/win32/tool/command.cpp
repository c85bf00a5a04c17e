#include <windows.h>

#include <array>
#include <atomic>
#include <map>

#include "vss/win32/text.h"
#include "vss/win32/tool/system.h"

namespace exshadow::vss::win32 {

namespace {

std::atomic<unsigned> interrupts{0};
constexpr unsigned patience = 2;  // the first asks to stop, the second may be a copy of it

BOOL WINAPI on_control(DWORD event) {
    const bool enough = ++interrupts > patience;
    // When the console closes or the user logs off, Windows ends the process as soon as this returns: give
    // the abort time.
    if (event == CTRL_CLOSE_EVENT || event == CTRL_LOGOFF_EVENT || event == CTRL_SHUTDOWN_EVENT)
        Sleep(INFINITE);
    // A call that hangs in the service never looks at the count: the third Ctrl-C ends the process, and the
    // service aborts what a dead requestor left. Not by the system's own handler: it would wait for threads
    // that hang, and has another status.
    if (enough) TerminateProcess(GetCurrentProcess(), 130);
    return TRUE;
}

struct NoCase {
    bool operator()(const std::wstring& a, const std::wstring& b) const {
        return CompareStringOrdinal(a.c_str(), -1, b.c_str(), -1, TRUE) == CSTR_LESS_THAN;
    }
};

// This process' variables and the given ones, sorted as Windows wants them: NAME=VALUE, each ended by a null,
// then one more.
std::wstring environment_block(const std::vector<std::pair<std::string, std::string>>& added) {
    std::map<std::wstring, std::wstring, NoCase> variables;
    wchar_t* const own = GetEnvironmentStringsW();
    for (const wchar_t* at = own; at != nullptr && *at != L'\0'; at += wcslen(at) + 1) {
        const std::wstring one(at);
        const auto cut = one.find(L'=', 1);  // names like "=C:" begin with one
        if (cut != std::wstring::npos) variables[one.substr(0, cut)] = one.substr(cut + 1);
    }
    if (own != nullptr) FreeEnvironmentStringsW(own);
    for (const auto& [name, value] : added) variables[wide(name)] = wide(value);
    std::wstring block;
    for (const auto& [name, value] : variables) {
        block += name + L"=" + value;
        block += L'\0';
    }
    block += L'\0';
    return block;
}

class Handle {
public:
    explicit Handle(HANDLE handle) : handle_(handle) {}
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() {
        if (handle_ != nullptr) CloseHandle(handle_);
    }
    [[nodiscard]] HANDLE get() const { return handle_; }

private:
    HANDLE handle_;
};

// System32's own, by its full name: a search would begin in the folder of this program, which runs elevated.
Result<std::wstring> command_interpreter() {
    std::array<wchar_t, MAX_PATH> folder{};
    const UINT size = GetSystemDirectoryW(folder.data(), static_cast<UINT>(folder.size()));
    if (size == 0 || size >= folder.size()) return last_error("GetSystemDirectory");
    return std::wstring(folder.data()) + L"\\cmd.exe";
}

// Everything in the job ends when its last handle is closed, by us or by our death.
HANDLE make_job() {
    const HANDLE job = CreateJobObjectW(nullptr, nullptr);
    if (job == nullptr) return nullptr;
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits{};
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    return job;
}

}  // namespace

void watch_interrupts() {
    SetConsoleCtrlHandler(nullptr, FALSE);  // a parent may have had Ctrl-C ignored
    SetConsoleCtrlHandler(on_control, TRUE);
}

bool interrupted() {
    return interrupts.load() != 0;
}

Result<unsigned> run_command(std::string_view command,
                             const std::vector<std::pair<std::string, std::string>>& variables,
                             bool stdout_is_ours) {
    const auto interpreter = command_interpreter();
    if (!interpreter.ok()) return interpreter.error();
    auto line = L"cmd.exe /d /s /c \"" + wide(command) + L"\"";
    auto block = environment_block(variables);
    STARTUPINFOW start{};
    start.cb = sizeof start;
    start.dwFlags = STARTF_USESTDHANDLES;
    start.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    start.hStdOutput = GetStdHandle(stdout_is_ours ? STD_ERROR_HANDLE : STD_OUTPUT_HANDLE);
    start.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    PROCESS_INFORMATION made{};
    if (!CreateProcessW(interpreter->c_str(), line.data(), nullptr, nullptr, TRUE,
                        CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT, block.data(), nullptr, &start, &made))
        return last_error("cannot run the command");
    const Handle process(made.hProcess);
    const Handle thread(made.hThread);
    const Handle job(make_job());
    if (job.get() != nullptr) AssignProcessToJobObject(job.get(), process.get());
    ResumeThread(thread.get());
    constexpr DWORD slice = 100;
    constexpr DWORD grace = 5000;  // the command got the Ctrl-C as well and may want to clean up
    while (WaitForSingleObject(process.get(), slice) == WAIT_TIMEOUT) {
        if (!interrupted()) continue;
        if (WaitForSingleObject(process.get(), grace) == WAIT_TIMEOUT) TerminateProcess(process.get(), 130);
    }
    DWORD status = 0;
    GetExitCodeProcess(process.get(), &status);
    // Ctrl-C is for the command and for us; the command may have ended by it before we hear of it.
    constexpr DWORD same_ctrl_c = 300;
    if (!interrupted()) Sleep(same_ctrl_c);
    if (interrupted() || status == static_cast<DWORD>(STATUS_CONTROL_C_EXIT))
        return Error(Code::cancelled, "stopped on request");
    return static_cast<unsigned>(status);
}

}  // namespace exshadow::vss::win32
