// Comparing: the members of the mirror with each other, a snapshot with production. Under writes as well:
// each chunk is compared under its range lock, so no write in flight is taken for a difference (W12).
#include <algorithm>
#include <cstring>

#include "base/buffer.h"
#include "volume/volume.h"

namespace exshadow {

namespace {
constexpr std::uint64_t verify_chunk_bytes = MiB;
constexpr std::uint64_t compare_bytes = 4 * KiB;  // differences are reported in these steps

void report_differences(Job& job, Range chunk, const std::byte* a, const std::byte* b) {
    for (std::uint64_t at = 0; at < chunk.length; at += compare_bytes) {
        const std::uint64_t length = std::min(compare_bytes, chunk.length - at);
        if (std::memcmp(a + at, b + at, length) != 0) job.add_difference({chunk.offset + at, length});
    }
}

Error differ(std::uint64_t bytes, const std::string& what, std::string hint) {
    return Error(Code::mismatch, what + ": " + std::to_string(bytes) + " bytes differ", std::move(hint));
}

std::uint64_t total(const Ranges& ranges) {
    std::uint64_t bytes = 0;
    for (const auto& range : ranges) bytes += range.length;
    return bytes;
}

}  // namespace

// Members, and former members that were found changed from outside when the volume was opened: they are
// out of the mirror, but whoever asks for a comparison asks about them above all.
Task<Result<Volume::PlexList>> Volume::comparable_plexes() {
    PlexList list;
    for (const auto& plex : plexes_) {
        const bool doubted =
            plex->state == PlexState::stale && !plex->busy && state_.find_plex(plex->uuid)->needs_compare;
        if (doubted && !plex->device) {
            auto waiting = wait_idle(plex);
            co_await std::move(waiting);
            auto opening = open_snapshot_device(plex);
            EXSHADOW_CO_TRY(co_await std::move(opening));
        }
        if (doubted || plex->is_member()) list.push_back(plex);
    }
    co_return list;
}

Task<Status> Volume::verify(bool repair, std::string source, std::shared_ptr<Job> job) {
    const Scope scope(*this, job);
    EXSHADOW_CO_TRY(check_operation());
    EXSHADOW_CO_TRY(check_not_restoring());
    auto listing = comparable_plexes();
    const Result<PlexList> plexes = co_await std::move(listing);
    if (!plexes.ok()) co_return plexes.error();
    const PlexPointer truth = source.empty() ? authority() : find(source);
    if (!truth) co_return Error(Code::not_found, "volume " + state_.name + " has no plex '" + source + "'");
    if (std::find(plexes->begin(), plexes->end(), truth) == plexes->end()) {
        co_return Error(Code::refused,
                        "plex '" + source + "' is " + plex_state_name(truth->state) + ", not in sync",
                        "name a plex that is in sync");
    }
    if (repair && !unclean_durable_) {
        auto marking = become_unclean();
        EXSHADOW_CO_TRY(co_await std::move(marking));
    }
    PlexList doubted;
    for (const auto& plex : *plexes) {
        if (plex->is_member()) continue;
        ++plex->busy;
        doubted.push_back(plex);
    }
    auto comparing = compare_plexes(*plexes, truth, repair, job);
    Status status = co_await std::move(comparing);
    for (const auto& plex : doubted) {
        auto closing = close_device(plex, false);
        static_cast<void>(co_await std::move(closing));
        if (status.ok() && repair) {  // back into the mirror, by comparing once more
            auto syncing = run_sync(plex, 0, job);
            status = co_await std::move(syncing);
        }
        --plex->busy;
    }
    const std::uint64_t bytes = total(job->differences());
    if (!status.ok() || bytes == 0 || repair) co_return status;
    co_return differ(bytes, "the plexes of volume " + state_.name + " are not alike",
                     "find out which plex is right, then: exshadow mirror verify " + state_.name +
                         " --repair --from LABEL");
}

Task<Status> Volume::compare_plexes(PlexList plexes, PlexPointer truth, bool repair,
                                    std::shared_ptr<Job> job) {
    job->bytes_total = state_.size;
    const std::uint64_t step = std::max<std::uint64_t>(round_down(repair_piece(), block_size_), block_size_);
    for (std::uint64_t at = 0; at < state_.size; at += step) {
        if (job->cancelled()) co_return job->cancelled_error();
        const Range chunk{at, std::min(step, state_.size - at)};
        RangeLock::Request request;
        request.range = chunk;
        co_await lock_.admit(request);
        auto verifying = verify_chunk(chunk, repair, plexes, truth, job);
        const Status status = co_await std::move(verifying);
        lock_.release(request);
        if (request_done_.has_waiters()) request_done_.notify();
        if (!status.ok()) co_return status;
        job->bytes_done += chunk.length;
    }
    if (!repair) co_return Status{};
    auto flushing = flush();
    co_return co_await std::move(flushing);
}

// Members need not be alike where an instant restore has not been: nobody reads them there (E28).
Ranges Volume::comparable_parts(Range chunk) const {
    Ranges parts;
    while (!chunk.empty()) {
        const Redirect::Part part = redirect_ ? redirect_->first_part(chunk) : Redirect::Part{chunk, false};
        if (!part.unmoved) parts.push_back(part.range);
        chunk = {part.range.end(), chunk.length - part.range.length};
    }
    return parts;
}

// The caller holds the range.
Task<Status> Volume::verify_chunk(Range chunk, bool repair, PlexList plexes, PlexPointer truth,
                                  std::shared_ptr<Job> job) {
    const bool left = !truth->is_member() && truth->state != PlexState::stale;
    if (left)
        co_return Error(Code::refused, "plex " + truth->label + " left the mirror while it was compared",
                        "start again");
    const Ranges parts = comparable_parts(chunk);  // the range is held: they stay what they are
    if (parts.empty()) co_return Status{};
    AlignedBuffer right(chunk.length);
    AlignedBuffer other(chunk.length);
    auto reading = read_plex(truth, chunk.offset, right.span());
    EXSHADOW_CO_TRY(co_await std::move(reading));
    for (const auto& plex : plexes) {
        const bool doubted = plex->state == PlexState::stale && plex->device;
        if (plex == truth || !(plex->is_member() || doubted)) continue;
        auto comparing = read_plex(plex, chunk.offset, other.span());
        EXSHADOW_CO_TRY(co_await std::move(comparing));
        for (const Range& part : parts) {
            const std::uint64_t at = part.offset - chunk.offset;
            if (std::memcmp(right.data() + at, other.data() + at, part.length) == 0) continue;
            report_differences(*job, part, right.data() + at, other.data() + at);
            if (!repair || doubted) continue;
            auto repairing = repair_chunk(plex, part, right.span().subspan(at, part.length));
            EXSHADOW_CO_TRY(co_await std::move(repairing));
            job->bytes_copied += part.length;
        }
    }
    co_return Status{};
}

// A member gets the bytes of the plex named. If that changes what production holds, snapshots must know.
Task<Status> Volume::repair_chunk(PlexPointer plex, Range chunk, std::span<const std::byte> right) {
    auto acquiring = acquire_extents(chunk);
    EXSHADOW_CO_TRY(co_await std::move(acquiring));
    current_interval().bits.mark(chunk);
    for (const auto& other : plexes_) {
        if (other->sync_map) other->sync_map->bits.mark(chunk);
    }
    auto writing = write_plex(plex, chunk.offset, right);
    const Status written = co_await std::move(writing);
    release_extents(chunk);
    if (written.ok() || !plex->is_member()) co_return Status{};
    if (members().size() < 2) co_return written;
    depart(plex, PlexState::failed, written.error().message());
    auto recording = departures_recorded();
    co_return co_await std::move(recording);
}

// The copy is sound if it can be read, was not written to since the split, and equals production wherever
// nothing changed since.
Task<Status> Volume::verify_snapshot(std::string label, std::shared_ptr<Job> job) {
    const Scope scope(*this, job);
    if (closing_ || closed_) co_return Error(Code::closed, "volume " + state_.name + " is closed");
    auto snapshot = usable_snapshot(label);
    if (!snapshot.ok()) co_return snapshot.error();
    const PlexPointer plex = find((*snapshot)->plex);
    // The mover of an instant restore only reads it as well.
    const bool moved_from = redirect_ && redirect_->source == plex && mover_;
    if (plex->busy && !moved_from) co_return Error(Code::busy, "snapshot '" + label + "' is being worked on");
    ++plex->busy;  // nobody deletes or resyncs it meanwhile, nor once all is moved
    auto verifying = verify_snapshot_plex(plex, (*snapshot)->set_id, job);
    const Result<std::string> verdict = co_await std::move(verifying);
    --plex->busy;
    if (!verdict.ok()) co_return verdict.error();
    const std::string why = *verdict;
    if (!why.empty()) {
        co_return Error(Code::mismatch, "snapshot '" + label + "' is not as it was split off: " + why,
                        "it can still be resynced; do not restore from it");
    }
    const std::uint64_t bytes = total(job->differences());
    if (bytes == 0) co_return Status{};
    co_return differ(
        bytes, "snapshot '" + label + "' and production differ where nothing was written",
        "verify the mirror, and do not restore from this snapshot before you know which is right");
}

// Reads and compares everything; answers what is wrong with the plex as a file, if anything.
Task<Result<std::string>> Volume::verify_snapshot_plex(PlexPointer plex, Uuid set_id,
                                                       std::shared_ptr<Job> job) {
    auto opening = open_snapshot_device(plex);
    EXSHADOW_CO_TRY(co_await std::move(opening));
    auto judging = distrust(plex, false);
    std::string why = co_await std::move(judging);
    ChangeMap difference(state_.size, state_.region_size);
    if (!knows_production()) difference.mark_all();
    watched_.push_back(&difference);  // writes from here on
    auto reading = verify_snapshot_bytes(plex, set_id, difference, job);
    const Status status = co_await std::move(reading);
    std::erase(watched_, &difference);
    if (!status.ok()) co_return status.error();
    co_return std::move(why);
}

Task<Status> Volume::verify_snapshot_bytes(PlexPointer plex, Uuid set_id, ChangeMap& difference,
                                           std::shared_ptr<Job> job) {
    if (knows_production()) {
        const auto guard = co_await structure_mutex_.lock();
        const SnapshotRecord* const snapshot = state_.find_snapshot(set_id);
        if (snapshot == nullptr) co_return Error(Code::not_found, "the snapshot has gone meanwhile");
        auto merging = merge_difference(difference, snapshot->anchor);
        co_await std::move(merging);
    }
    job->bytes_total = state_.size;
    for (std::uint64_t at = 0; at < state_.size; at += verify_chunk_bytes) {
        if (job->cancelled() || closing_) co_return job->cancelled_error();
        const Range chunk{at, std::min(verify_chunk_bytes, state_.size - at)};
        RangeLock::Request request;
        request.range = chunk;
        co_await lock_.admit(request);
        auto verifying = verify_snapshot_chunk(plex, difference, chunk, job);
        const Status status = co_await std::move(verifying);
        lock_.release(request);
        if (request_done_.has_waiters()) request_done_.notify();
        if (!status.ok()) co_return status;
        job->bytes_done += chunk.length;
    }
    co_return Status{};
}

Task<Status> Volume::verify_snapshot_chunk(PlexPointer plex, ChangeMap& difference, Range chunk,
                                           std::shared_ptr<Job> job) {
    AlignedBuffer copy(chunk.length);
    auto reading = read_plex(plex, chunk.offset, copy.span());
    const Status status = co_await std::move(reading);
    if (!status.ok() || !knows_production() || difference.all(chunk)) co_return status;
    AlignedBuffer production(chunk.length);
    auto reading_production = read_production(chunk.offset, production.span(), true);
    EXSHADOW_CO_TRY(co_await std::move(reading_production));
    for (std::uint64_t at = 0; at < chunk.length; at += compare_bytes) {
        const Range part{chunk.offset + at, std::min(compare_bytes, chunk.length - at)};
        if (difference.any(part)) continue;
        report_differences(*job, part, copy.data() + at, production.data() + at);
    }
    co_return status;
}

}  // namespace exshadow
