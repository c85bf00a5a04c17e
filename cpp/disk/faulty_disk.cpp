#include "disk/faulty_disk.h"

#include <algorithm>
#include <cerrno>

namespace exshadow {

namespace {
constexpr std::uint64_t sector_bytes = 512;
}

FaultyDisk::FaultyDisk(Loop& loop, std::unique_ptr<BlockDevice> below, FaultyDiskOptions options)
    : loop_(loop), below_(std::move(below)), options_(options), random_(options.seed) {}

std::uint64_t FaultyDisk::random_below(std::uint64_t limit) {
    return limit == 0 ? 0 : random_() % limit;
}

Nanoseconds FaultyDisk::next_latency() {
    const auto spread = static_cast<std::uint64_t>(options_.latency_most - options_.latency_least);
    return options_.latency_least + static_cast<Nanoseconds>(random_below(spread + 1));
}

Error FaultyDisk::failure(int error_number, std::string_view verb) const {
    return os_error(error_number, verb, describe() + " (injected fault)");
}

bool FaultyDisk::hits(ActiveRule& active, DiskVerb verb, Range range) {
    const FaultRule& rule = active.rule;
    if (rule.verb != verb) return false;
    if (verb != DiskVerb::flush && !range.overlaps(rule.range)) return false;
    if (active.seen++ < rule.skip || active.hits >= rule.count) return false;
    if (random_below(1000000) >= rule.chance_ppm) return false;
    ++active.hits;
    return true;
}

std::optional<FaultRule> FaultyDisk::pick(DiskVerb verb, Range range) {
    for (auto& active : rules_) {
        if (!hits(active, verb, range)) continue;
        ++faults_;
        return active.rule;
    }
    return std::nullopt;
}

Task<Status> FaultyDisk::read(std::uint64_t offset, std::span<std::byte> buffer) {
    EXSHADOW_CO_TRY(check_range(offset, buffer.size()));
    co_await loop_.sleep(next_latency());
    const auto rule = pick(DiskVerb::read, {offset, buffer.size()});
    if (rule && rule->fault != Fault::corrupt) co_return failure(rule->error, "read");
    EXSHADOW_CO_TRY(co_await below_->read(offset, buffer));
    if (rule && !buffer.empty()) buffer[random_below(buffer.size())] ^= std::byte{1};
    co_return Status{};
}

Task<Status> FaultyDisk::write(std::uint64_t offset, std::span<const std::byte> data) {
    EXSHADOW_CO_TRY(check_range(offset, data.size()));
    if (broken_) co_return *broken_;
    co_await loop_.sleep(next_latency());
    if (options_.write_limit - accepted_bytes_ < data.size()) co_return failure(ENOSPC, "write");
    accepted_bytes_ += data.size();
    const auto rule = pick(DiskVerb::write, {offset, data.size()});
    if (rule) co_return co_await write_wrongly(*rule, offset, data);
    co_return co_await write_below(offset, data);
}

Task<Status> FaultyDisk::write_wrongly(FaultRule rule, std::uint64_t offset,
                                       std::span<const std::byte> data) {
    switch (rule.fault) {
        case Fault::fail: co_return failure(rule.error, "write");
        case Fault::lose: co_return Status{};
        case Fault::tear: {
            const std::uint64_t kept = random_below(divide_up(data.size(), sector_bytes)) * sector_bytes;
            EXSHADOW_CO_TRY(co_await write_below(offset, data.first(kept)));
            if (rule.error == 0) co_return Status{};
            co_return failure(rule.error, "write");
        }
        case Fault::corrupt: {
            std::vector<std::byte> wrong(data.begin(), data.end());
            if (!wrong.empty()) wrong[random_below(wrong.size())] ^= std::byte{1};
            co_return co_await write_below(offset, wrong);
        }
        case Fault::misdirect: {
            const std::uint64_t places = (size() - data.size()) / sector_bytes + 1;
            co_return co_await write_below(random_below(places) * sector_bytes, data);
        }
    }
    co_return failure(EINVAL, "write");
}

Task<Status> FaultyDisk::write_below(std::uint64_t offset, std::span<const std::byte> data) {
    EXSHADOW_CO_TRY(co_await remember({offset, data.size()}));
    co_return co_await below_->write(offset, data);
}

Task<Status> FaultyDisk::zero(Range range, ZeroMode mode) {
    EXSHADOW_CO_TRY(check_range(range.offset, range.length));
    if (broken_) co_return *broken_;
    co_await loop_.sleep(next_latency());
    const auto rule = pick(DiskVerb::zero, range);
    if (rule && rule->fault == Fault::lose) co_return Status{};
    if (rule) co_return failure(rule->error, "zero");
    EXSHADOW_CO_TRY(co_await remember(range));
    co_return co_await below_->zero(range, mode);
}

Task<Status> FaultyDisk::flush() {
    if (broken_) co_return *broken_;
    const std::size_t covered = replaced_.size();  // later writes are not covered by this flush
    co_await loop_.sleep(next_latency());
    const auto rule = pick(DiskVerb::flush, {});
    if (rule) {
        broken_ = failure(rule->error, "flush");
        if (options_.track_unflushed) EXSHADOW_CO_TRY(co_await drop_unflushed());
        co_return *broken_;
    }
    EXSHADOW_CO_TRY(co_await below_->flush());
    const std::size_t durable = std::min(covered, replaced_.size());
    replaced_.erase(replaced_.begin(), replaced_.begin() + static_cast<std::ptrdiff_t>(durable));
    co_return Status{};
}

Task<Result<std::vector<Extent>>> FaultyDisk::extents(Range range) {
    return below_->extents(range);
}

Task<Status> FaultyDisk::remember(Range range) {
    if (!options_.track_unflushed || range.empty()) co_return Status{};
    Replaced old{range.offset, std::vector<std::byte>(range.length)};
    EXSHADOW_CO_TRY(co_await below_->read(old.offset, old.bytes));
    replaced_.push_back(std::move(old));
    co_return Status{};
}

Task<Status> FaultyDisk::drop_unflushed() {
    while (!replaced_.empty()) {
        const Replaced newest = std::move(replaced_.back());
        replaced_.pop_back();
        EXSHADOW_CO_TRY(co_await below_->write(newest.offset, newest.bytes));
    }
    co_return Status{};
}

}  // namespace exshadow
