// Copier: brings targets to what a source holds, region by region of a change map. Initial sync, resync
// and restore are this one copier fed with different maps.
//
// It reads only what is marked, merges neighbours, keeps a byte-bounded queue, skips holes and zeroes and
// honours a rate limit. For each chunk it holds the range lock, so that live writes pass before or after
// it, never beside it (F4-F6). Order (E17): bytes copied -> target flushed -> bits cleared, durable. A
// crash repeats what was not flushed; it never skips a region. Loop only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/buffer.h"
#include "disk/file_copy.h"
#include "volume/volume.h"

namespace exshadow {

struct CopyPlan {
    std::shared_ptr<Plex> source;        // null: production, whichever member can be read
    std::shared_ptr<Plex> target;        // null: every member
    ChangeMap* todo = nullptr;           // what is still to be settled; cleared region by region
    std::shared_ptr<StoredMap> durable;  // the same on disk; cleared behind a flush of the targets
    bool redirect = false;               // the mover of an instant restore (E27)
    bool compare = false;                // read the target first, write only what differs
    bool rewrite = false;     // nothing the target reads as is believed: zeroes are written too (F17)
    std::uint64_t limit = 0;  // bytes a second, 0: none
};

class Copier {
public:
    Copier(Volume& volume, CopyPlan plan, std::shared_ptr<Job> job);

    // Until everything is settled, flushed and cleared; or an error or cancellation, then what is settled
    // so far is flushed and cleared.
    [[nodiscard]] Task<Status> run();

private:
    // Chunk size by what the plexes are; scattered regions make small chunks, so the queue is bounded by
    // bytes, not by their number.
    struct Tuning {
        std::uint64_t chunk_bytes = 0;
        std::uint64_t queue_bytes = 0;
        std::uint64_t hole_bytes = 0;
        std::uint64_t smallest_cost = 0;  // what a chunk counts for at least, so that their number is bounded
    };
    [[nodiscard]] static Tuning tune(const Volume& volume, const CopyPlan& plan);

    [[nodiscard]] Task<Status> pass();
    [[nodiscard]] std::uint64_t fill_batch(Ranges& batch, std::uint64_t& from);
    [[nodiscard]] Task<void> copy_batch(Ranges batch, std::uint64_t queued);
    [[nodiscard]] Task<Status> copy_batch_to(std::shared_ptr<Plex> target, const Ranges& batch);
    [[nodiscard]] bool all_in_memory() const;
    [[nodiscard]] Task<void> copy_chunk(Range chunk, std::uint64_t queued);
    [[nodiscard]] Task<Status> copy_marked(Range chunk);
    [[nodiscard]] Task<Status> copy_data(Range range);
    [[nodiscard]] Task<Status> skip_hole(Range range);
    [[nodiscard]] Task<Status> read_source(std::uint64_t offset, std::span<std::byte> buffer);
    [[nodiscard]] Task<Status> write_segments(const std::shared_ptr<Plex>& target, Range range,
                                              std::span<const std::byte> data);
    [[nodiscard]] Task<Status> write_segment(std::shared_ptr<Plex> target, Range segment,
                                             std::span<const std::byte> data);
    [[nodiscard]] Task<Status> write_different(std::shared_ptr<Plex> target, Range range,
                                               std::span<const std::byte> data);
    [[nodiscard]] Task<Status> make_zero(std::shared_ptr<Plex> target, Range range);
    [[nodiscard]] Task<Status> target_result(std::shared_ptr<Plex> target, Status status);
    [[nodiscard]] Task<void> checkpoint_beside();
    [[nodiscard]] Task<Status> checkpoint();
    [[nodiscard]] Task<Status> flush_targets();
    [[nodiscard]] Task<void> throttle(std::uint64_t bytes);
    [[nodiscard]] Task<void> look_for_holes(std::uint64_t offset);
    [[nodiscard]] std::vector<std::shared_ptr<Plex>> targets() const;
    [[nodiscard]] std::shared_ptr<Plex> source_plex() const;
    [[nodiscard]] bool left(const Plex& target) const;
    [[nodiscard]] Task<Result<std::vector<Extent>>> extents_of(std::shared_ptr<Plex> plex, Range range);
    [[nodiscard]] Task<Result<std::vector<Extent>>> source_extents(Range range);
    [[nodiscard]] Ranges still_marked(const Ranges& batch) const;
    [[nodiscard]] Range next_chunk(std::uint64_t from_region);
    [[nodiscard]] Status stop_reason() const;
    void settled(Range range);

    Volume& volume_;
    Loop& loop_;
    const CopyPlan plan_;
    std::shared_ptr<Job> job_;
    const Tuning tuning_;
    const std::uint64_t chunk_bytes_;
    Semaphore slots_;                     // bytes under way
    std::unique_ptr<ChangeMap> copied_;   // settled since the last flush
    std::uint64_t copied_bytes_ = 0;      // likewise, without holes
    std::uint64_t checkpoint_limit_ = 0;  // bytes after which to flush and clear
    Nanoseconds checkpoint_ns_ = 0;
    bool checkpointing_ = false;
    Nanoseconds next_free_ns_ = 0;  // rate limit
    const bool through_redirect_;   // production is read, and an instant restore moves (E28)
    const bool sparse_;             // ask the source for holes
    const bool in_memory_;          // source and targets are: whole batches for the worker pool
    std::map<std::shared_ptr<Plex>, CopyLanes> lanes_;
    Range hole_window_;  // what holes_ was asked for
    Ranges holes_;
    std::optional<Error> error_;
    std::vector<AlignedBuffer> buffers_;  // free ones
};

}  // namespace exshadow
