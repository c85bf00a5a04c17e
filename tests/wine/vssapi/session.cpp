#include "session.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "async.h"
#include "memory.h"

namespace exshadow::test_double {

using vss::Call;
using vss::HResult;
using vss::StepState;
using vss::StepStatus;

namespace {

int next_session() {
    static std::atomic<int> last = 0;
    return ++last;
}

// After these the client has to fetch its component pointers anew.
bool makes_pointers_stale(Call call) {
    return call == Call::prepare_for_backup || call == Call::do_snapshot_set ||
           call == Call::backup_complete || call == Call::pre_restore || call == Call::post_restore;
}

}  // namespace

std::shared_ptr<vss::AsyncStep> RunningStep::step() {
    const std::lock_guard lock(mutex_);
    return last_ ? nullptr : step_;
}

// What it ended with, when step() has none any more.
StepStatus RunningStep::last() {
    const std::lock_guard lock(mutex_);
    return *last_;
}

void RunningStep::wait(vss::Milliseconds limit) {
    if (const auto running = step()) static_cast<void>(running->wait(limit));
}

StepStatus RunningStep::status() {
    const auto running = step();
    if (running == nullptr) return last();
    const auto asked = running->query_status();
    const StepStatus status =
        asked.ok() ? *asked : StepStatus{StepState::failed, vss::hresult_of(asked.error())};
    if (status.state == StepState::pending) return status;
    const std::lock_guard lock(mutex_);
    if (!last_) last_ = status;
    return *last_;
}

HResult RunningStep::cancel() {
    const auto running = step();
    if (running == nullptr) {
        return last().state == StepState::cancelled ? HResult::vss_s_async_cancelled
                                                    : HResult::vss_s_async_finished;
    }
    const auto asked = running->cancel();
    return asked.ok() ? *asked : vss::hresult_of(asked.error());
}

void RunningStep::let_go() {
    if (status().state == StepState::pending) {
        const std::lock_guard lock(mutex_);
        if (!last_) last_ = StepStatus{StepState::cancelled, HResult::vss_s_async_cancelled};
    }
    const std::lock_guard lock(mutex_);
    step_.reset();
}

Session::Session(std::unique_ptr<vss::Requestor> requestor)
    : requestor_(std::move(requestor)), number_(next_session()) {}

Session::~Session() {
    end();
}

void Session::end() {
    const std::lock_guard lock(mutex_);
    for (const auto& step : steps_) step->let_go();
    steps_.clear();
    ++generation_;
    requestor_.reset();
}

std::unique_lock<std::mutex> Session::lock() {
    std::unique_lock held(mutex_);
    settle();
    return held;
}

void Session::settle() {
    std::erase_if(steps_, [this](const std::shared_ptr<RunningStep>& step) {
        const auto status = step->status();
        if (status.state == StepState::pending) return false;
        order_.ended(step->call(), status.state == StepState::finished);
        return true;
    });
}

HRESULT Session::done(Call call, HRESULT result) {
    order_.ended(call, SUCCEEDED(result));
    return result;
}

HRESULT Session::begun(Call call, Result<vss::Step> step, const char* name, IVssAsync** out) {
    if (!step.ok()) return hresult(step.error());
    if (makes_pointers_stale(call)) ++generation_;
    auto running = std::make_shared<RunningStep>(call, std::move(step).value());
    steps_.push_back(running);
    *out = new AsyncObject(std::move(running), name);
    return S_OK;
}

std::uint64_t Session::generation() {
    const std::lock_guard lock(mutex_);
    return generation_;
}

HRESULT hresult(const Error& error) {
    if (error.os_error() != 0) return hresult(vss::hresult_of(error));
    switch (error.code()) {
        case Code::invalid: return E_INVALIDARG;
        case Code::not_found: return hresult(HResult::vss_e_object_not_found);
        case Code::unsupported: return E_NOTIMPL;
        case Code::permission: return E_ACCESSDENIED;
        default: return hresult(HResult::vss_e_unexpected);
    }
}

HRESULT denied(std::string_view getter) {
    static const std::string script = narrow(_wgetenv(L"EXSHADOW_VSS_DENY"));
    const auto cut = script.find('=');
    if (cut == std::string::npos || std::string_view(script).substr(0, cut) != getter) return S_OK;
    return static_cast<HRESULT>(std::stoul(script.substr(cut + 1), nullptr, 16));
}

LoggedCall::LoggedCall(const char* object, const char* name, Json arguments, Session* session)
    : number_(Ledger::instance().next_number()), line_{{"call", name}, {"object", object}} {
    if (session != nullptr) {
        line_["session"] = session->number();
        const auto held = session->lock();
        line_["phase"] = vss::name(session->order().phase());
    }
    if (!arguments.empty()) line_["arguments"] = std::move(arguments);
}

HRESULT LoggedCall::result(HRESULT value) {
    auto name = vss::hresult_text(static_cast<HResult>(value));
    name = name.substr(0, name.find(' '));
    line_["result"] = name;
    Ledger::instance().write(number_, std::move(line_));
    return value;
}

HRESULT LoggedCall::result(const Status& status) {
    if (!status.ok()) line_["error"] = status.error().message();
    return result(hresult(status));
}

}  // namespace exshadow::test_double
