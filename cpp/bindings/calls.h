// Tasks that the extension needs and that are no single call of the engine. Loop only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "runtime/loop.h"
#include "runtime/sync.h"
#include "volume/inspect.h"
#include "volume/volume.h"

namespace exshadow {

[[nodiscard]] Task<Result<VolumeFacts>> describe_volume(Volume& volume);

// What sync_by_map() would do: "restore" when one is to be continued, else "sync". Code::not_found for a
// label that is not there.
[[nodiscard]] Task<Result<std::string>> plan_sync(Volume& volume, std::string label);

// Continue a restore (an instant one unless a plex is named); else bring up plex `label`, or with no label
// one after another every plex that is neither member nor snapshot. Goes on with the next when one fails;
// answers the first error.
[[nodiscard]] Task<Status> sync_by_map(Volume& volume, std::string label, std::uint64_t limit,
                                       std::shared_ptr<Job> job);

namespace detail {

template <class T>
Task<void> keep_result(Loop& loop, std::function<Task<T>(Loop&)>& make, std::optional<T>& result) {
    auto task = make(loop);
    result.emplace(co_await std::move(task));
    loop.stop();
}

}  // namespace detail

// Run one task on a loop of its own on the calling thread.
template <class T>
[[nodiscard]] T run_here(std::function<Task<T>(Loop&)> make) {
    auto loop = make_loop(LoopKind::pool);
    if (!loop.ok()) return loop.error();
    std::optional<T> result;
    (*loop)->post([&] { spawn(detail::keep_result<T>(**loop, make, result)); });
    (*loop)->run();
    return std::move(*result);
}

}  // namespace exshadow
