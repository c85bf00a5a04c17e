// Waiting between coroutines of one loop: Event, Mutex, Semaphore, TaskGroup. Single-threaded by
// design: no atomics, all wake-ups go through the loop's queue.
#pragma once

#include <coroutine>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "base/check.h"
#include "runtime/loop.h"
#include "runtime/task.h"

namespace exshadow {

// Wakes everyone who waits when notify() is called. Waiters re-check their condition in a loop.
class Signal {
public:
    explicit Signal(Loop& loop) : loop_(loop) {}
    struct Awaiter {
        Signal& signal;
        [[nodiscard]] bool await_ready() const { return false; }
        void await_suspend(std::coroutine_handle<> waiter) const { signal.waiters_.push_back(waiter); }
        void await_resume() const {}
    };
    [[nodiscard]] Awaiter wait() { return {*this}; }
    void notify() {
        for (const auto waiter : waiters_) loop_.enqueue(waiter);
        waiters_.clear();
    }
    [[nodiscard]] bool has_waiters() const { return !waiters_.empty(); }

private:
    Loop& loop_;
    std::vector<std::coroutine_handle<>> waiters_;
};

// A counted resource (bytes in flight, slots). acquire() waits in FIFO order; a request larger than the
// whole capacity is served when everything is free.
class Semaphore {
public:
    Semaphore(Loop& loop, std::uint64_t capacity) : loop_(loop), capacity_(capacity), available_(capacity) {}
    struct Awaiter {
        Semaphore& semaphore;
        std::uint64_t count;
        [[nodiscard]] bool await_ready() { return semaphore.try_acquire(count); }
        void await_suspend(std::coroutine_handle<> waiter) { semaphore.waiting_.push_back({waiter, count}); }
        void await_resume() const {}
    };
    [[nodiscard]] Awaiter acquire(std::uint64_t count = 1) {
        return {*this, count < capacity_ ? count : capacity_};
    }
    void release(std::uint64_t count = 1) {
        available_ += count < capacity_ ? count : capacity_;
        while (!waiting_.empty() && waiting_.front().count <= available_) {
            available_ -= waiting_.front().count;
            loop_.enqueue(waiting_.front().waiter);
            waiting_.pop_front();
        }
    }
    [[nodiscard]] std::uint64_t available() const { return available_; }

private:
    struct Waiting {
        std::coroutine_handle<> waiter;
        std::uint64_t count;
    };
    bool try_acquire(std::uint64_t count) {
        if (!waiting_.empty() || count > available_) return false;
        available_ -= count;
        return true;
    }
    Loop& loop_;
    std::uint64_t capacity_;
    std::uint64_t available_;
    std::deque<Waiting> waiting_;
};

class Mutex {
public:
    explicit Mutex(Loop& loop) : semaphore_(loop, 1) {}
    class [[nodiscard]] Guard {
    public:
        explicit Guard(Semaphore& semaphore) : semaphore_(&semaphore) {}
        Guard(Guard&& other) noexcept : semaphore_(std::exchange(other.semaphore_, nullptr)) {}
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;
        Guard& operator=(Guard&&) = delete;
        ~Guard() {
            if (semaphore_ != nullptr) semaphore_->release();
        }

    private:
        Semaphore* semaphore_;
    };
    // auto guard = co_await mutex.lock();
    struct Awaiter {
        Semaphore::Awaiter inner;
        [[nodiscard]] bool await_ready() { return inner.await_ready(); }
        void await_suspend(std::coroutine_handle<> waiter) { inner.await_suspend(waiter); }
        [[nodiscard]] Guard await_resume() const { return Guard(inner.semaphore); }
    };
    [[nodiscard]] Awaiter lock() { return {semaphore_.acquire()}; }

private:
    Semaphore semaphore_;
};

namespace detail {

// A coroutine nobody awaits; its frame goes when it ends.
struct Detached {
    struct promise_type {
        static void* operator new(std::size_t size) { return allocate_frame(size); }
        static void operator delete(void* frame, std::size_t size) noexcept { free_frame(frame, size); }
        [[nodiscard]] Detached get_return_object() const noexcept { return {}; }
        [[nodiscard]] std::suspend_never initial_suspend() const noexcept { return {}; }
        [[nodiscard]] std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
    };
};

inline Detached run_detached(Task<void> task) {
    co_await std::move(task);
}

}  // namespace detail

// Start a task that nobody awaits. What it uses must live until it ends, by its own means.
inline void spawn(Task<void> task) {
    detail::run_detached(std::move(task));
}

// Starts tasks that run beside each other and waits for all of them. The group outlives its tasks:
// await wait() before it goes out of scope (checked).
class TaskGroup {
public:
    explicit TaskGroup(Loop& loop) : done_(loop) {}
    TaskGroup(const TaskGroup&) = delete;
    TaskGroup& operator=(const TaskGroup&) = delete;
    ~TaskGroup() { EXSHADOW_CHECK(running_ == 0); }

    void spawn(Task<void> task) {
        ++running_;
        start(*this, std::move(task));
    }
    [[nodiscard]] Task<void> wait() {
        while (running_ != 0) co_await done_.wait();
    }
    [[nodiscard]] std::uint64_t running() const { return running_; }

private:
    static detail::Detached start(TaskGroup& group, Task<void> task) {
        co_await std::move(task);
        if (--group.running_ == 0) group.done_.notify();
    }

    Signal done_;
    std::uint64_t running_ = 0;
};

}  // namespace exshadow
