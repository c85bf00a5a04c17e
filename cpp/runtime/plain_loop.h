// PlainLoop: coroutines, timers and messages on any system that has threads; no files, no sockets. For what
// only coordinates (cpp/vss), and for Windows.
//
// Work that was offloaded is waited for before run() returns after stop(); sleepers are not.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <queue>
#include <vector>

#include "runtime/loop.h"

namespace exshadow {

class PlainLoop final : public Loop {
public:
    PlainLoop() = default;
    ~PlainLoop() override;

    [[nodiscard]] const char* name() const override { return "plain"; }
    [[nodiscard]] Nanoseconds now() const override;
    [[nodiscard]] std::int64_t wall_clock_ns() const override;
    [[nodiscard]] Uuid new_uuid() override { return Uuid::random(); }
    [[nodiscard]] Result<std::unique_ptr<File>> open(const std::string& path,
                                                     const OpenOptions& options) override;
    void run() override;
    void stop() override;
    void post(std::function<void()> function) override;
    void wake_sleepers() override;

protected:
    void start_timer(Nanoseconds duration, std::coroutine_handle<> waiter) override;
    void start_work(std::function<void()> work, std::coroutine_handle<> waiter) override;

private:
    struct Timer {
        Nanoseconds due;
        std::uint64_t sequence;  // equal times fire in the order they were set
        std::coroutine_handle<> waiter;
        [[nodiscard]] bool operator>(const Timer& other) const {
            return due != other.due ? due > other.due : sequence > other.sequence;
        }
    };

    [[nodiscard]] bool wait_for_messages(std::vector<std::function<void()>>& taken);
    void fire_timers();

    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::function<void()>> posted_;  // guarded by mutex_
    bool stopping_ = false;                      // guarded by mutex_

    std::uint64_t working_ = 0;  // offloaded and not answered yet; loop thread only
    std::uint64_t timer_sequence_ = 0;
    std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
};

}  // namespace exshadow
