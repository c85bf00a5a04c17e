#include "runtime/plain_loop.h"

#include <chrono>
#include <thread>
#include <utility>

namespace exshadow {

namespace {

template <class Clock>
Nanoseconds read_clock() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

}  // namespace

PlainLoop::~PlainLoop() {
    EXSHADOW_CHECK(working_ == 0);
}

Nanoseconds PlainLoop::now() const {
    return read_clock<std::chrono::steady_clock>();
}
std::int64_t PlainLoop::wall_clock_ns() const {
    return read_clock<std::chrono::system_clock>();
}

Result<std::unique_ptr<File>> PlainLoop::open(const std::string& path, const OpenOptions& /*options*/) {
    return Error(Code::unsupported, path + ": the plain loop opens no files");
}

void PlainLoop::run() {
    const Scope scope(*this);
    std::vector<std::function<void()>> messages;
    while (wait_for_messages(messages)) {
        for (auto& message : messages) {
            message();
            message = nullptr;
        }
        messages.clear();
        fire_timers();
        for (std::size_t count = ready_.size(); count != 0; --count) {
            const auto waiter = ready_.front();
            ready_.pop_front();
            waiter.resume();
        }
    }
}

// False: stopped, and nothing is left to do.
bool PlainLoop::wait_for_messages(std::vector<std::function<void()>>& taken) {
    std::unique_lock lock(mutex_);
    while (posted_.empty() && ready_.empty() && (timers_.empty() || timers_.top().due > now())) {
        if (stopping_ && working_ == 0) {
            stopping_ = false;
            return false;
        }
        if (timers_.empty()) {
            wake_.wait(lock);
        } else {
            wake_.wait_for(lock, std::chrono::nanoseconds(timers_.top().due - now()));
        }
    }
    taken.swap(posted_);
    return true;
}

void PlainLoop::stop() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
}

void PlainLoop::post(std::function<void()> function) {
    // Under the lock to the end: who posts last may be followed at once by the loop's destruction.
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(function));
    wake_.notify_one();
}

void PlainLoop::fire_timers() {
    const Nanoseconds time = now();
    while (!timers_.empty() && timers_.top().due <= time) {
        enqueue(timers_.top().waiter);
        timers_.pop();
    }
}

void PlainLoop::wake_sleepers() {
    for (; !timers_.empty(); timers_.pop()) enqueue(timers_.top().waiter);
}

void PlainLoop::start_timer(Nanoseconds duration, std::coroutine_handle<> waiter) {
    timers_.push({now() + duration, timer_sequence_++, waiter});
}

// A thread each: work is rare where this loop is used.
void PlainLoop::start_work(std::function<void()> work, std::coroutine_handle<> waiter) {
    ++working_;
    std::thread([this, work = std::move(work), waiter] {
        work();
        post([this, waiter] {
            --working_;
            enqueue(waiter);
        });
    }).detach();
}

}  // namespace exshadow
