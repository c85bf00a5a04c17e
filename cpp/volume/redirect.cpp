// Requests while an instant restore moves: reads through the redirect, writes that move their regions, and
// what is made durable behind a flush (E27, E28).
#include "volume/redirect.h"

#include <cstring>

#include "base/buffer.h"
#include "volume/volume.h"

namespace exshadow {

namespace {

Range common_part(Range a, Range b) {
    const std::uint64_t begin = std::max(a.offset, b.offset);
    const std::uint64_t end = std::min(a.end(), b.end());
    return begin < end ? Range{begin, end - begin} : Range{begin, 0};
}

}  // namespace

// --- reads ---

// What production holds, for everybody who asks (E28). `locked`: the caller holds the range.
Task<Status> Volume::read_production(std::uint64_t offset, std::span<std::byte> buffer, bool locked) {
    if (redirect_) return read_redirected(offset, buffer, locked);
    return read_members(offset, buffer, locked);
}

Task<Status> Volume::read_redirected(std::uint64_t offset, std::span<std::byte> buffer, bool locked) {
    Range rest{offset, buffer.size()};
    while (!rest.empty()) {
        // Asked anew for each part: meanwhile more was moved, or all of it.
        const Redirect::Part part = redirect_ ? redirect_->first_part(rest) : Redirect::Part{rest, false};
        const auto bytes = buffer.subspan(rest.offset - offset, part.range.length);
        auto reading = part.unmoved ? read_source(redirect_->source, rest.offset, bytes)
                                    : read_members(rest.offset, bytes, locked);
        EXSHADOW_CO_TRY(co_await std::move(reading));
        rest = {part.range.end(), rest.length - part.range.length};
    }
    co_return Status{};
}

Task<Status> Volume::read_source(PlexPointer source, std::uint64_t offset, std::span<std::byte> buffer) {
    Status status;
    if (redirect_ && redirect_->source == source && !redirect_->source_known) {
        auto opening = know_source();
        status = co_await std::move(opening);
    }
    if (status.ok()) {
        auto reading = read_plex(source, offset, buffer);
        status = co_await std::move(reading);
    }
    if (status.ok()) co_return status;
    co_return Error(
        Code::io,
        "volume " + state_.name +
            " is being restored, and what is not moved yet cannot be read: " + status.error().message(),
        "bring plex " + source->label + " back, or restore another set", status.error().os_error());
}

// The copy is opened and looked at once: restoring from anything but what was split off would be a lie (E7).
Task<Status> Volume::know_source() {
    const auto guard = co_await source_mutex_.lock();
    if (!redirect_ || redirect_->source_known) co_return Status{};
    const PlexPointer source = redirect_->source;
    auto opening = open_snapshot_device(source);
    EXSHADOW_CO_TRY(co_await std::move(opening));
    auto judging = distrust(source, false);
    const std::string why = co_await std::move(judging);
    if (!why.empty() && !options_.force) {
        co_return Error(Code::mismatch,
                        "snapshot plex " + source->label + " is not as it was split off: " + why);
    }
    if (!why.empty()) say("plex " + source->label + " " + why + ": restored from as it is now");
    if (redirect_ && redirect_->source == source) redirect_->source_known = true;
    co_return Status{};
}

// One promise after the other, each by the file that is read there.
Task<Result<std::vector<Extent>>> Volume::production_extents(Range range) {
    if (redirect_ && redirect_->broken) co_return *redirect_->broken;
    std::vector<Extent> list;
    while (!range.empty()) {
        const Redirect::Part part = redirect_ ? redirect_->first_part(range) : Redirect::Part{range, false};
        const PlexPointer plex = part.unmoved ? redirect_->source : authority();
        if (part.unmoved && !redirect_->source_known) {
            auto knowing = know_source();
            EXSHADOW_CO_TRY(co_await std::move(knowing));
        }
        const bool read_there = part.unmoved || plex->is_member();
        if (!read_there) co_return Error(Code::io, "plex " + plex->label + " is not in sync any more");
        auto asking = plex_extents(plex, part.range);
        auto found = co_await std::move(asking);
        if (!found.ok()) co_return found.error();
        list.insert(list.end(), found->begin(), found->end());
        range = {part.range.end(), range.length - part.range.length};
    }
    co_return list;
}

// --- writes ---

bool Volume::redirects(const RangeLock::Request& request, Range range) const {
    if (!redirect_ || !redirect_->unmoved.any(range)) return false;
    return request.epoch > redirect_->epoch || !options_.orders.keeps(Order::e26_old_writes_clear_no_bit);
}

// A client's write to regions not all of which are moved: it moves them. The caller holds them whole.
Task<Status> Volume::modify_unmoved(RangeLock::Request& request, PlexOperation piece) {
    const std::uint64_t region = state_.region_size;
    Range rest = piece.range;
    while (!rest.empty()) {
        Range whole = round_out({rest.offset, 1}, region, state_.size);
        Range part = common_part(whole, rest);
        const bool covered = part == whole;
        if (covered) {  // and as many after it as are covered too
            const std::uint64_t end = rest.end() == state_.size ? rest.end() : round_down(rest.end(), region);
            whole = part = {rest.offset, end - rest.offset};
        }
        const bool lays = !covered && redirects(request, part) &&
                          options_.orders.keeps(Order::e27_read_snapshot_before_partial_write);
        auto writing =
            lays ? lay_over(request, piece.slice(part), whole) : write_piece(request, piece.slice(part));
        EXSHADOW_CO_TRY(co_await std::move(writing));
        // Overtaken by another restore meanwhile, it clears no bit (E26).
        if (redirects(request, whole)) redirect_->note_moved(whole);
        rest = {part.end(), rest.length - part.length};
    }
    co_return Status{};
}

// Writes a whole region: the snapshot's bytes with the client's over them. Readers see the snapshot until
// all of it is on every member, so long regions may go in pieces (E10).
Task<Status> Volume::lay_over(RangeLock::Request& request, PlexOperation piece, Range region) {
    const PlexPointer source = redirect_->source;
    const std::uint64_t step = repair_piece();
    for (std::uint64_t at = region.offset; at < region.end(); at += step) {
        PlexOperation window;
        window.range = {at, std::min(step, region.end() - at)};
        const auto bytes = std::make_shared<AlignedBuffer>(window.range.length);
        const Range over = common_part(window.range, piece.range);
        if (over != window.range) {
            auto reading = read_source(source, at, bytes->span());
            EXSHADOW_CO_TRY(co_await std::move(reading));
        }
        const auto target = bytes->span().subspan(over.empty() ? 0 : over.offset - at, over.length);
        if (piece.kind == PlexOperation::Kind::zero) {
            std::fill(target.begin(), target.end(), std::byte{0});
        } else if (!over.empty()) {
            std::memcpy(target.data(), piece.data.bytes.data() + (over.offset - piece.range.offset),
                        over.length);
        }
        window.data = {bytes, bytes->span()};
        auto writing = write_piece(request, std::move(window));
        EXSHADOW_CO_TRY(co_await std::move(writing));
    }
    co_return Status{};
}

// --- on disk ---

// Everything answered before is durable; then the bits of what was moved are, so that no crash goes back
// behind it (E27): data flushed, bits cleared, and only then the answer.
Task<Status> Volume::settle_moved() {
    const auto guard = co_await moved_mutex_.lock();
    const std::shared_ptr<StoredMap> map = restore_map_;
    std::unique_ptr<ChangeMap> batch;
    if (redirect_ && !redirect_->moved->empty()) {
        batch = std::make_unique<ChangeMap>(state_.size, state_.region_size);
        std::swap(batch, redirect_->moved);
    }
    if (batch && !options_.orders.keeps(Order::e27_flush_before_clear)) {
        auto early = clear_moved(map, *batch);
        EXSHADOW_CO_TRY(co_await std::move(early));
    }
    auto flushing = flush_members();
    const Status flushed = co_await std::move(flushing);
    if (!batch) co_return flushed;
    if (!flushed.ok()) {
        redirect_->moved->merge(*batch);
        co_return flushed;
    }
    // Who left the mirror misses what was moved since, and must be known to (E1, E2).
    auto recording = departures_recorded();
    EXSHADOW_CO_TRY(co_await std::move(recording));
    auto persisting = persist_maps();
    EXSHADOW_CO_TRY(co_await std::move(persisting));
    auto clearing = clear_moved(map, *batch);
    co_return co_await std::move(clearing);
}

Task<Status> Volume::clear_moved(std::shared_ptr<StoredMap> map, const ChangeMap& batch) {
    const std::uint64_t region = state_.region_size;
    std::uint64_t from = 0;
    for (std::uint64_t steps = 1; const auto run = batch.next_run(from, 1024); ++steps) {
        const std::uint64_t first = run->offset / region;
        from = divide_up(run->end(), region);
        map->bits.clear_regions(first, from - first);
        if (steps % 16 == 0) co_await loop_.yield();
    }
    auto persisting = persist({map});
    co_return co_await std::move(persisting);
}

}  // namespace exshadow
