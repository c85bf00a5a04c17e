#include "vss/win32/com_step.h"

#include <algorithm>

namespace exshadow::vss::win32 {

namespace {

StepStatus status_of(HResult result) {
    switch (result) {
        case HResult::vss_s_async_pending: return {StepState::pending, result};
        case HResult::vss_s_async_cancelled: return {StepState::cancelled, result};
        default: return {failed(result) ? StepState::failed : StepState::finished, result};
    }
}

}  // namespace

Status ComStep::wait(Milliseconds limit) {
    const auto turn = std::clamp<Milliseconds>(limit, 0, INFINITE - 1);
    return check(async_->Wait(static_cast<DWORD>(turn)), "IVssAsync::Wait");
}

Result<StepStatus> ComStep::query_status() {
    HRESULT result = S_OK;
    EXSHADOW_TRY(check(async_->QueryStatus(&result, nullptr), "IVssAsync::QueryStatus"));
    const auto status = status_of(code(result));
    if (status.state != StepState::pending && !ended_) {
        ended_ = true;
        order_.ended(call_, status.state == StepState::finished);
    }
    return status;
}

Result<HResult> ComStep::cancel() {
    const HRESULT result = async_->Cancel();
    EXSHADOW_TRY(check(result, "IVssAsync::Cancel"));
    return code(result);
}

}  // namespace exshadow::vss::win32
