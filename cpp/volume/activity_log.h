// ActivityLog: the small persistent set of extents that may hold unfinished or unflushed writes. After
// a crash only those are reconciled (F1). A write whose extents are hot costs no I/O here.
//
// On disk: the whole set, written alternately to two places (format.h). A torn write leaves the older
// set in force: what it lacks had no write yet (writes wait for the durable set), what it has too many
// only costs time (F2). All extents that wait when a write of the set starts go into it together.
//
// Leaving (E14): the volume asks for candidates (begin_eviction), flushes the plexes, makes the maps
// durable, and then drops those not used meanwhile (finish_eviction). The set on disk shrinks with its
// next write. Loop only.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <unordered_map>
#include <vector>

#include "runtime/sync.h"
#include "volume/metadata_device.h"
#include "volume/state.h"

namespace exshadow {

class ActivityLog {
public:
    ActivityLog(Loop& loop, MetadataDevice& device, const VolumeState& state)
        : device_(device), state_(state), capacity_(state.log_slots), changed_(loop) {}

    // The sound set with the highest sequence, read from `copy`. Damaged both, or one
    // unreadable: Code::corrupt (the caller then treats every extent as active).
    Task<Result<std::vector<std::uint32_t>>> load(std::size_t copy);

    [[nodiscard]] std::uint32_t first_extent(Range bytes) const { return extent_of(bytes.offset); }
    [[nodiscard]] std::uint32_t last_extent(Range bytes) const { return extent_of(bytes.end() - 1); }
    [[nodiscard]] Range extent_range(std::uint32_t extent) const;
    // Longest request that may be acquired at once.
    [[nodiscard]] std::uint64_t longest_request() const;

    // Hot path: true when all extents of `bytes` are durable in the log; they are then in use.
    [[nodiscard]] bool try_acquire(Range bytes);
    // Cold path: waits for room and for the durable log. All extents or none.
    Task<Status> acquire(Range bytes);
    void release(Range bytes);
    // `evict` is called whenever somebody waits for room and some may have become idle. Without it nobody
    // would start: an acquire() waits only after its caller looked.
    void on_starved(std::function<void()> evict) { starved_ = std::move(evict); }

    // True when room gets short: the volume then evicts in the background, ahead of need.
    [[nodiscard]] bool needs_eviction() const { return used() + waiting_ > capacity_ - capacity_ / 4; }
    [[nodiscard]] bool starved() const { return waiting_ != 0; }
    [[nodiscard]] std::size_t used() const { return slots_.size(); }
    [[nodiscard]] std::vector<std::uint32_t> active() const;  // every extent in the log, any order
    // Idle extents, longest unused first, at most `limit`.
    std::vector<std::uint32_t> begin_eviction(std::size_t limit);
    // Forget those of `extents` that nobody used since.
    void finish_eviction(const std::vector<std::uint32_t>& extents);
    // Write the (then usually empty) set now; at close and after recovery.
    Task<Status> write_now();
    // Wake everyone who waits, with an error from now on.
    void fail(const Error& error);

private:
    struct Slot {
        std::uint32_t users = 0;
        bool durable = false;
        bool evicting = false;
        std::list<std::uint32_t>::iterator age;
    };
    [[nodiscard]] std::uint32_t extent_of(std::uint64_t offset) const {
        return static_cast<std::uint32_t>(offset / state_.extent_size);
    }
    [[nodiscard]] std::size_t missing(Range bytes) const;
    [[nodiscard]] bool must_wait(std::uint64_t ticket, Range bytes) const {
        return !failure_ && (ticket != serving_ || slots_.size() + missing(bytes) > capacity_);
    }
    void use(std::uint32_t extent);
    Task<Status> write_set();

    MetadataDevice& device_;
    const VolumeState& state_;
    std::size_t capacity_;
    Signal changed_;
    std::unordered_map<std::uint32_t, Slot> slots_;
    std::list<std::uint32_t> ages_;  // least recently used first
    std::size_t waiting_ = 0;        // extents that acquire() calls wait for
    std::uint64_t next_ticket_ = 0;  // FIFO among those
    std::uint64_t serving_ = 0;
    std::uint64_t sequence_ = 0;
    bool writing_ = false;
    std::function<void()> starved_;
    std::optional<Error> failure_;
};

}  // namespace exshadow
