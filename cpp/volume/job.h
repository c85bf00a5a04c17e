// Job: the progress and the end of something long: sync, resync, restore, verify. Written by the loop,
// read from any thread. Cancelling asks; what was done is kept and the state is resumable.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/units.h"

namespace exshadow {

class Job {
public:
    explicit Job(std::string kind) : kind_(std::move(kind)) {}
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    [[nodiscard]] const std::string& kind() const { return kind_; }

    // Bytes: written to the target; made zero or found zero there; settled, of all there is to settle.
    std::atomic<std::uint64_t> bytes_copied{0};
    std::atomic<std::uint64_t> bytes_zeroed{0};
    std::atomic<std::uint64_t> bytes_done{0};
    std::atomic<std::uint64_t> bytes_total{0};
    std::atomic<std::int64_t> started_ns{0};   // monotonic
    std::atomic<std::int64_t> finished_ns{0};  // 0 while it runs

    void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
    [[nodiscard]] bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

    void set_note(std::string text) {
        const std::lock_guard lock(mutex_);
        note_ = std::move(text);
    }
    [[nodiscard]] std::string note() const {
        const std::lock_guard lock(mutex_);
        return note_;
    }
    // Verify: where members differed. Complete when the job is done.
    void add_difference(Range range) {
        const std::lock_guard lock(mutex_);
        if (!differences_.empty() && differences_.back().end() == range.offset) {
            differences_.back().length += range.length;
        } else {
            differences_.push_back(range);
        }
    }
    [[nodiscard]] Ranges differences() const {
        const std::lock_guard lock(mutex_);
        return differences_;
    }

    [[nodiscard]] Error cancelled_error() const {
        return Error(Code::cancelled, kind_ + " was interrupted; what was copied is kept",
                     "continue it by repeating the command");
    }

private:
    const std::string kind_;
    std::atomic<bool> cancelled_{false};
    mutable std::mutex mutex_;
    std::string note_;
    Ranges differences_;
};

}  // namespace exshadow
