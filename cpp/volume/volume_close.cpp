// Closing a volume: pause, drain, flush, persist, mark clean, each step flushed (E19).
#include "volume/volume.h"

namespace exshadow {

Task<Status> Volume::close() {
    if (closed_) co_return Status{};
    closing_ = true;
    for (const auto& job : running_jobs_) job->cancel();
    loop_.wake_sleepers();
    while (operations_ != 0) co_await operation_done_.wait();
    while (!lock_.empty()) co_await request_done_.wait();
    loop_.wake_sleepers();
    auto waiting = background_.wait();
    co_await std::move(waiting);
    auto marking = mark_clean();
    Status status = co_await std::move(marking);
    for (const auto& plex : plexes_) {
        auto closing = close_device(plex, false);
        co_await std::move(closing);
    }
    auto background = background_.wait();
    co_await std::move(background);
    if (!metadata_error_) {
        auto owning = write_owner("exshadow volume file\nno owner\n");
        static_cast<void>(co_await std::move(owning));
    }
    metadata_.reset();
    closed_ = true;
    co_return status;
}

// Each step durable before the next: plexes flushed, maps persisted, log emptied, then clean (E19).
Task<Status> Volume::mark_clean() {
    if (lacks_production_) co_return Status{};
    EXSHADOW_CO_TRY(write_refusal());
    if (!state_.clean) {
        auto settling = settle_moved();
        EXSHADOW_CO_TRY(co_await std::move(settling));
        auto flushing = flush_plexes(flush_targets());
        EXSHADOW_CO_TRY(co_await std::move(flushing));
        auto persisting = persist_maps();
        EXSHADOW_CO_TRY(co_await std::move(persisting));
        auto recording = departures_recorded();
        EXSHADOW_CO_TRY(co_await std::move(recording));
        log_->finish_eviction(log_->begin_eviction(log_->used()));
        auto writing = log_->write_now();
        EXSHADOW_CO_TRY(co_await std::move(writing));
    }
    bool changed = !state_.clean;
    for (const auto& plex : members()) {
        auto identifying = read_identity(*plex->device);
        const Result<PlexIdentity> identity = co_await std::move(identifying);
        if (!identity.ok()) co_return identity.error();
        PlexRecord& record = *state_.find_plex(plex->uuid);
        changed = changed || record.identity != *identity;
        record.identity = *identity;
    }
    auto digesting = digest_maps();
    const std::uint32_t digest = co_await std::move(digesting);
    if (!changed && digest == state_.maps_digest) co_return Status{};
    auto persisting = persist_maps();
    EXSHADOW_CO_TRY(co_await std::move(persisting));
    state_.clean = true;
    auto committing = commit(digest);
    co_return co_await std::move(committing);
}

}  // namespace exshadow
