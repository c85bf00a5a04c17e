// Loop: the one thread that runs a group's coroutines, and the only source of time, files and
// randomness for the engine. uring_loop and pool_loop drive real files, sim_loop simulated ones.
//
// Thread rule: post() and stop() from any thread; everything else on the thread inside run().
// Completions only enqueue; coroutines are resumed from run() alone (E30).
#pragma once

#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/uuid.h"
#include "runtime/file.h"
#include "runtime/task.h"

namespace exshadow {

using Nanoseconds = std::int64_t;
inline constexpr Nanoseconds microsecond_ns = 1'000;
inline constexpr Nanoseconds millisecond_ns = 1'000'000;
inline constexpr Nanoseconds second_ns = 1'000'000'000;

enum class LoopKind : std::uint8_t { automatic, uring, pool };

class Loop {
public:
    Loop() = default;
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    virtual ~Loop() = default;

    // The loop whose run() is on this thread's stack, or null.
    [[nodiscard]] static Loop* current();

    [[nodiscard]] virtual const char* name() const = 0;            // "io_uring", "threads", "simulation"
    [[nodiscard]] virtual Nanoseconds now() const = 0;             // monotonic
    [[nodiscard]] virtual std::int64_t wall_clock_ns() const = 0;  // since the epoch; for display only
    [[nodiscard]] virtual Uuid new_uuid() = 0;
    [[nodiscard]] virtual Result<std::unique_ptr<File>> open(const std::string& path,
                                                             const OpenOptions& options) = 0;

    // Run until stop() was called (any thread) and nothing more is ready. sim_loop also returns when
    // nothing can happen any more.
    virtual void run() = 0;
    virtual void stop() = 0;
    virtual void post(std::function<void()> function) = 0;  // any thread; runs on the loop

    // False in a child of fork(): there calls are refused (E34), posts dropped. Any thread.
    [[nodiscard]] virtual bool usable() const { return true; }

    // Queue a coroutine to be resumed by run(). Loop thread only.
    void enqueue(std::coroutine_handle<> waiter) { ready_.push_back(waiter); }

    // End every sleep in progress now: who sleeps looks again at what it waits for. For closing.
    virtual void wake_sleepers() = 0;

    struct SleepAwaiter {
        Loop& loop;
        Nanoseconds duration;
        [[nodiscard]] bool await_ready() const { return duration <= 0; }
        void await_suspend(std::coroutine_handle<> waiter) const { loop.start_timer(duration, waiter); }
        void await_resume() const {}
    };
    struct YieldAwaiter {
        Loop& loop;
        [[nodiscard]] bool await_ready() const { return false; }
        void await_suspend(std::coroutine_handle<> waiter) const { loop.enqueue(waiter); }
        void await_resume() const {}
    };
    struct OffloadAwaiter {
        Loop& loop;
        std::function<void()> work;
        [[nodiscard]] bool await_ready() const { return false; }
        void await_suspend(std::coroutine_handle<> waiter) { loop.start_work(std::move(work), waiter); }
        void await_resume() const {}
    };
    [[nodiscard]] SleepAwaiter sleep(Nanoseconds duration) { return {*this, duration}; }
    // Let everything else that is ready run first; long steps call this at least every 200 us (E34).
    [[nodiscard]] YieldAwaiter yield() { return {*this}; }
    // Run `work` on the loop's bounded worker pool (a simulation runs it at a seeded moment).
    [[nodiscard]] OffloadAwaiter offload(std::function<void()> work) { return {*this, std::move(work)}; }

protected:
    virtual void start_timer(Nanoseconds duration, std::coroutine_handle<> waiter) = 0;
    virtual void start_work(std::function<void()> work, std::coroutine_handle<> waiter) = 0;

    // Makes `loop` current on this thread for the scope's life.
    class Scope {
    public:
        explicit Scope(Loop& loop);
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;
        ~Scope();

    private:
        Loop* previous_;
    };

    std::deque<std::coroutine_handle<>> ready_;
};

// The best real loop this system permits (io_uring, else threads), or the kind asked for.
// $EXSHADOW_LOOP=uring|pool overrides `automatic`.
[[nodiscard]] Result<std::unique_ptr<Loop>> make_loop(LoopKind kind = LoopKind::automatic);

}  // namespace exshadow
