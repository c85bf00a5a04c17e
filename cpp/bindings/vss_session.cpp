#include "bindings/vss_session.h"

#include <pybind11/gil_safe_call_once.h>

#include <algorithm>
#include <optional>

namespace exshadow::python {

namespace {

const py::object& make_function() {
    PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> storage;
    return storage
        .call_once_and_store_result(
            [] { return py::object(py::module_::import("exshadow.vss.errors").attr("make")); })
        .get_stored();
}

Error ended_error() {
    return {Code::closed, "the session of this step has ended", "begin a new session"};
}

// Frees the GIL where this thread holds it: destructors run on any thread, at any time.
class WithoutGil {
public:
    WithoutGil() {
        if (PyGILState_Check() != 0) release_.emplace();
    }

private:
    std::optional<py::gil_scoped_release> release_;
};

}  // namespace

py::object vss_exception(const Error& error) {
    return make_function()(py::str(std::string(code_name(error.code()))), text(error.message()),
                           text(error.hint()), error.os_error());
}

void raise_vss(const Error& error) {
    const py::object exception = vss_exception(error);
    PyErr_SetObject(py::type::handle_of(exception).ptr(), exception.ptr());
    throw py::error_already_set();
}

template <class Function>
auto StepHandle::with_step(Function function) {
    using Given = decltype(function(*step_));
    const py::gil_scoped_release release;
    if (!usable()) return Given(ended_error());
    const std::shared_lock lock(mutex_);
    return step_ ? function(*step_) : Given(ended_error());
}

bool StepHandle::wait(vss::Milliseconds limit) {
    constexpr vss::Milliseconds slice = 100;
    for (;;) {
        const auto turn = std::clamp<vss::Milliseconds>(limit, 0, slice);
        const auto status = with_step([turn](vss::AsyncStep& step) -> Result<vss::StepStatus> {
            EXSHADOW_TRY(step.wait(turn));
            return step.query_status();
        });
        if (!status.ok()) raise_vss(status.error());
        if (status->state != vss::StepState::pending) return true;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        limit -= turn;
        if (limit <= 0 || dropping_) return false;
    }
}

vss::StepStatus StepHandle::status() {
    const auto status = with_step([](vss::AsyncStep& step) { return step.query_status(); });
    if (!status.ok()) raise_vss(status.error());
    return *status;
}

vss::HResult StepHandle::cancel() {
    const auto result = with_step([](vss::AsyncStep& step) { return step.cancel(); });
    if (!result.ok()) raise_vss(result.error());
    return *result;
}

vss::HResult StepHandle::finish(const std::string& what, vss::Milliseconds limit, vss::Milliseconds grace) {
    std::optional<py::error_already_set> signalled;
    vss::WaitLimits limits;
    limits.limit = limit;
    limits.slice = 100;
    limits.grace = grace;
    limits.cancelled = [&] {
        if (signalled || dropping_) return true;
        const py::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals() != 0) signalled.emplace();
        return signalled.has_value();
    };
    const auto result = with_step([&](vss::AsyncStep& step) { return vss::finish(step, what, limits); });
    if (signalled) throw std::move(*signalled);
    if (!result.ok()) raise_vss(result.error());
    return *result;
}

void StepHandle::drop() {
    if (!usable()) return static_cast<void>(step_.release());
    const WithoutGil without;
    dropping_ = true;
    const std::unique_lock lock(mutex_);
    step_.reset();
}

bool Interruption::look() {
    if (leaving_) return true;
    const py::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) heard_.emplace();
    return heard_.has_value();
}

void Interruption::raise() {
    if (!heard_) return;
    auto raised = std::move(*heard_);
    heard_.reset();
    throw raised;
}

Error SessionHandle::closed_error() const {
    if (!usable()) return {Code::closed, "the session belongs to the parent process", "begin one after fork"};
    return {Code::closed, "the session has ended", "one object is one backup, one restore or one query"};
}

std::shared_ptr<StepHandle> SessionHandle::keep(vss::Step step) {
    auto handle = std::make_shared<StepHandle>(std::move(step));
    const py::gil_scoped_release release;
    const std::lock_guard lock(mutex_);
    std::erase_if(steps_, [](const auto& one) { return one.expired(); });
    steps_.push_back(handle);
    return handle;
}

void SessionHandle::close() {
    if (!usable()) return static_cast<void>(requestor_.release());
    const WithoutGil without;
    interruption_->leave();
    const std::lock_guard lock(mutex_);
    for (const auto& one : steps_) {
        if (const auto step = one.lock()) step->drop();
    }
    steps_.clear();
    requestor_.reset();
    house_.reset();
}

}  // namespace exshadow::python
