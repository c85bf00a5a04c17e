// The providers of one session's snapshot set: which of them takes a volume (fact sheet, 5.3), and the steps
// of making the set, kept in the order of 5.1 for each. Providers of one set take a step side by side.
//
// Also the way to ask a single provider anything: with a limit, and with codes outside the contract (5.2)
// turned into VSS_E_UNEXPECTED_PROVIDER_ERROR.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "runtime/task.h"
#include "vss/coordinator/coordinator.h"
#include "vss/coordinator/provider.h"
#include "vss/coordinator/timed.h"
#include "vss/coordinator/writer_set.h"

namespace exshadow::vss {

using ProviderPtr = std::shared_ptr<Provider>;

// The error of a provider's call as the requestor sees it.
[[nodiscard]] Error provider_error(const Provider& provider, ProviderCall call, const Error& error);
// For an answer that did not come.
[[nodiscard]] Error provider_late(const Provider& provider, ProviderCall call);

// How long an answer is waited for: as CoordinatorLimits say, or as long as it takes and the session lives.
enum class Patience : std::uint8_t { provider, abort, endless };

class ProviderSet {
public:
    ProviderSet(HubPtr hub, const CoordinatorOptions& options) : hub_(std::move(hub)), options_(options) {}

    // One call of one provider, made just now and not started: its answer, or why there is none.
    template <class R>
    Task<R> ask(ProviderPtr provider, ProviderCall call, Task<R> task, Stoppable stoppable,
                Patience patience = Patience::provider) {
        const auto number = provider->last_call();
        return wait_for(std::move(provider), call, number, std::move(task), stoppable, patience);
    }

    // Who snaps `volume`: the one named, or by rank among `registered`.
    Task<Result<ProviderPtr>> choose(std::vector<ProviderPtr> registered, Uuid named, std::string volume,
                                     SnapshotAttributes attributes);

    // Making the set.
    Task<Status> begin(ProviderPtr provider, SnapshotRequest request);
    // end_prepare to post_final_commit, for all; every call ends at `until` at the latest.
    Task<EventOutcome> step(ProviderCall call, Nanoseconds until);
    // For those whose EndPrepareSnapshots was called and whose set is not finished; what is then still there
    // is deleted. What could not be deleted is added to `troubles`.
    Task<void> abort(std::vector<Error>* troubles);
    // The finished snapshots of the set, provider by provider; gives what could not be deleted.
    Task<std::vector<Error>> remove_all();

    // The snapshots of the set as they were asked for.
    [[nodiscard]] std::vector<SnapshotProperties> requested() const;
    // The finished snapshots of the set, as those providers describe them that answer.
    Task<std::vector<SnapshotProperties>> properties();

private:
    // How far a provider has come with the set; each step follows the one before it.
    enum class State : std::uint8_t {
        preparing,
        prepared,
        precommitted,
        committed,
        postcommitted,
        prefinalcommitted,
        created,
        aborted,
    };
    struct Member {
        ProviderPtr provider;
        std::vector<SnapshotRequest> snapshots;
        State state = State::preparing;
        bool abortable = false;  // EndPrepareSnapshots was called
    };
    [[nodiscard]] static Task<Status> start_step(Provider& provider, ProviderCall call, Uuid set,
                                                 std::size_t snapshots);
    void observe(const Provider& provider, ProviderCall call) const;
    template <class R>
    Task<R> wait_for(ProviderPtr provider, ProviderCall call, CallNumber number, Task<R> task,
                     Stoppable stoppable, Patience patience);
    [[nodiscard]] Nanoseconds until(Patience patience) const {
        if (patience == Patience::endless) return never;
        const auto& limits = options_.limits;
        const auto limit = patience == Patience::abort ? limits.abort : limits.provider;
        return hub_->loop.now() + limit * millisecond_ns;
    }
    Task<void> remove(Member& member, Patience patience, std::vector<Error>* troubles);

    HubPtr hub_;
    const CoordinatorOptions& options_;
    Uuid set_;
    std::vector<Member> members_;
};

template <class R>
Task<R> ProviderSet::wait_for(ProviderPtr provider, ProviderCall call, CallNumber number, Task<R> task,
                              Stoppable stoppable, Patience patience) {
    CallGroup<R> calls(hub_);
    observe(*provider, call);
    calls.start(std::move(task), provider, until(patience));
    auto waiting = calls.wait(stoppable);
    co_await std::move(waiting);
    auto* const answer = calls.answer(0);
    if (answer == nullptr) {
        provider->abandon(call, number);
        if (calls.late(0)) co_return provider_late(*provider, call);
        co_return vss_error(HResult::vss_s_async_cancelled, sdk_name(call));
    }
    if (!answer->ok()) co_return provider_error(*provider, call, answer->error());
    co_return std::move(*answer);
}

}  // namespace exshadow::vss
