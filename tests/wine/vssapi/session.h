// What one IVssBackupComponents object and the objects it hands out share: the Requestor behind them, the
// steps under way, the order so far (for the log) and the generation of component pointers.
//
// Thread rule: every method from any thread; calls of the requestor are made under lock().
#pragma once

#include <windows.h>

#include <vss.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ledger.h"
#include "scenario/json.h"
#include "vss/order.h"
#include "vss/requestor.h"

namespace exshadow::test_double {

// A step of the requestor, which the client's IVssAsync looks at. It outlives both the IVssAsync (Windows
// goes on when the client drops it) and the session (the last status is kept).
class RunningStep {
public:
    RunningStep(vss::Call call, vss::Step step) : call_(call), step_(std::move(step)) {}

    void wait(vss::Milliseconds limit);
    vss::StepStatus status();
    vss::HResult cancel();
    [[nodiscard]] vss::Call call() const { return call_; }
    // The session ends: what is pending counts as cancelled from now on.
    void let_go();

private:
    std::shared_ptr<vss::AsyncStep> step();
    vss::StepStatus last();
    std::mutex mutex_;
    const vss::Call call_;
    std::shared_ptr<vss::AsyncStep> step_;
    std::optional<vss::StepStatus> last_;
};

class Session {
public:
    explicit Session(std::unique_ptr<vss::Requestor> requestor);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    // Held while the requestor is asked; steps that have ended are taken note of.
    [[nodiscard]] std::unique_lock<std::mutex> lock();
    [[nodiscard]] vss::Requestor& requestor() { return *requestor_; }
    [[nodiscard]] vss::Order& order() { return order_; }

    // A call that moves the order: `done` says whether it went well.
    HRESULT done(vss::Call call, HRESULT result);
    // A step began, or the error why not; `out` is the client's.
    HRESULT begun(vss::Call call, Result<vss::Step> step, const char* name, IVssAsync** out);

    // Pointers of GetWriterComponents are good for one generation.
    [[nodiscard]] std::uint64_t generation();
    void new_generation() { ++generation_; }

    void end();  // the requestor is destroyed: auto-release snapshots go, writers get BackupShutdown

    [[nodiscard]] int number() const { return number_; }

private:
    void settle();

    std::mutex mutex_;
    std::unique_ptr<vss::Requestor> requestor_;
    vss::Order order_;
    std::uint64_t generation_ = 0;
    std::vector<std::shared_ptr<RunningStep>> steps_;
    const int number_;
};

[[nodiscard]] HRESULT hresult(const Error& error);
// What EXSHADOW_VSS_DENY ("GetComponentInfo=0x80042301") makes a getter answer; S_OK: its true answer.
[[nodiscard]] HRESULT denied(std::string_view getter);
[[nodiscard]] inline HRESULT hresult(vss::HResult value) {
    return static_cast<HRESULT>(value);
}
[[nodiscard]] inline HRESULT hresult(const Status& status) {
    return status.ok() ? S_OK : hresult(status.error());
}

// One call of the client, from its first instruction to `result()`, which writes it to the log.
class LoggedCall {
public:
    LoggedCall(const char* object, const char* name, Json arguments, Session* session = nullptr);
    HRESULT result(HRESULT value);
    HRESULT result(const Status& status);  // with the error's text
    void note(const char* key, Json value) { line_[key] = std::move(value); }

private:
    std::uint64_t number_;
    Json line_;
};

}  // namespace exshadow::test_double
