// Clients: overlapping writes, zeroes, checked reads and flushes, a few at a time on each volume.
#include <algorithm>

#include "sim/scenario.h"

namespace exshadow::sim {

// Often in one hot place, so that requests overlap; sometimes long, so that they are cut to pieces.
Range Simulation::pick_range(const Subject& subject, SimRandom& random, std::uint64_t most) const {
    const std::uint64_t blocks = subject.size / block_;
    const std::uint64_t hot = std::min<std::uint64_t>(blocks, 16 * KiB / block_);
    const std::uint64_t start = random.chance(0.4) ? random.below(hot) : random.below(blocks);
    const std::uint64_t limit =
        random.chance(0.15) ? most / block_ : std::min<std::uint64_t>(most / block_, 8);
    const std::uint64_t count = std::min(1 + random.below(limit), blocks - start);
    return {start * block_, count * block_};
}

Task<void> Simulation::client(Subject& subject, std::uint64_t seed) {
    SimRandom random(seed);
    for (std::uint32_t step = 0; step < client_steps_ && !over(); ++step) {
        if (random.chance(0.3)) {
            auto sleeping = sleep_a_while(random.chance(0.1) ? 20 * millisecond_ns : millisecond_ns);
            co_await std::move(sleeping);
        }
        while (quiet_ && !over()) co_await loop_->sleep(millisecond_ns);
        if (over()) break;
        ++subject.clients_inside;
        const std::uint64_t roll = random.below(100);
        Task<void> task = roll < 50   ? do_write(subject, random)
                          : roll < 58 ? do_zero(subject, random)
                          : roll < 74 ? do_read(subject, pick_range(subject, random, 64 * KiB))
                          : roll < 80 ? do_stare(subject, random)
                          : roll < 95 ? do_flush(subject)
                                      : do_read_snapshot(subject, random);
        co_await std::move(task);
        --subject.clients_inside;
    }
}

void Simulation::end_write(Subject& subject, OperationId operation, const Status& status, bool durable) {
    using Result = History::Result;
    Result result = durable ? Result::durable : Result::done;
    if (!status.ok()) result = Result::failed;
    if (loop_->crashed()) result = Result::unknown;
    if (!status.ok() && status.error().code() == Code::refused && !durable) result = Result::not_tried;
    subject.history.end_write(operation, result);
    if (!status.ok() && !error_is_fair(subject, status.error())) {
        fail(subject.name + ": a write failed: " + status.error().message());
    }
}

Task<void> Simulation::do_write(Subject& subject, SimRandom& random) {
    const Range range = pick_range(subject, random, 64 * KiB);
    const Value value = next_value_++;
    auto bytes = std::make_shared<std::vector<std::byte>>(range.length);
    fill_sectors(*bytes, subject.id, range.offset, value);
    Payload payload;
    payload.bytes = *bytes;
    payload.owner = bytes;
    const bool durable = random.chance(0.1);
    const Range sectors{range.offset / sector_bytes, range.length / sector_bytes};
    const OperationId operation = subject.history.begin_write(sectors, std::span(&value, 1));
    subject.being_written.push_back(range);
    auto writing = subject.volume->write(range.offset, std::move(payload), durable);
    const Status status = co_await std::move(writing);
    subject.being_written.erase(std::find(subject.being_written.begin(), subject.being_written.end(), range));
    end_write(subject, operation, status, durable);
    const bool lost_one = std::any_of(subject.volume->plexes().begin(), subject.volume->plexes().end(),
                                      [](const auto& plex) { return plex->state == PlexState::failed; });
    delicate(lost_one ? 0.1 : 0.001);
}

Task<void> Simulation::do_zero(Subject& subject, SimRandom& random) {
    const Range range = pick_range(subject, random, 128 * KiB);
    const Value value = zeroes;
    const Range sectors{range.offset / sector_bytes, range.length / sector_bytes};
    const OperationId operation = subject.history.begin_write(sectors, std::span(&value, 1));
    auto zeroing =
        subject.volume->zero(range, random.chance(0.5) ? ZeroMode::may_unmap : ZeroMode::keep_allocated);
    const Status status = co_await std::move(zeroing);
    end_write(subject, operation, status, false);
}

// Reads what is being written again and again: who saw the new bytes must not see the old ones (E3).
Task<void> Simulation::do_stare(Subject& subject, SimRandom& random) {
    if (subject.being_written.empty()) co_return;
    const Range range = subject.being_written[random.below(subject.being_written.size())];
    const std::uint64_t looks = 2 + random.below(20);
    for (std::uint64_t look = 0; look < looks && !over(); ++look) {
        auto reading = do_read(subject, range);
        co_await std::move(reading);
        if (random.chance(0.3)) co_await loop_->sleep(100 * microsecond_ns);
    }
}

Task<void> Simulation::do_read(Subject& subject, Range range) {
    std::vector<std::byte> bytes(range.length);
    const Time begin = subject.history.begin_look();
    const Uuid authority = subject.volume->state().authority;
    const bool redirected = subject.volume->redirect() != nullptr;
    auto reading = subject.volume->read(range.offset, bytes);
    const Status status = co_await std::move(reading);
    subject.history.end_look(begin);
    if (over()) co_return;
    if (!status.ok()) {
        if (!error_is_fair(subject, status.error())) {
            fail(subject.name + ": a read failed: " + status.error().message());
        }
        co_return;
    }
    const auto values = read_sectors(bytes, subject.id, range.offset);
    const std::string wrong = subject.history.check_read(begin, range.offset / sector_bytes, values);
    if (!wrong.empty()) fail(subject.name + ": " + wrong);
    // Served from another plex, and rewritten where it could not be read (E5).
    const PlexRecord* const record = subject.volume->state().find_plex(authority);
    if (authority != subject.volume->state().authority || record == nullptr || redirected) co_return;
    for (const SimFault& fault : world_.file(record->path).faults) {
        const bool there = fault.kind == SimFault::Kind::read_error && fault.range.overlaps(range);
        if (there && fault.count != 0) fail(record->path + " still cannot be read where a client has read");
    }
}

Task<void> Simulation::do_flush(Subject& subject) {
    const Time begin = subject.history.begin_flush();
    auto flushing = subject.volume->flush();
    const Status status = co_await std::move(flushing);
    if (over()) co_return;
    if (status.ok()) {
        subject.history.end_flush(begin);
        if (subject.volume->is_restoring()) co_return;  // by copy, since: nobody sees a half of it
        const std::string wrong =
            subject.history.check_survival(Survival::power_cut, durable_production(subject));
        if (!wrong.empty()) fail(subject.name + ": flushed, but not on the disk: " + wrong);
        delicate(0.02);
    } else if (!error_is_fair(subject, status.error())) {
        fail(subject.name + ": a flush failed: " + status.error().message());
    }
}

// Read as a client of the snapshot does; its bytes are those of the split, for ever.
Task<void> Simulation::do_read_snapshot(Subject& subject, SimRandom& random) {
    if (subject.snapshots.empty()) co_return;
    auto at = subject.snapshots.begin();
    std::advance(at, random.below(subject.snapshots.size()));
    const std::string label = at->first;
    const Range range = pick_range(subject, random, 64 * KiB);
    const auto first = static_cast<std::ptrdiff_t>(range.offset / sector_bytes);
    const auto count = static_cast<std::ptrdiff_t>(range.length / sector_bytes);
    const auto& content = at->second.content;
    const std::vector<Value> expected(content.begin() + first, content.begin() + first + count);
    const std::string path = at->second.path;
    std::vector<std::byte> bytes(range.length);
    auto reading = subject.volume->read_snapshot(label, range.offset, bytes);
    const Status status = co_await std::move(reading);
    const auto after = subject.snapshots.find(label);
    if (over() || after == subject.snapshots.end() || after->second.leaving || after->second.touched)
        co_return;
    if (!status.ok()) {
        const bool fair = path == subject.bad_plex || error_is_fair(subject, status.error());
        if (!fair && status.error().code() != Code::refused)
            fail(subject.name + ": snapshot read: " + status.error().message());
        co_return;
    }
    if (read_sectors(bytes, subject.id, range.offset) != expected) {
        fail(subject.name + ": snapshot " + label + " has changed at " + std::to_string(range.offset));
    }
}

}  // namespace exshadow::sim
