// Task<T>: a lazy coroutine of the engine. Awaiting a task starts it on the awaiter's stack; a task
// that ends without suspending costs its awaiter no trip through the loop and no stack (a million in a
// row are fine). A task that does suspend resumes its awaiter when it ends; chains of such resumptions
// deeper than 64 go through the loop's queue (E30).
//
// Rules for engine coroutines (E31): plain functions or members, never capturing lambdas; parameters by
// value (or references that outlive the task by construction); no co_await inside ?:, braced
// initialisers or call arguments with non-trivial temporaries; no exceptions (they terminate).
// A task suspended on I/O is never destroyed (E32): cancel means ask, then await.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/check.h"
#include "runtime/frame_pool.h"

namespace exshadow {

// Resume `waiter` now, or through the current loop's queue when 64 resumptions are on the stack.
void resume_soon(std::coroutine_handle<> waiter) noexcept;

template <class T>
class Task;

namespace detail {

class PromiseBase {
public:
    static void* operator new(std::size_t size) { return allocate_frame(size); }
    static void operator delete(void* frame, std::size_t size) noexcept { free_frame(frame, size); }

    struct FinalAwaiter {
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> self) const noexcept {
            // Nothing of *self may be touched after its waiter ran: the waiter owns the frame.
            if (const auto waiter = self.promise().waiter_) resume_soon(waiter);
        }
        void await_resume() const noexcept {}
    };

    [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
    [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }

    std::coroutine_handle<> waiter_;
};

template <class T>
class Promise : public PromiseBase {
public:
    Task<T> get_return_object();
    template <class U>
    void return_value(U&& value) {
        value_.emplace(std::forward<U>(value));
    }
    T take() { return std::move(*value_); }

private:
    std::optional<T> value_;
};

template <>
class Promise<void> : public PromiseBase {
public:
    Task<void> get_return_object();
    void return_void() const noexcept {}
    void take() const noexcept {}
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
public:
    using promise_type = detail::Promise<T>;
    using Handle = std::coroutine_handle<promise_type>;

    explicit Task(Handle handle) : handle_(handle) {}
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    Task& operator=(Task&& other) noexcept {
        if (this != &other) {
            if (handle_) handle_.destroy();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    ~Task() {
        if (handle_) handle_.destroy();
    }

    [[nodiscard]] auto operator co_await() && noexcept { return Awaiter{handle_}; }

private:
    struct Awaiter {
        Handle handle;
        [[nodiscard]] bool await_ready() const {
            handle.resume();
            return handle.done();
        }
        void await_suspend(std::coroutine_handle<> waiter) const noexcept {
            handle.promise().waiter_ = waiter;
        }
        T await_resume() const { return handle.promise().take(); }
    };
    Handle handle_;
};

template <class T>
Task<T> detail::Promise<T>::get_return_object() {
    return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Task<void> detail::Promise<void>::get_return_object() {
    return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

}  // namespace exshadow
