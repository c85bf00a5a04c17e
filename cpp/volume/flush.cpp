// Flushes (E12) and the watch over plexes that answer too slowly (F19).
#include <algorithm>

#include "volume/volume.h"

namespace exshadow {

namespace {

constexpr int watch_ticks_a_limit = 4;

bool holds(const std::vector<std::shared_ptr<Plex>>& list, const std::shared_ptr<Plex>& plex) {
    return std::find(list.begin(), list.end(), plex) != list.end();
}

}  // namespace

Task<Status> Volume::flush() {
    EXSHADOW_CO_TRY(check_request(0, 0, true));
    const bool settles = redirect_ && options_.orders.keeps(Order::e27_clear_before_answer);
    auto flushing = settles ? settle_moved() : flush_members();
    co_return co_await std::move(flushing);
}

Task<Status> Volume::flush_members() {
    PlexList flushed;
    for (;;) {
        PlexList pending;
        for (const auto& plex : members()) {
            if (!holds(flushed, plex)) pending.push_back(plex);
        }
        if (!options_.orders.keeps(Order::e12_flush_reaches_every_member) && !flushed.empty())
            pending.clear();
        if (pending.empty()) break;
        if (!options_.orders.keeps(Order::e12_flush_reaches_every_member)) pending.resize(1);
        auto flushing = flush_plexes(pending);
        EXSHADOW_CO_TRY(co_await std::move(flushing));
        flushed.insert(flushed.end(), pending.begin(), pending.end());
    }
    auto recording = departures_recorded();
    EXSHADOW_CO_TRY(co_await std::move(recording));
    co_return write_refusal();
}

// Flush several plexes; whoever fails leaves. One failed flush is final for that plex (E33, F17).
Task<Status> Volume::flush_plexes(PlexList plexes) {
    PlexOperation operation;
    operation.kind = PlexOperation::Kind::flush;
    auto fan = FanOut::start(loop_, operation, plexes, idle_);
    start_watch(fan);
    auto waiting = fan->wait();
    co_await std::move(waiting);
    for (const auto& target : fan->targets) {
        if (!target.result || target.result->ok()) continue;
        Plex& plex = *target.plex;
        const Error& error = target.result->error();
        if (PlexRecord* const record = state_.find_plex(plex.uuid)) record->flush_failed = true;
        if (plex.is_member() && members().size() > 1) {
            depart(target.plex, PlexState::failed, error.message());
        } else if (plex.is_member()) {
            if (options_.orders.keeps(Order::e4_fail_after_failed_flush)) flush_error_ = error;
            co_return error;
        } else if (plex.state == PlexState::splitting) {
            leave_broken(plex, error);
        } else if (plex.sync_map) {
            stop_receiving(plex);
            if (!plex.receive_error) plex.receive_error = error;
        }
    }
    co_return Status{};
}

void Volume::start_watch(const std::shared_ptr<FanOut>& fan) {
    if (options_.latency_limit <= 0 || (fan->targets.size() < 2 && member_count() < 2)) return;
    if (fans_.size() >= fans_limit_) {
        std::erase_if(fans_, [](const std::weak_ptr<FanOut>& old) { return old.expired(); });
        fans_limit_ = std::max<std::size_t>(64, 2 * fans_.size());
    }
    fans_.push_back(fan);
    if (watching_) return;
    watching_ = true;
    background_.spawn(watch_latency());
}

// Lets go of a plex that keeps its clients waiting (F19): of all but the last member. close() wakes it.
Task<void> Volume::watch_latency() {
    while (!fans_.empty() && !closing_) {
        co_await loop_.sleep(options_.latency_limit / watch_ticks_a_limit);
        std::erase_if(fans_, [](const std::weak_ptr<FanOut>& fan) { return fan.expired(); });
        const auto fans = fans_;
        for (const auto& weak : fans) {
            const auto fan = weak.lock();
            if (!fan || loop_.now() - fan->started_ns < options_.latency_limit) continue;
            for (auto& target : fan->targets) {
                if (target.result || target.abandoned) continue;
                const Error slow(Code::timed_out, "it did not answer within the latency limit");
                if (target.plex->is_member() && members().size() > 1) {
                    depart(target.plex, PlexState::failed, slow.message());
                } else if (target.plex->state == PlexState::splitting) {
                    leave_broken(*target.plex, slow);
                }
            }
        }
    }
    watching_ = false;
}

}  // namespace exshadow
