#include "volume/copier.h"

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"

namespace exshadow {

namespace {

constexpr std::uint64_t hole_window_bytes = 64 * GiB;       // asked for at once
constexpr std::uint64_t hole_chunk_bytes = GiB;             // settled under one lock
constexpr std::uint64_t device_hole_bytes = 64 * MiB;       // likewise, where it may take writing zeroes
constexpr std::uint64_t first_checkpoint_bytes = 64 * MiB;  // a killed copy repeats little
constexpr std::uint64_t checkpoint_bytes = GiB;             // later ones are rarer
constexpr Nanoseconds checkpoint_interval = 500 * millisecond_ns;
constexpr std::uint64_t direct_chunk = 2 * MiB;
constexpr std::uint64_t cached_chunk = 4 * MiB;
constexpr std::size_t batch_ranges = 64;
constexpr std::uint64_t direct_depth = 12;
constexpr std::uint64_t cached_depth = 4;
constexpr std::uint64_t most_chunks = 16;       // under way at once; devices get slower with more
constexpr std::uint64_t byte_bound = 32 * MiB;  // of buffers in use

bool is_direct(const Plex& plex) {
    return plex.device && plex.device->file().info().backing == Backing::direct;
}

}  // namespace

Copier::Tuning Copier::tune(const Volume& volume, const CopyPlan& plan) {
    bool direct = false;
    bool device = false;
    for (const auto& target : plan.target ? Volume::PlexList{plan.target} : volume.members()) {
        direct = direct || is_direct(*target);
        device = device || (target->device && target->device->file().info().is_block_device);
    }
    const VolumeOptions& options = volume.options_;
    const std::uint64_t chunk = options.copy_chunk != 0 ? options.copy_chunk
                                : direct                ? direct_chunk
                                                        : cached_chunk;
    std::uint64_t depth = options.copy_depth != 0 ? options.copy_depth : direct ? direct_depth : cached_depth;
    if (plan.compare) depth = std::max<std::uint64_t>(depth / 2, 1);
    Tuning tuning;
    tuning.chunk_bytes = std::max<std::uint64_t>(chunk, volume.state().region_size);
    tuning.hole_bytes = device ? device_hole_bytes : hole_chunk_bytes;
    tuning.queue_bytes = std::max(std::min(byte_bound, depth * tuning.chunk_bytes), tuning.chunk_bytes);
    tuning.smallest_cost = tuning.queue_bytes / most_chunks;
    return tuning;
}

Copier::Copier(Volume& volume, CopyPlan plan, std::shared_ptr<Job> job)
    : volume_(volume),
      loop_(volume.loop()),
      plan_(std::move(plan)),
      job_(std::move(job)),
      tuning_(tune(volume, plan_)),
      chunk_bytes_(tuning_.chunk_bytes),
      slots_(loop_, tuning_.queue_bytes),
      copied_(std::make_unique<ChangeMap>(volume.size(), volume.state().region_size)),
      through_redirect_(!plan_.source && volume.redirect_ &&
                        volume.options_.orders.keeps(Order::e28_copier_reads_through_redirect)),
      sparse_(plan_.todo->marked_bytes() > volume_.size() / 4),
      in_memory_(all_in_memory()) {}

std::vector<std::shared_ptr<Plex>> Copier::targets() const {
    if (plan_.target) return {plan_.target};
    return volume_.members();
}

// A member that left the mirror since targets() was asked; its device may be closed by now.
bool Copier::left(const Plex& target) const {
    return !plan_.target && !target.is_member();
}

std::shared_ptr<Plex> Copier::source_plex() const {
    return plan_.source ? plan_.source : volume_.authority();
}

// Counts as an operation on the plex: its device must not be closed meanwhile (E32).
Task<Result<std::vector<Extent>>> Copier::extents_of(std::shared_ptr<Plex> plex, Range range) {
    if (!plex->device) co_return Error(Code::io, "plex " + plex->label + " is not open any more");
    ++plex->in_flight;
    auto asking = plex->device->extents(range);
    auto extents = co_await std::move(asking);
    if (--plex->in_flight == 0) volume_.idle_.notify();
    co_return extents;
}

Task<Result<std::vector<Extent>>> Copier::source_extents(Range range) {
    return through_redirect_ ? volume_.production_extents(range) : extents_of(source_plex(), range);
}

// What a client moved while the batch waited for its ranges is not the copier's any more (E27).
Ranges Copier::still_marked(const Ranges& batch) const {
    if (!plan_.redirect || !volume_.options_.orders.keeps(Order::e27_mover_takes_unmoved_only)) return batch;
    Ranges list;
    const std::uint64_t region = volume_.state().region_size;
    for (const Range& range : batch) {
        std::uint64_t from = range.offset / region;
        const std::uint64_t end = divide_up(range.end(), region);
        while (from < end) {
            const auto run = plan_.todo->next_run(from, end - from);
            if (!run || run->offset >= range.end()) break;
            list.push_back({run->offset, std::min(run->end(), range.end()) - run->offset});
            from = divide_up(list.back().end(), region);
        }
    }
    return list;
}

Status Copier::stop_reason() const {
    if (error_) return *error_;
    if (job_->cancelled() || volume_.closing_) return job_->cancelled_error();
    if (plan_.target && plan_.target->receive_error) return *plan_.target->receive_error;
    return volume_.write_refusal();
}

Task<Status> Copier::run() {
    job_->bytes_total = job_->bytes_done + plan_.todo->marked_bytes();
    checkpoint_ns_ = loop_.now();
    checkpoint_limit_ = first_checkpoint_bytes;
    next_free_ns_ = loop_.now();
    Status status;
    while (status.ok() && !plan_.todo->empty()) {
        auto passing = pass();
        status = co_await std::move(passing);
    }
    auto flushing = checkpoint();
    const Status flushed = co_await std::move(flushing);
    if (status.ok()) status = flushed;
    if (status.ok()) status = stop_reason();
    co_return status;
}

// Once over everything that is marked, in order of address.
Task<Status> Copier::pass() {
    TaskGroup group(loop_);
    std::uint64_t from = 0;
    const std::uint64_t region = volume_.state().region_size;
    while (stop_reason().ok()) {
        const auto run = plan_.todo->next_run(from, 1);
        if (!run) break;
        if (sparse_ && !hole_window_.contains(*run)) {
            auto looking = look_for_holes(run->offset);
            co_await std::move(looking);
            continue;  // clients may have moved that region meanwhile
        }
        const Range chunk = next_chunk(run->offset / region);
        Ranges batch{chunk};
        from = divide_up(chunk.end(), region);
        std::uint64_t queued = std::min(std::max(chunk.length, tuning_.smallest_cost), chunk_bytes_);
        if (in_memory_ && chunk.length <= chunk_bytes_) queued = fill_batch(batch, from);
        co_await slots_.acquire(queued);
        auto slowing = throttle(queued);
        co_await std::move(slowing);
        if (in_memory_ && chunk.length <= chunk_bytes_) {
            group.spawn(copy_batch(std::move(batch), queued));
        } else {
            group.spawn(copy_chunk(chunk, queued));
        }
        const bool due = loop_.now() - checkpoint_ns_ > checkpoint_interval && !copied_->empty();
        if (checkpointing_ || (copied_bytes_ < checkpoint_limit_ && !due)) continue;
        checkpointing_ = true;
        group.spawn(checkpoint_beside());
    }
    auto draining = group.wait();
    co_await std::move(draining);
    co_return stop_reason();
}

// The next marked run, cut to a chunk; a run inside a hole of the source may be much longer.
Range Copier::next_chunk(std::uint64_t from_region) {
    const std::uint64_t region = volume_.state().region_size;
    const auto long_run =
        plan_.todo->next_run(from_region, std::max<std::uint64_t>(tuning_.hole_bytes / region, 1));
    EXSHADOW_CHECK(long_run.has_value());
    for (const Range& hole : holes_) {
        if (hole.end() <= long_run->offset) continue;
        if (hole.offset > long_run->offset) break;
        const std::uint64_t end = std::min(hole.end(), long_run->end());
        const std::uint64_t whole = end == volume_.size() ? end : round_down(end, region);
        if (whole > long_run->offset + chunk_bytes_) return {long_run->offset, whole - long_run->offset};
    }
    return {long_run->offset, std::min(long_run->length, chunk_bytes_)};
}

Task<void> Copier::look_for_holes(std::uint64_t offset) {
    hole_window_ = {offset, std::min(hole_window_bytes, volume_.size() - offset)};
    holes_.clear();
    // Looking for holes walks the file's pages on tmpfs: not for a file that cannot have any to speak of.
    const auto source = source_plex();
    const auto identity = source->device->file().identity();
    if (!through_redirect_ && identity.ok() && identity->allocated >= volume_.size()) co_return;
    auto asking = source_extents(hole_window_);
    const auto extents = co_await std::move(asking);
    if (!extents.ok()) co_return;
    for (const auto& extent : *extents) {
        if (extent.zero) holes_.push_back(extent.range);
    }
}

Task<void> Copier::throttle(std::uint64_t bytes) {
    if (plan_.limit == 0) co_return;
    while (loop_.now() < next_free_ns_ && stop_reason().ok()) {
        co_await loop_.sleep(std::min(next_free_ns_ - loop_.now(), 100 * millisecond_ns));
    }
    const auto cost =
        static_cast<Nanoseconds>(static_cast<double>(bytes) / static_cast<double>(plan_.limit) * 1e9);
    next_free_ns_ = std::max(next_free_ns_, loop_.now() - 100 * millisecond_ns) + cost;
}

// More runs for one piece of work, up to a chunk's bytes in all. Answers their bytes.
std::uint64_t Copier::fill_batch(Ranges& batch, std::uint64_t& from) {
    const std::uint64_t region = volume_.state().region_size;
    std::uint64_t bytes = batch.front().length;
    while (bytes + region <= chunk_bytes_ && batch.size() < batch_ranges) {
        const auto run = plan_.todo->next_run(from, (chunk_bytes_ - bytes) / region);
        if (!run) break;
        batch.push_back(*run);
        bytes += run->length;
        from = divide_up(run->end(), region);
    }
    return bytes;
}

// Source and target are in memory: the batch is copied as one piece of work by the loop's pool. All its
// ranges are admitted in one step, so two batches never wait for each other.
Task<void> Copier::copy_batch(Ranges batch, std::uint64_t queued) {
    std::vector<RangeLock::Request> requests(batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) {
        requests[i].range = round_out(batch[i], volume_.block_size_, volume_.size());
        static_cast<void>(volume_.lock_.admit(requests[i]));
    }
    for (auto& request : requests) {
        RangeLock::Awaiter place{request};
        co_await place;
    }
    Status status = stop_reason();
    batch = still_marked(batch);
    for (const auto& target : targets()) {
        if (!status.ok()) break;
        if (left(*target)) continue;
        auto copying = copy_batch_to(target, batch);
        const Status copied = co_await std::move(copying);
        auto judging = target_result(target, copied);
        status = co_await std::move(judging);
    }
    for (const Range& range : batch) {
        if (!status.ok()) break;
        settled(range);
        copied_bytes_ += range.length;
    }
    if (!status.ok() && !error_) error_ = status.error();
    for (auto& request : requests) volume_.lock_.release(request);
    if (volume_.request_done_.has_waiters()) volume_.request_done_.notify();
    slots_.release(queued);
}

Task<Status> Copier::copy_batch_to(std::shared_ptr<Plex> target, const Ranges& batch) {
    EXSHADOW_CO_TRY(target->device->health());
    const std::shared_ptr<Plex> source = plan_.source ? plan_.source : volume_.authority();
    MemoryCopy copy;
    const int from = source->device->descriptor();
    const int to = target->device->descriptor();
    const std::uint64_t unit = volume_.state().region_size;
    ++source->in_flight;
    ++target->in_flight;
    CopyLanes* const lanes = can_copy_in_kernel(*source->device, *target->device) ? &lanes_[target] : nullptr;
    co_await loop_.offload(
        [&copy, &batch, from, to, unit, lanes] { copy = copy_in_memory(from, to, batch, unit, lanes); });
    --source->in_flight;
    --target->in_flight;
    volume_.idle_.notify();
    job_->bytes_copied += copy.copied;
    if (copy.write_error != 0) co_return os_error(copy.write_error, "write", target->device->describe());
    if (copy.read_error != 0) {  // the slow way knows what to do about a plex that cannot be read
        for (const Range& range : batch) {
            auto copying = copy_data(range);
            EXSHADOW_CO_TRY(co_await std::move(copying));
        }
        co_return Status{};
    }
    for (const Range& range : copy.zero) {
        auto zeroing = make_zero(target, range);
        EXSHADOW_CO_TRY(co_await std::move(zeroing));
        job_->bytes_zeroed += range.length;
    }
    co_return Status{};
}

bool Copier::all_in_memory() const {
    if (plan_.compare || through_redirect_) return false;
    const std::shared_ptr<Plex> source = plan_.source ? plan_.source : volume_.authority();
    for (const auto& target : targets()) {
        if (!can_copy_in_memory(*source->device, *target->device)) return false;
    }
    return true;
}

Task<void> Copier::copy_chunk(Range chunk, std::uint64_t queued) {
    RangeLock::Request request;
    request.range = round_out(chunk, volume_.block_size_, volume_.size());
    const bool locks = volume_.options_.orders.keeps(Order::e17_copier_holds_range);
    if (locks) co_await volume_.lock_.admit(request);
    if (stop_reason().ok()) {
        auto copying = copy_marked(chunk);
        const Status status = co_await std::move(copying);
        if (!status.ok() && !error_) error_ = status.error();
    }
    if (locks) {
        volume_.lock_.release(request);
        if (volume_.request_done_.has_waiters()) volume_.request_done_.notify();
    }
    slots_.release(queued);
}

Task<Status> Copier::copy_marked(Range chunk) {
    const std::uint64_t region = volume_.state().region_size;
    std::uint64_t from = chunk.offset / region;
    const std::uint64_t end = divide_up(chunk.end(), region);
    const bool takes_all =
        plan_.redirect && !volume_.options_.orders.keeps(Order::e27_mover_takes_unmoved_only);
    if (takes_all && chunk.length <= chunk_bytes_) {
        auto copying = copy_data(chunk);
        co_return co_await std::move(copying);
    }
    while (from < end) {
        const auto run = plan_.todo->next_run(from, end - from);
        if (!run || run->offset >= chunk.end()) break;
        const Range part{run->offset, std::min(run->end(), chunk.end()) - run->offset};
        from = divide_up(part.end(), region);
        if (part.length > chunk_bytes_) {
            auto skipping = skip_hole(part);
            EXSHADOW_CO_TRY(co_await std::move(skipping));
        } else {
            auto copying = copy_data(part);
            EXSHADOW_CO_TRY(co_await std::move(copying));
        }
    }
    co_return Status{};
}

// `range` was a hole when we asked. Under its lock we ask again: what became data is left marked.
Task<Status> Copier::skip_hole(Range range) {
    auto asking = source_extents(range);
    const auto extents = co_await std::move(asking);
    if (!extents.ok()) co_return extents.error();
    const std::uint64_t region = volume_.state().region_size;
    bool data = false;
    for (const auto& extent : *extents) {
        data = data || !extent.zero;
        if (!extent.zero) continue;
        const std::uint64_t begin = round_up(extent.range.offset, region);
        const std::uint64_t end =
            extent.range.end() == volume_.size() ? volume_.size() : round_down(extent.range.end(), region);
        if (begin >= end) continue;
        const Range hole{begin, end - begin};
        for (const auto& target : targets()) {
            if (left(*target)) continue;
            auto zeroing = make_zero(target, hole);
            const Status zeroed = co_await std::move(zeroing);
            auto judging = target_result(target, zeroed);
            EXSHADOW_CO_TRY(co_await std::move(judging));
        }
        job_->bytes_zeroed += hole.length;
        settled(hole);
    }
    if (data) holes_.clear();  // where data turned up, chunks are small from now on
    co_return Status{};
}

void Copier::settled(Range range) {
    const std::uint64_t region = volume_.state().region_size;
    const std::uint64_t first = range.offset / region;
    if (plan_.redirect) {
        volume_.redirect_->note_moved(range);
    } else {
        plan_.todo->clear_regions(first, divide_up(range.end(), region) - first);
    }
    copied_->mark(range);
    job_->bytes_done += range.length;
}

Task<Status> Copier::flush_targets() {
    if (!volume_.options_.orders.keeps(Order::e17_flush_before_clear)) co_return Status{};
    std::vector<std::shared_ptr<Plex>> list;
    for (const auto& target : targets()) list.push_back(target);
    auto flushing = volume_.flush_plexes(list);
    EXSHADOW_CO_TRY(co_await std::move(flushing));
    if (plan_.target && plan_.target->receive_error) co_return *plan_.target->receive_error;
    co_return Status{};
}

// While other chunks are under way: those are not in it. Each region is copied once in a pass, so none can
// be under way again when it is cleared.
Task<void> Copier::checkpoint_beside() {
    auto flushing = checkpoint();
    const Status flushed = co_await std::move(flushing);
    if (!flushed.ok() && !error_) error_ = flushed.error();
    checkpointing_ = false;
}

// Flush, then clear what was copied before the flush, unless it was marked again meanwhile.
Task<Status> Copier::checkpoint() {
    checkpoint_ns_ = loop_.now();
    checkpoint_limit_ = std::min(2 * checkpoint_limit_, checkpoint_bytes);
    if (copied_->empty()) co_return Status{};
    copied_bytes_ = 0;
    auto batch = std::make_unique<ChangeMap>(volume_.size(), volume_.state().region_size);
    std::swap(batch, copied_);
    if (plan_.redirect) {
        auto settling = volume_.settle_moved();
        co_return co_await std::move(settling);
    }
    auto flushing = flush_targets();
    EXSHADOW_CO_TRY(co_await std::move(flushing));
    if (!plan_.target) {  // a restore: who left the mirror misses this, and must be known to (E1, E2)
        auto recording = volume_.departures_recorded();
        EXSHADOW_CO_TRY(co_await std::move(recording));
        auto persisting = volume_.persist_maps();
        EXSHADOW_CO_TRY(co_await std::move(persisting));
    }
    const std::uint64_t region = volume_.state().region_size;
    std::uint64_t from = 0;
    std::uint64_t steps = 0;
    while (const auto run = batch->next_run(from, 1024)) {
        const std::uint64_t first = run->offset / region;
        from = divide_up(run->end(), region);
        const auto again = plan_.todo->next_run(first, 1);
        if (!again || again->offset >= run->end()) {
            plan_.durable->bits.clear_regions(first, from - first);
        } else {
            for (std::uint64_t at = first; at < from; ++at) {
                if (!plan_.todo->test(at)) plan_.durable->bits.clear_regions(at, 1);
            }
        }
        if (++steps % 16 == 0) co_await loop_.yield();
    }
    auto persisting = volume_.persist({plan_.durable});
    co_return co_await std::move(persisting);
}

}  // namespace exshadow
