// IVssAsync over a step of the requestor.
#pragma once

#include <windows.h>

#include <vss.h>

#include <memory>

#include "com_object.h"
#include "session.h"

namespace exshadow::test_double {

class AsyncObject final : public ComObject<IVssAsync, IVssAsync> {
public:
    AsyncObject(std::shared_ptr<RunningStep> step, const char* of)
        : ComObject("IVssAsync"), step_(std::move(step)), of_(of) {}

    STDMETHODIMP Cancel() override {
        LoggedCall call("IVssAsync", "Cancel", {{"of", of_}});
        return call.result(hresult(step_->cancel()));
    }
    STDMETHODIMP Wait(DWORD milliseconds) override {
        LoggedCall call("IVssAsync", "Wait", {{"of", of_}});
        constexpr vss::Milliseconds no_limit = vss::Milliseconds{1} << 40;
        step_->wait(milliseconds == INFINITE ? no_limit : milliseconds);
        return call.result(S_OK);
    }
    STDMETHODIMP QueryStatus(HRESULT* result, INT*) override {
        LoggedCall call("IVssAsync", "QueryStatus", {{"of", of_}});
        if (result == nullptr) return call.result(E_INVALIDARG);
        const auto status = step_->status();
        *result = hresult(status.result);
        call.note("status", vss::hresult_text(status.result));
        return call.result(S_OK);
    }

private:
    std::shared_ptr<RunningStep> step_;
    const char* of_;
};

}  // namespace exshadow::test_double
