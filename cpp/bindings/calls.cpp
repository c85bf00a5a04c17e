#include "bindings/calls.h"

#include <algorithm>
#include <vector>

namespace exshadow {

namespace {

bool wants_sync(PlexState state) {
    return state == PlexState::stale || state == PlexState::failed || state == PlexState::detached;
}

// While a volume is being restored by copy nothing else can be done; while an instant restore moves, a plex
// may be named to be synced beside it.
bool continues_restore(const Volume& volume, const std::string& label) {
    return volume.is_restoring() || (volume.is_moving() && label.empty());
}

}  // namespace

Task<Result<VolumeFacts>> describe_volume(Volume& volume) {
    co_return describe(volume);
}

Task<Result<std::string>> plan_sync(Volume& volume, std::string label) {
    const auto& plexes = volume.plexes();
    const auto named = [&](const std::shared_ptr<Plex>& plex) { return plex->label == label; };
    if (!label.empty() && std::none_of(plexes.begin(), plexes.end(), named)) {
        co_return Error(Code::not_found, "volume " + volume.state().name + " has no plex '" + label + "'");
    }
    co_return std::string(continues_restore(volume, label) ? "restore" : "sync");
}

Task<Status> sync_by_map(Volume& volume, std::string label, std::uint64_t limit, std::shared_ptr<Job> job) {
    if (continues_restore(volume, label)) {
        auto continuing = volume.continue_restore(limit, job);
        co_return co_await std::move(continuing);
    }
    std::vector<std::string> labels;
    if (!label.empty()) labels.push_back(label);
    for (const auto& plex : volume.plexes()) {
        if (label.empty() && wants_sync(plex->state)) labels.push_back(plex->label);
    }
    Status first;
    for (const std::string& next : labels) {
        if (job->cancelled()) co_return job->cancelled_error();
        auto syncing = volume.sync_plex(next, limit, job);
        const Status status = co_await std::move(syncing);
        if (first.ok() && !status.ok()) first = status;
    }
    co_return first;
}

}  // namespace exshadow
