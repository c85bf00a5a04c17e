// FaultyDisk: a layer over any BlockDevice that makes it fail: by script (the nth matching request) or
// by seed (a chance per request). Without rules it is transparent and passes the conformance suite.
//
// With track_unflushed it behaves like a disk with a volatile cache: it remembers what every write since
// the last good flush replaced, and a failed flush, or drop_unflushed(), puts that back.
//
// Loop thread only. It owns the device below; the loop outlives it.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "disk/block_device.h"
#include "runtime/loop.h"

namespace exshadow {

enum class DiskVerb : std::uint8_t { read, write, zero, flush };

enum class Fault : std::uint8_t {
    fail,       // nothing happens, the rule's error is answered
    lose,       // write, zero: answered as done, nothing happens
    tear,       // write: only a beginning, of whole 512-byte sectors, is written; then the rule's error
    corrupt,    // read, write: one bit flipped, answered as done
    misdirect,  // write: lands at another place, answered as done
};

struct FaultRule {
    static constexpr std::uint64_t forever = std::numeric_limits<std::uint64_t>::max();

    DiskVerb verb = DiskVerb::read;
    Fault fault = Fault::fail;
    std::uint64_t skip = 0;              // matching requests let through first
    std::uint64_t count = 1;             // how many are hit after that
    std::uint32_t chance_ppm = 1000000;  // of those: hit with this chance per million
    Range range{0, forever};             // only requests that overlap it (flush: always)
    int error = 5;                       // errno answered (EIO); for tear, 0 answers "done"
};

struct FaultyDiskOptions {
    std::uint64_t seed = 1;
    Nanoseconds latency_least = 0;  // every request waits between these two
    Nanoseconds latency_most = 0;
    std::uint64_t write_limit = FaultRule::forever;  // bytes accepted by write() before ENOSPC
    bool track_unflushed = false;
};

class FaultyDisk final : public BlockDevice {
public:
    FaultyDisk(Loop& loop, std::unique_ptr<BlockDevice> below, FaultyDiskOptions options = {});

    // Rules are tried in the order they were added; the first that hits decides.
    void add(FaultRule rule) { rules_.push_back({rule, 0, 0}); }
    void clear_rules() { rules_.clear(); }

    [[nodiscard]] std::uint64_t size() const override { return below_->size(); }
    [[nodiscard]] std::uint32_t block_size() const override { return below_->block_size(); }
    [[nodiscard]] std::string describe() const override { return below_->describe(); }

    [[nodiscard]] Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) override;
    [[nodiscard]] Task<Status> write(std::uint64_t offset, std::span<const std::byte> data) override;
    [[nodiscard]] Task<Status> zero(Range range, ZeroMode mode) override;
    [[nodiscard]] Task<Status> flush() override;
    [[nodiscard]] Task<Result<std::vector<Extent>>> extents(Range range) override;

    // The power fails: everything since the last good flush is undone (needs track_unflushed).
    [[nodiscard]] Task<Status> drop_unflushed();

    [[nodiscard]] BlockDevice& below() { return *below_; }
    [[nodiscard]] std::uint64_t faults() const { return faults_; }  // how many requests were hit

private:
    struct ActiveRule {
        FaultRule rule;
        std::uint64_t seen;
        std::uint64_t hits;
    };
    struct Replaced {
        std::uint64_t offset;
        std::vector<std::byte> bytes;
    };

    [[nodiscard]] std::optional<FaultRule> pick(DiskVerb verb, Range range);
    [[nodiscard]] bool hits(ActiveRule& active, DiskVerb verb, Range range);
    [[nodiscard]] std::uint64_t random_below(std::uint64_t limit);
    [[nodiscard]] Nanoseconds next_latency();
    [[nodiscard]] Error failure(int error_number, std::string_view verb) const;
    [[nodiscard]] Task<Status> write_wrongly(FaultRule rule, std::uint64_t offset,
                                             std::span<const std::byte> data);
    [[nodiscard]] Task<Status> write_below(std::uint64_t offset, std::span<const std::byte> data);
    [[nodiscard]] Task<Status> remember(Range range);

    Loop& loop_;
    std::unique_ptr<BlockDevice> below_;
    FaultyDiskOptions options_;
    std::mt19937_64 random_;
    std::vector<ActiveRule> rules_;
    std::vector<Replaced> replaced_;  // oldest first
    std::uint64_t accepted_bytes_ = 0;
    std::uint64_t faults_ = 0;
    std::optional<Error> broken_;
};

}  // namespace exshadow
