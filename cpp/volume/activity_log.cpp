#include "volume/activity_log.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "base/crc32c.h"
#include "volume/format.h"

namespace exshadow {

namespace {

using format::LogHeader;

struct LogImage {
    std::uint64_t sequence = 0;
    std::vector<std::uint32_t> extents;
};

// Nothing when the place holds no sound set of this volume.
std::optional<LogImage> decode(std::span<std::byte> bytes, const VolumeState& state, unsigned place) {
    LogHeader header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    const std::size_t room = (bytes.size() - sizeof(header)) / sizeof(std::uint32_t);
    if (header.magic != format::log_magic || header.version != format::version ||
        header.volume != state.uuid.bytes || header.place != place || header.count > room) {
        return std::nullopt;
    }
    const std::uint32_t crc = header.crc;
    header.crc = 0;
    std::memcpy(bytes.data(), &header, sizeof(header));
    const std::size_t length = sizeof(header) + header.count * sizeof(std::uint32_t);
    if (crc32c(bytes.first(length)) != crc) return std::nullopt;

    LogImage image{header.sequence, std::vector<std::uint32_t>(header.count)};
    const auto stored = bytes.subspan(sizeof(header), header.count * sizeof(std::uint32_t));
    std::ranges::copy(stored, std::as_writable_bytes(std::span(image.extents)).begin());
    const std::uint64_t extent_count = divide_up(state.size, state.extent_size);
    for (const auto extent : image.extents) {
        if (extent >= extent_count) return std::nullopt;
    }
    return image;
}

}  // namespace

Task<Result<std::vector<std::uint32_t>>> ActivityLog::load(std::size_t copy) {
    std::vector<std::byte> buffer(format::log_bytes);
    std::optional<LogImage> best;
    sequence_ = state_.generation << 32;  // above every earlier one even when none can be read
    for (unsigned place = 0; place < 2; ++place) {
        auto reading = device_.read(copy, format::log_places[place], buffer);
        const Status status = co_await std::move(reading);
        // Torn is one thing: that set was never relied on. What cannot be read may be the newer set.
        if (!status.ok()) co_return Error(Code::corrupt, "the activity log cannot be read");
        auto image = decode(buffer, state_, place);
        if (image && (!best || image->sequence > best->sequence)) best = std::move(image);
    }
    if (!best) co_return Error(Code::corrupt, "the activity log is damaged");
    sequence_ = std::max(sequence_, best->sequence);
    co_return std::move(best->extents);
}

Range ActivityLog::extent_range(std::uint32_t extent) const {
    const std::uint64_t offset = std::uint64_t{extent} * state_.extent_size;
    return {offset, std::min<std::uint64_t>(state_.extent_size, state_.size - offset)};
}

std::uint64_t ActivityLog::longest_request() const {
    const std::uint64_t half = std::max<std::uint64_t>(capacity_ / 2, 2) - 1;
    return std::min<std::uint64_t>(32 * MiB, half * state_.extent_size);
}

std::size_t ActivityLog::missing(Range bytes) const {
    std::size_t count = 0;
    for (std::uint32_t extent = first_extent(bytes); extent <= last_extent(bytes); ++extent) {
        if (!slots_.contains(extent)) ++count;
    }
    return count;
}

void ActivityLog::use(std::uint32_t extent) {
    auto [at, added] = slots_.try_emplace(extent);
    Slot& slot = at->second;
    if (added) {
        slot.age = ages_.insert(ages_.end(), extent);
    } else {
        ages_.splice(ages_.end(), ages_, slot.age);
    }
    slot.evicting = false;
    ++slot.users;
}

bool ActivityLog::try_acquire(Range bytes) {
    if (failure_) return false;
    const std::uint32_t last = last_extent(bytes);
    for (std::uint32_t extent = first_extent(bytes); extent <= last; ++extent) {
        const auto at = slots_.find(extent);
        if (at == slots_.end() || !at->second.durable) return false;
    }
    for (std::uint32_t extent = first_extent(bytes); extent <= last; ++extent) use(extent);
    return true;
}

Task<Status> ActivityLog::acquire(Range bytes) {
    const std::uint64_t ticket = next_ticket_++;
    const std::size_t wanted = last_extent(bytes) - first_extent(bytes) + 1;
    waiting_ += wanted;
    while (must_wait(ticket, bytes)) {
        if (starved_) starved_();
        if (must_wait(ticket, bytes)) co_await changed_.wait();  // room may have been made on the spot
    }
    waiting_ -= wanted;
    ++serving_;
    changed_.notify();
    if (failure_) co_return *failure_;
    for (std::uint32_t extent = first_extent(bytes); extent <= last_extent(bytes); ++extent) use(extent);
    // Whoever finds no write of the set under way writes it; everyone who came meanwhile is in it.
    for (;;) {
        bool durable = true;
        for (std::uint32_t extent = first_extent(bytes); extent <= last_extent(bytes); ++extent) {
            durable = durable && slots_.at(extent).durable;
        }
        if (durable) co_return Status{};
        if (failure_) break;
        if (writing_) {
            co_await changed_.wait();
            continue;
        }
        auto writing = write_set();
        const Status status = co_await std::move(writing);
        if (!status.ok()) fail(status.error());
    }
    release(bytes);
    co_return *failure_;
}

void ActivityLog::release(Range bytes) {
    for (std::uint32_t extent = first_extent(bytes); extent <= last_extent(bytes); ++extent) {
        Slot& slot = slots_.at(extent);
        EXSHADOW_CHECK(slot.users != 0);
        --slot.users;
    }
    if (starved() && starved_) starved_();
}

std::vector<std::uint32_t> ActivityLog::active() const {
    return {ages_.begin(), ages_.end()};
}

std::vector<std::uint32_t> ActivityLog::begin_eviction(std::size_t limit) {
    std::vector<std::uint32_t> idle;
    for (const auto extent : ages_) {
        if (idle.size() == limit) break;
        Slot& slot = slots_.at(extent);
        if (slot.users != 0) continue;
        slot.evicting = true;
        idle.push_back(extent);
    }
    return idle;
}

void ActivityLog::finish_eviction(const std::vector<std::uint32_t>& extents) {
    for (const auto extent : extents) {
        const auto at = slots_.find(extent);
        if (at == slots_.end() || !at->second.evicting || at->second.users != 0) continue;
        ages_.erase(at->second.age);
        slots_.erase(at);
    }
    changed_.notify();
}

Task<Status> ActivityLog::write_now() {
    while (writing_) co_await changed_.wait();
    if (failure_) co_return *failure_;
    auto writing = write_set();
    co_return co_await std::move(writing);
}

Task<Status> ActivityLog::write_set() {
    EXSHADOW_CHECK(!writing_);
    writing_ = true;
    ++sequence_;
    const std::vector<std::uint32_t> extents = active();
    LogHeader header{};
    header.magic = format::log_magic;
    header.version = format::version;
    header.volume = state_.uuid.bytes;
    header.sequence = sequence_;
    header.count = static_cast<std::uint32_t>(extents.size());
    header.place = static_cast<std::uint32_t>(sequence_ % 2);
    const std::size_t length = sizeof(header) + extents.size() * sizeof(std::uint32_t);
    std::vector<std::byte> bytes(round_up(length, format::block_bytes));
    std::ranges::copy(std::as_bytes(std::span(extents)), bytes.begin() + sizeof(header));
    std::memcpy(bytes.data(), &header, sizeof(header));
    header.crc = crc32c(std::span(bytes).first(length));
    std::memcpy(bytes.data(), &header, sizeof(header));

    auto writing = device_.write(format::log_places[header.place], bytes);
    Status status = co_await std::move(writing);
    if (status.ok()) {
        auto flushing = device_.flush();
        status = co_await std::move(flushing);
    }
    writing_ = false;
    if (status.ok()) {
        for (const auto extent : extents) {
            if (const auto at = slots_.find(extent); at != slots_.end()) at->second.durable = true;
        }
    }
    changed_.notify();
    co_return status;
}

void ActivityLog::fail(const Error& error) {
    if (!failure_) failure_ = error;
    changed_.notify();
}

}  // namespace exshadow
