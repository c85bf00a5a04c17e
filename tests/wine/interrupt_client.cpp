// interrupt_client MARKER COMMAND...: starts the command in a process group of its own, waits until the file MARKER exists,
// presses Ctrl-Break, and ends with the command's exit status. Ctrl-C cannot be sent to one group; the handler is the same.
#include <windows.h>

#include <string>

namespace {

constexpr DWORD patience = 30'000;

std::wstring rest_of_command_line() {
    std::wstring line(GetCommandLineW());
    for (int argument = 0; argument < 2; ++argument) {
        const auto end = line.front() == L'"' ? line.find(L'"', 1) + 1 : line.find(L' ');
        line = line.substr(line.find_first_not_of(L' ', end));
    }
    return line;
}

bool appears(const wchar_t* marker, HANDLE process) {
    for (DWORD waited = 0; waited < patience; waited += 50) {
        if (GetFileAttributesW(marker) != INVALID_FILE_ATTRIBUTES) return true;
        if (WaitForSingleObject(process, 50) != WAIT_TIMEOUT) return false;
    }
    return false;
}

}  // namespace

int wmain(int count, wchar_t** arguments) {
    if (count < 3) return 90;
    AllocConsole();  // fails where there is one already
    auto line = rest_of_command_line();
    STARTUPINFOW start{};
    start.cb = sizeof start;
    PROCESS_INFORMATION made{};
    if (!CreateProcessW(nullptr, line.data(), nullptr, nullptr, TRUE, CREATE_NEW_PROCESS_GROUP, nullptr, nullptr, &start,
                        &made))
        return 91;
    if (!appears(arguments[1], made.hProcess)) return 92;
    if (!GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, made.dwProcessId)) return 93;
    if (WaitForSingleObject(made.hProcess, patience) != WAIT_OBJECT_0) return 94;
    DWORD status = 95;
    GetExitCodeProcess(made.hProcess, &status);
    return static_cast<int>(status);
}
