// A session of the coordinator itself, on a bed's loop: what its calls answer, and its end.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "sim_bed.h"

namespace exshadow::vss::test {

template <class T>
HResult code_of(const Result<T>& result) {
    return result.ok() ? HResult::s_ok : hresult_of(result.error());
}

// Runs a Task of the session and keeps its answer.
template <class R>
Task<void> keep(Task<R> task, std::optional<R>* answer) {
    auto got = co_await std::move(task);
    answer->emplace(std::move(got));
}
template <class R>
R get(Bed& bed, Task<R> task) {
    std::optional<R> answer;
    bed.run(keep(std::move(task), &answer));
    return std::move(*answer);
}
// Begun on the loop, as everything is.
inline Task<StepStatus> to_its_end(std::function<Result<StepPtr>()> begin) {
    const auto begun = begin();
    if (!begun.ok()) co_return StepStatus{StepState::failed, hresult_of(begun.error()), "not begun"};
    auto waiting = (*begun)->wait();
    co_await std::move(waiting);
    co_return (*begun)->status();
}

struct Closing {
    Bed& bed;
    std::shared_ptr<Session> session;
    ~Closing() { bed.run(session->close()); }
};

// A session for managing.
inline std::shared_ptr<Session> manager(Bed& bed, SnapshotAttributes context = context::all,
                                        std::string_view document = {}) {
    auto session = bed.open();
    REQUIRE(session->initialize_for_backup(document).ok());
    REQUIRE(session->set_context(context).ok());
    return session;
}

}  // namespace exshadow::vss::test
