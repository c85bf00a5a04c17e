// AsyncStep on an IVssAsync. Its end moves the order of the requestor that began it.
#pragma once

#include <windows.h>

#include <vss.h>

#include "vss/order.h"
#include "vss/requestor.h"
#include "vss/win32/owned.h"

namespace exshadow::vss::win32 {

class ComStep final : public AsyncStep {
public:
    // `order` outlives the step, as the Requestor does.
    ComStep(ComPtr<IVssAsync> async, Order& order, Call call)
        : async_(std::move(async)), order_(order), call_(call) {}

    Status wait(Milliseconds limit) override;
    Result<StepStatus> query_status() override;
    Result<HResult> cancel() override;

private:
    ComPtr<IVssAsync> async_;
    Order& order_;
    Call call_;
    bool ended_ = false;
};

}  // namespace exshadow::vss::win32
