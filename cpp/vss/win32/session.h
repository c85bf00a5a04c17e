// What a process needs before it may talk to VSS: the right bitness, COM on this thread, COM's security (once
// per process), the privileges of a backup program.
#pragma once

#include "base/error.h"

namespace exshadow::vss::win32 {

// COM on the thread that opens it, until it is destroyed on the same thread. Requestors live within it.
class ComSession {
public:
    // A host that made this thread single-threaded keeps that (RPC_E_CHANGED_MODE), and one that set COM's
    // security before keeps it (RPC_E_TOO_LATE): VSS works with both.
    [[nodiscard]] static Result<ComSession> open();

    ComSession(ComSession&& other) noexcept;
    ComSession(const ComSession&) = delete;
    ComSession& operator=(const ComSession&) = delete;
    ComSession& operator=(ComSession&&) = delete;
    ~ComSession();

private:
    explicit ComSession(bool initialized) : initialized_(initialized) {}
    bool initialized_;
};

// Refuses a process whose bitness is not the system's: VSS answers it with "class not registered" or worse.
[[nodiscard]] Status check_bitness();

// Enables SeBackupPrivilege and SeRestorePrivilege where the account holds them; true when it holds both.
// Copying files past their permissions needs them; whether VSS itself does is not documented.
bool enable_privileges();

// Does the process have an administrator's full token?
[[nodiscard]] bool is_elevated();

}  // namespace exshadow::vss::win32
