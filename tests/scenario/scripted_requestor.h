// A Requestor around another: it keeps a list of what was asked, answers calls as the scenario says instead
// of asking on, and makes steps stay pending or end with an error.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "scenario/json.h"
#include "scenario/script.h"
#include "vss/requestor.h"

namespace exshadow::scenario {

struct StepScript {
    int pending = 0;                     // so many times query_status() says so first
    std::optional<vss::HResult> result;  // then the step ends with this
};

// Shared by the requestors of one world, since "twice" counts over all of them. Any thread.
class CallScripts {
public:
    CallScripts() = default;
    CallScripts(const Json& calls, const Json& steps);  // throws BadScenario
    // The answer that is scripted for this call now, if any; the call is noted.
    [[nodiscard]] std::optional<vss::HResult> take(const char* call);
    [[nodiscard]] std::optional<StepScript> step(const char* call);
    [[nodiscard]] std::vector<std::string> asked();
    void answer_from_now(const char* call, vss::HResult result);

private:
    struct Answer {
        vss::HResult result = vss::HResult::s_ok;
        std::optional<int> times;
    };
    std::mutex mutex_;
    std::map<std::string, Answer, std::less<>> answers_;
    std::map<std::string, StepScript, std::less<>> steps_;
    std::vector<std::string> asked_;
};

// Calls have the SDK's names ("StartSnapshotSet").
[[nodiscard]] std::unique_ptr<vss::Requestor> scripted(std::unique_ptr<vss::Requestor> inner,
                                                       std::shared_ptr<CallScripts> scripts);

}  // namespace exshadow::scenario
