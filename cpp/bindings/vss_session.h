// What Python holds of cpp/vss: a requestor's session and its asynchronous steps. All waiting is done with
// the GIL freed, also that of destructors: ending a session calls writers, which may be Python's.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "bindings/errors.h"
#include "runtime/real_loop.h"
#include "vss/requestor.h"

namespace exshadow::python {

// Failures of cpp/vss are raised by exshadow.vss.errors.make: it knows HRESULTs.
[[nodiscard]] py::object vss_exception(const Error& error);
[[noreturn]] void raise_vss(const Error& error);
inline void raise_vss_if(const Status& status) {
    if (!status.ok()) raise_vss(status.error());
}

// What belongs to the process that made it: a child of fork() has none of the threads behind it, and leaves
// it alone.
class OfOneProcess {
public:
    [[nodiscard]] bool usable() const { return generation_ == fork_generation(); }

private:
    const std::uint64_t generation_ = fork_generation();
};

// A step, until its session ends. Any thread.
class StepHandle : private OfOneProcess {
public:
    explicit StepHandle(vss::Step step) : step_(std::move(step)) {}
    StepHandle(const StepHandle&) = delete;
    StepHandle& operator=(const StepHandle&) = delete;
    ~StepHandle() { drop(); }

    // Waits at most so long. False: it still runs.
    bool wait(vss::Milliseconds limit);
    vss::StepStatus status();
    vss::HResult cancel();
    // vss::finish(). A signal whose handler raises (Ctrl-C) cancels the step and is raised when it has ended.
    vss::HResult finish(const std::string& what, vss::Milliseconds limit, vss::Milliseconds grace);

    void drop();  // GIL free or held; waits until no other thread is inside

private:
    template <class Function>
    auto with_step(Function function);

    std::atomic<bool> dropping_{false};  // who waits inside is to leave
    std::shared_mutex mutex_;            // shared: in use; exclusive: to be dropped
    vss::Step step_;
};

// Why a call is waited for no longer: its session is closed by another thread, or a signal's handler raised
// (Ctrl-C), which is kept until the call has ended.
class Interruption {
public:
    // The GIL free.
    bool look();
    void leave() { leaving_ = true; }
    // Raises it, once. The GIL held.
    void raise();

private:
    std::atomic<bool> leaving_{false};
    std::optional<py::error_already_set> heard_;
};

// One requestor. Calls come one at a time, from any thread.
class SessionHandle : private OfOneProcess {
public:
    // `house` outlives the requestor: whatever it stands on.
    SessionHandle(std::unique_ptr<vss::Requestor> requestor, std::shared_ptr<void> house,
                  std::shared_ptr<Interruption> interruption)
        : house_(std::move(house)),
          interruption_(std::move(interruption)),
          requestor_(std::move(requestor)) {}
    SessionHandle(const SessionHandle&) = delete;
    SessionHandle& operator=(const SessionHandle&) = delete;
    ~SessionHandle() { close(); }

    // Ends the session: aborts what was begun; writers get BackupShutdown. May be repeated.
    void close();

    template <class Function>
    auto call(Function function) {
        auto answer = call_without_gil(function);
        interruption_->raise();
        return answer;
    }
    std::shared_ptr<StepHandle> keep(vss::Step step);

private:
    [[nodiscard]] Error closed_error() const;
    template <class Function>
    auto call_without_gil(Function& function) {
        const py::gil_scoped_release release;
        using Given = decltype(function(*requestor_));
        if (!usable()) return Given(closed_error());
        const std::lock_guard lock(mutex_);
        if (!requestor_) return Given(closed_error());
        return function(*requestor_);
    }

    std::mutex mutex_;
    std::shared_ptr<void> house_;
    const std::shared_ptr<Interruption> interruption_;
    std::vector<std::weak_ptr<StepHandle>> steps_;
    std::unique_ptr<vss::Requestor> requestor_;
};

void register_vss_session(py::module_& module);
void register_vss_documents(py::module_& module);
void register_vss_procedures(py::module_& module);

}  // namespace exshadow::python
