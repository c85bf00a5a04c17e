#include "vss/requestor.h"

#include <algorithm>

namespace exshadow::vss {

namespace {

Result<HResult> outcome(const StepStatus& status, std::string_view what) {
    if (status.state == StepState::failed) {
        std::string context(what);
        if (!status.detail.empty()) context += ": " + status.detail;
        return vss_error(status.result, context);
    }
    if (status.state == StepState::cancelled) return vss_error(HResult::vss_s_async_cancelled, what);
    return status.result;
}

// Waits at most `limit`; the status is `pending` when the time was up or `stop` said so.
Result<StepStatus> wait_in_slices(AsyncStep& step, Milliseconds limit, Milliseconds slice,
                                  const std::function<bool()>& stop) {
    for (Milliseconds waited = 0;;) {
        const auto turn = std::clamp<Milliseconds>(limit - waited, 0, std::max<Milliseconds>(slice, 1));
        EXSHADOW_TRY(step.wait(turn));
        const auto status = step.query_status();  // Wait says nothing of the outcome: always ask
        if (!status.ok() || status->state != StepState::pending) return status;
        waited += turn;
        if (waited >= limit || (stop && stop())) return status;
    }
}

}  // namespace

Result<HResult> finish(AsyncStep& step, std::string_view what, const WaitLimits& limits) {
    const auto status = wait_in_slices(step, limits.limit, limits.slice, limits.cancelled);
    if (!status.ok()) return status.error().within(what);
    if (status->state != StepState::pending) return outcome(*status, what);

    const bool asked = limits.cancelled && limits.cancelled();
    const auto cancel = step.cancel();
    if (!cancel.ok()) return cancel.error().within(what);
    const auto last = wait_in_slices(step, limits.grace, limits.slice, {});
    if (!last.ok()) return last.error().within(what);
    // The step may have ended well while it was asked to stop.
    if (last->state == StepState::finished) return outcome(*last, what);
    const std::string still = last->state == StepState::pending ? " and does not stop" : "";
    if (asked) return Error(Code::cancelled, std::string(what) + ": stopped on request" + still);
    return Error(Code::timed_out,
                 std::string(what) + ": not done after " + std::to_string(limits.limit / 1000) + " s" + still,
                 "repeat when the machine is less busy, or give it more time");
}

}  // namespace exshadow::vss
