// Pending: an operation of the loop's thread that another thread waits for. Shared by both, so that either
// may let go of it first: an abandoned wait leaves the operation and its buffers alone (E32).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

namespace exshadow {

// Set once. A futex: no state that a child of fork() could inherit half way, any number of waiters.
class Completion {
public:
    Completion() = default;
    Completion(const Completion&) = delete;
    Completion& operator=(const Completion&) = delete;

    [[nodiscard]] bool done() const { return done_.load(std::memory_order_acquire) != 0; }
    // True when done; false after `slice`, or earlier when a signal came. Any thread.
    [[nodiscard]] bool wait_for(std::chrono::nanoseconds slice) const;
    // When it was done, on the steady clock. After done() only.
    [[nodiscard]] std::chrono::steady_clock::time_point done_at() const { return done_at_; }

protected:
    ~Completion() = default;
    void finish();

private:
    std::atomic<std::uint32_t> done_{0};
    std::chrono::steady_clock::time_point done_at_;
};

template <class T>
class Pending : public Completion {
public:
    // Loop thread, or whoever refuses the operation before the loop hears of it.
    void settle(T result) {
        result_.emplace(std::move(result));
        finish();
        if (const auto after = std::exchange(after_, nullptr)) after();
    }
    // What came of it. After done() only; settle() writes it once.
    [[nodiscard]] T& result() { return *result_; }
    // Loop thread: run `after` once it is settled, at once if it is.
    void then(std::function<void()> after) {
        if (done()) return after();
        after_ = std::move(after);
    }

private:
    std::optional<T> result_;
    std::function<void()> after_;
};

}  // namespace exshadow
