// Requests: reads, writes, zeroes, flushes. The order of the write path is told in volume.h.
#include <algorithm>
#include <cstring>
#include <limits>

#include "volume/volume.h"

namespace exshadow {

namespace {

constexpr std::uint64_t repair_bytes = MiB;

}  // namespace

Status Volume::check_request(std::uint64_t offset, std::uint64_t length, bool writing) const {
    if (closing_ || closed_) return Error(Code::closed, "volume " + state_.name + " is closed");
    if (offset > state_.size || length > state_.size - offset) {
        return Error(Code::invalid,
                     "the request ends behind the volume's end (" + std::to_string(state_.size) + " bytes)");
    }
    if (lacks_production_) {
        return Error(Code::not_found, "volume " + state_.name + " has no production plex",
                     "promote a snapshot: exshadow snapshot promote SET");
    }
    if (state_.mode != VolumeMode::normal || in_doubt_) EXSHADOW_TRY(check_mode());
    return writing ? write_refusal() : Status{};
}

Status Volume::write_refusal() const {
    if (metadata_error_) return metadata_error_->within("volume " + state_.name + " is read-only");
    if (flush_error_) return flush_error_->within("volume " + state_.name + " takes no more writes");
    return {};
}

Task<void> Volume::wait_while_paused() {
    while (paused_) co_await request_done_.wait();
}

Task<Status> Volume::write(std::uint64_t offset, Payload data, bool fua) {
    PlexOperation operation;
    operation.kind = PlexOperation::Kind::write;
    operation.range = {offset, data.bytes.size()};
    operation.data = std::move(data);
    return modify(std::move(operation), fua);
}

Task<Status> Volume::zero(Range range, ZeroMode mode) {
    PlexOperation operation;
    operation.kind = PlexOperation::Kind::zero;
    operation.range = range;
    operation.zero_mode = mode;
    return modify(std::move(operation), false);
}

Task<Status> Volume::modify(PlexOperation operation, bool fua) {
    EXSHADOW_CO_TRY(check_request(operation.range.offset, operation.range.length, true));
    if (operation.range.empty()) co_return Status{};
    if (!unclean_durable_) {
        auto marking = become_unclean();
        EXSHADOW_CO_TRY(co_await std::move(marking));
        EXSHADOW_CO_TRY(check_request(operation.range.offset, operation.range.length, true));
    }
    while (paused_) {
        auto pausing = wait_while_paused();
        co_await std::move(pausing);
        EXSHADOW_CO_TRY(check_request(operation.range.offset, operation.range.length, true));
    }
    RangeLock::Request request;
    // What is not moved is moved in whole regions: those who share one wait for each other (E26).
    const bool moves = redirect_ && redirect_->unmoved.any(operation.range) &&
                       options_.orders.keeps(Order::e26_new_writes_wait_for_old);
    request.range = round_out(operation.range,
                              moves ? std::max(block_size_, state_.region_size) : block_size_, state_.size);
    request.epoch = epoch_;
    request.client = true;
    RangeLock::Awaiter place = lock_.admit(request);
    if (options_.orders.keeps(Order::e9_overlapping_requests_wait)) co_await place;
    auto modifying = modify_admitted(request, std::move(operation));
    Status status = co_await std::move(modifying);
    lock_.release(request);
    finish_client(request);
    if (status.ok() && fua) {
        auto flushing = flush();
        status = co_await std::move(flushing);
    }
    co_return status;
}

// Long requests take their log slots one piece at a time (E10).
Task<Status> Volume::modify_admitted(RangeLock::Request& request, PlexOperation operation) {
    const std::uint64_t longest = log_->longest_request();
    if (operation.range.length <= longest) {
        auto whole = modify_piece(request, std::move(operation));
        co_return co_await std::move(whole);
    }
    Range rest = operation.range;
    while (!rest.empty()) {
        const Range part{rest.offset, std::min(longest, rest.length)};
        auto piece = modify_piece(request, operation.slice(part));
        EXSHADOW_CO_TRY(co_await std::move(piece));
        rest = {part.end(), rest.length - part.length};
    }
    co_return Status{};
}

Task<Status> Volume::modify_piece(RangeLock::Request& request, PlexOperation piece) {
    const bool clears = (redirect_ && redirects(request, piece.range)) ||
                        !options_.orders.keeps(Order::e26_old_writes_clear_no_bit);
    if (clears) return modify_unmoved(request, std::move(piece));
    return write_piece(request, std::move(piece));
}

Task<Status> Volume::write_piece(RangeLock::Request& request, PlexOperation piece) {
    const bool logged = options_.orders.keeps(Order::e14_log_before_write);
    if (logged && !log_->try_acquire(piece.range)) {
        auto acquiring = acquire_extents(piece.range);
        EXSHADOW_CO_TRY(co_await std::move(acquiring));
    }
    Status status = check_request(0, 0, true);
    // The volume may be closing: what was admitted before is still carried out.
    if (!status.ok() && status.error().code() == Code::closed && !closed_) status = write_refusal();
    if (status.ok()) {
        // From here to the issue nothing is awaited: the marks and the choice of plexes are one step (F4).
        PlexList targets;
        mark(piece.range, request.epoch, targets);
        auto fan = FanOut::start(loop_, piece, targets, idle_);
        start_watch(fan);
        auto waiting = fan->wait();
        co_await std::move(waiting);
        auto settling = settle(piece, fan);
        status = co_await std::move(settling);
    }
    if (logged) release_extents(piece.range);
    co_return status;
}

// Marks every map that must know of a write to `range` and lists the plexes that get it (E2, E22).
void Volume::mark(Range range, std::uint64_t epoch, PlexList& targets) {
    if (options_.orders.keeps(Order::e14_mark_before_write)) current_interval().bits.mark(range);
    for (ChangeMap* const map : watched_) map->mark(range);
    for (const auto& plex : plexes_) {
        if (plex->is_member()) {
            targets.push_back(plex);
        } else if (plex->state == PlexState::splitting && !plex->sync_map) {
            const bool old_request =
                options_.orders.keeps(Order::e22_old_writes_reach_leaving) && epoch <= plex->leave_epoch;
            if (plex->device && old_request) targets.push_back(plex);
        } else if (plex->receiving && !plex->todo->all(range)) {
            if (options_.orders.keeps(Order::e17_live_writes_reach_target)) targets.push_back(plex);
        } else if (plex->sync_map && options_.orders.keeps(Order::e2_later_writes_mark_sync_map)) {
            plex->sync_map->bits.mark(range);
            if (plex->todo) plex->todo->mark(range);  // a copier that is about to clear bits must see it
        }
    }
}

// What came of a write on each plex; answers what the client gets.
Task<Status> Volume::settle(PlexOperation piece, std::shared_ptr<FanOut> fan) {
    PlexList failed;
    std::optional<Error> first_error;
    bool reached_member = false;
    for (const auto& target : fan->targets) {
        if (!target.result) continue;  // let go: it has left the mirror
        Plex& plex = *target.plex;
        if (target.result->ok()) {
            reached_member = reached_member || plex.is_member();
            continue;
        }
        const Error& error = target.result->error();
        if (plex.is_member()) {
            failed.push_back(target.plex);
            if (!first_error) first_error = error;
        } else if (plex.state == PlexState::splitting) {
            leave_broken(plex, error);
        } else if (plex.sync_map) {
            plex.sync_map->bits.mark(piece.range);
            if (plex.todo) plex.todo->mark(piece.range);
            stop_receiving(plex);
            if (!plex.receive_error) plex.receive_error = error;
        }
    }
    if (!failed.empty() && reached_member) {
        for (const auto& plex : failed) depart(plex, PlexState::failed, first_error->message());
    } else if (!failed.empty()) {
        // A plex that is being brought up may have got what no member has.
        for (const auto& target : fan->targets) {
            Plex& plex = *target.plex;
            if (plex.is_member() || !plex.sync_map) continue;
            plex.sync_map->bits.mark(piece.range);
            if (plex.todo) plex.todo->mark(piece.range);
        }
        auto evening = even_out(piece, failed);
        EXSHADOW_CO_TRY(co_await std::move(evening));
    }
    if (departures_pending_ != 0 && options_.orders.keeps(Order::e1_record_departure_before_answer)) {
        auto recording = departures_recorded();
        EXSHADOW_CO_TRY(co_await std::move(recording));
    }
    if (!failed.empty() && !reached_member) co_return *first_error;
    co_return Status{};
}

// A write failed on every member: each may hold old or new bytes. Under the range lock of that write the
// authority's bytes are copied to the others, so that all agree again (E4).
Task<Status> Volume::even_out(PlexOperation piece, PlexList members_hit) {
    auto bytes = std::make_shared<std::vector<std::byte>>(std::min(piece.range.length, repair_bytes));
    for (std::size_t i = 0; i < members_hit.size(); ++i) {
        const PlexPointer plex = members_hit[i];
        const PlexPointer source = authority();
        if (plex == source || !plex->is_member()) continue;
        Status read;
        Status written;
        for (std::uint64_t at = 0; at < piece.range.length; at += bytes->size()) {
            const auto part =
                std::span(*bytes).first(std::min<std::uint64_t>(bytes->size(), piece.range.length - at));
            auto reading = read_plex(source, piece.range.offset + at, part);
            read = co_await std::move(reading);
            if (!read.ok()) break;
            auto writing = write_plex(plex, piece.range.offset + at, part);
            written = co_await std::move(writing);
            if (!written.ok()) break;
        }
        if (read.ok() && written.ok()) continue;
        const PlexPointer bad = read.ok() ? plex : source;
        if (!bad->is_member() || members().size() < 2) continue;
        depart(bad, PlexState::failed, (read.ok() ? written : read).error().message());
        if (bad == source)
            i = std::numeric_limits<std::size_t>::max();  // all over again from the next authority
    }
    co_return Status{};
}

void Volume::finish_client(const RangeLock::Request& request) {
    if (request.unsettled) --unsettled_;
    if (request_done_.has_waiters()) request_done_.notify();
}

Task<void> Volume::wait_for_old_requests(std::uint64_t epoch) {
    for (;;) {
        bool waiting = false;
        for (const auto* request = lock_.first(); request != nullptr; request = request->next) {
            waiting = waiting || (request->client && request->epoch <= epoch);
        }
        if (!waiting) co_return;
        co_await request_done_.wait();
    }
}

// While the authority changed under a write, its bytes may be on one plex and not yet on the next:
// readers wait, so that nobody reads new, then old (E3).
Task<void> Volume::wait_for_unsettled(Range range) {
    for (;;) {
        bool waiting = false;
        for (const auto* request = lock_.first(); request != nullptr; request = request->next) {
            waiting = waiting || (request->unsettled && request->range.overlaps(range));
        }
        if (!waiting) co_return;
        co_await request_done_.wait();
    }
}

Task<Status> Volume::read(std::uint64_t offset, std::span<std::byte> buffer) {
    EXSHADOW_CO_TRY(check_request(offset, buffer.size(), false));
    if (buffer.empty()) co_return Status{};
    while (paused_) {
        auto pausing = wait_while_paused();
        co_await std::move(pausing);
        EXSHADOW_CO_TRY(check_request(offset, buffer.size(), false));
    }
    if (unsettled_ != 0 && options_.orders.keeps(Order::e3_readers_wait_for_new_authority)) {
        auto waiting = wait_for_unsettled({offset, buffer.size()});
        co_await std::move(waiting);
    }
    auto reading = read_production(offset, buffer, false);
    Status status = co_await std::move(reading);
    if (departures_pending_ != 0) {
        auto recording = departures_recorded();
        co_await std::move(recording);
    }
    co_return status;
}

Task<Status> Volume::read_plex(PlexPointer plex, std::uint64_t offset, std::span<std::byte> buffer) {
    if (!plex->device) co_return Error(Code::io, "plex " + plex->label + " is not open any more");
    ++plex->in_flight;
    auto reading = plex->device->read(offset, buffer);
    Status status = co_await std::move(reading);
    if (--plex->in_flight == 0) idle_.notify();
    co_return status;
}

Task<Result<std::vector<Extent>>> Volume::plex_extents(PlexPointer plex, Range range) {
    if (!plex->device) co_return Error(Code::io, "plex " + plex->label + " is not open any more");
    ++plex->in_flight;
    auto asking = plex->device->extents(range);
    auto found = co_await std::move(asking);
    if (--plex->in_flight == 0) idle_.notify();
    co_return found;
}

Task<Status> Volume::write_plex(PlexPointer plex, std::uint64_t offset, std::span<const std::byte> data) {
    if (!plex->device) co_return Error(Code::io, "plex " + plex->label + " is not open any more");
    ++plex->in_flight;
    auto writing = plex->device->write(offset, data);
    Status status = co_await std::move(writing);
    if (--plex->in_flight == 0) idle_.notify();
    co_return status;
}

// Bytes that a repair handles at once: its extents must fit into the activity log (E10).
std::uint64_t Volume::repair_piece() const {
    return std::min(repair_bytes, log_->longest_request());
}

// A log that cannot be written makes the volume read-only, like all metadata (E20).
Task<Status> Volume::acquire_extents(Range range) {
    auto acquiring = log_->acquire(range);
    const Status status = co_await std::move(acquiring);
    if (!status.ok() && write_refusal().ok()) fail_metadata(status.error());
    co_return status;
}

void Volume::release_extents(Range range) {
    log_->release(range);
    if (log_->needs_eviction() || log_->starved()) start_eviction();
}

// A read of it could keep a client waiting although another member has the bytes (F19). Memory never does.
bool Volume::may_be_slow(const Plex& plex) const {
    return options_.latency_limit > 0 && plex.is_member() && plex.device &&
           plex.device->backing() != Backing::memory && member_count() > 1;
}

// `locked`: the caller holds the range.
Task<Status> Volume::read_members(std::uint64_t offset, std::span<std::byte> buffer, bool locked) {
    PlexPointer plex = authority();
    Status status;
    for (;; plex = authority()) {
        if (!may_be_slow(*plex)) {
            auto reading = read_plex(plex, offset, buffer);
            status = co_await std::move(reading);
            break;
        }
        // Into bytes of its own: if the plex is let go, its read ends when it may and nobody looks (E32).
        // They are aligned, so with O_DIRECT they take the place of the bounce buffer.
        PlexOperation operation;
        operation.kind = PlexOperation::Kind::read;
        operation.range = {offset, buffer.size()};
        operation.buffer = std::make_shared<AlignedBuffer>(buffer.size());
        auto fan = FanOut::start(loop_, operation, {plex}, idle_);
        start_watch(fan);
        auto waiting = fan->wait();
        co_await std::move(waiting);
        const FanOut::Target& target = fan->targets.front();
        if (!target.abandoned) {
            status = *target.result;
            if (status.ok()) std::memcpy(buffer.data(), operation.buffer->data(), buffer.size());
            break;
        }
        auto recording = departures_recorded();
        EXSHADOW_CO_TRY(co_await std::move(recording));
        if (unsettled_ == 0 || locked) continue;
        auto settling = wait_for_unsettled({offset, buffer.size()});
        co_await std::move(settling);
    }
    if (status.ok()) co_return status;
    if (members().size() < 2 && plex->is_member()) co_return status;
    auto repairing = read_and_repair(plex, offset, buffer, locked);
    co_return co_await std::move(repairing);
}

// A read failed: serve it from another member and rewrite the range; the plex fails if that fails (E5).
Task<Status> Volume::read_and_repair(PlexPointer broken, std::uint64_t offset, std::span<std::byte> buffer,
                                     bool locked) {
    if (!unclean_durable_) {
        auto marking = become_unclean();
        EXSHADOW_CO_TRY(co_await std::move(marking));
    }
    Status status;
    const std::uint64_t piece = repair_piece();
    for (std::uint64_t at = 0; at < buffer.size() && status.ok(); at += piece) {
        const auto part = buffer.subspan(at, std::min(piece, buffer.size() - at));
        const Range range{offset + at, part.size()};
        RangeLock::Request request;
        request.range = round_out(range, block_size_, state_.size);
        if (!locked) co_await lock_.admit(request);
        auto acquiring = acquire_extents(range);
        status = co_await std::move(acquiring);
        const bool logged = status.ok();
        if (logged) status = Error(Code::io, "no member could be read at " + std::to_string(range.offset));
        for (const auto& plex : members()) {
            if (!logged || status.ok()) break;
            if (plex == broken || !plex->is_member()) continue;
            auto reading = read_plex(plex, range.offset, part);
            const Status got = co_await std::move(reading);
            if (got.ok()) status = got;
        }
        if (status.ok() && broken->is_member() && options_.orders.keeps(Order::e5_rewrite_after_read_error)) {
            auto writing = write_plex(broken, range.offset, part);
            const Status rewritten = co_await std::move(writing);
            if (!rewritten.ok() && broken->is_member() && members().size() > 1) {
                depart(broken, PlexState::failed, rewritten.error().message());
            } else if (rewritten.ok()) {
                say("plex " + broken->label + ": unreadable range at " + std::to_string(range.offset) +
                    " rewritten from another plex");
            }
        }
        if (logged) release_extents(range);
        if (!locked) lock_.release(request);
        if (request_done_.has_waiters()) request_done_.notify();
    }
    co_return status;
}

}  // namespace exshadow
