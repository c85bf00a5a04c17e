#include "runtime/real_loop.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <thread>
#include <utility>

#include "runtime/real_file.h"

namespace exshadow {

namespace {

std::atomic<std::uint64_t> forks{0};
[[maybe_unused]] const int fork_hook =
    ::pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });

Nanoseconds read_clock(clockid_t clock) {
    struct timespec time {};
    ::clock_gettime(clock, &time);
    return time.tv_sec * second_ns + time.tv_nsec;
}

std::size_t copier_threads() {
    return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 2);
}

}  // namespace

std::uint64_t fork_generation() {
    return forks.load(std::memory_order_relaxed);
}

RealLoop::RealLoop() : generation_(fork_generation()), event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    EXSHADOW_CHECK(event_.valid());
    copiers_ = make_pool(*this, copier_threads());
}

RealLoop::~RealLoop() {
    // In a forked child the workers do not exist: joining them would never end.
    if (!usable()) static_cast<void>(copiers_.release());
}

std::unique_ptr<WorkerPool> RealLoop::make_pool(RealLoop& loop, std::size_t thread_limit) {
    return std::make_unique<WorkerPool>(thread_limit,
                                        [&loop](WorkItem& item) { loop.answered_remotely(item); });
}

Nanoseconds RealLoop::now() const {
    return read_clock(CLOCK_MONOTONIC);
}
std::int64_t RealLoop::wall_clock_ns() const {
    return read_clock(CLOCK_REALTIME);
}
Uuid RealLoop::new_uuid() {
    return Uuid::random();
}

Result<std::unique_ptr<File>> RealLoop::open(const std::string& path, const OpenOptions& options) {
    if (!usable()) return Error(Code::closed, "the engine belongs to the parent process");
    auto opened = open_posix_file(path, options);
    if (!opened.ok()) return opened.error();
    return std::unique_ptr<File>(
        std::make_unique<RealFile>(*this, std::move(*opened), options.lock == FileLock::exclusive));
}

void RealLoop::run() {
    EXSHADOW_CHECK(usable());
    const Scope scope(*this);
    enter();
    for (;;) {
        take_inbox();
        resume_ready();
        fire_timers();
        if (!ready_.empty()) {
            wait(0);
        } else if (prepare_to_block()) {
            wait(time_to_next_timer());
        } else {
            const std::lock_guard lock(mutex_);
            if (stopping_ && posted_.empty() && answered_.empty()) {
                stopping_ = false;
                break;
            }
        }
    }
    leave();
}

void RealLoop::stop() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake();
}

void RealLoop::post(std::function<void()> function) {
    if (!usable()) return;  // a forked child talks to nobody (E34)
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(function));
    wake();
}

void RealLoop::answered_remotely(WorkItem& item) {
    // The operation's waiter is not read here: the loop's thread may be about to set it.
    const std::lock_guard lock(mutex_);
    answered_.push_back({item.operation, item.waiter});
    wake();
}

// With mutex_ held. One write per sleep: the first to arrive clears the flag.
void RealLoop::wake() {
    if (!std::exchange(blocking_, false)) return;
    const std::uint64_t one = 1;
    EXSHADOW_CHECK(::write(event_.get(), &one, sizeof one) == sizeof one);
}

void RealLoop::clear_event() const {
    std::uint64_t count = 0;
    const auto answer = ::read(event_.get(), &count, sizeof count);
    EXSHADOW_CHECK(answer == sizeof count || errno == EAGAIN || errno == EINTR);
}

// True when the thread may block: nothing to do, and either not stopping or I/O is still in flight.
bool RealLoop::prepare_to_block() {
    const std::lock_guard lock(mutex_);
    if (!posted_.empty() || !answered_.empty()) return false;
    if (stopping_ && in_flight_ == 0) return false;
    blocking_ = true;
    return true;
}

void RealLoop::take_inbox() {
    std::vector<std::function<void()>> posted;
    std::vector<Answer> answered;
    {
        const std::lock_guard lock(mutex_);
        blocking_ = false;
        if (posted_.empty() && answered_.empty()) return;
        posted.swap(posted_);
        answered.swap(answered_);
    }
    for (const Answer& answer : answered) {
        operation_done(answer.operation != nullptr ? answer.operation->waiter : answer.waiter);
    }
    for (auto& function : posted) {
        function();
        function = nullptr;
    }
}

void RealLoop::resume_ready() {
    // Only what was ready at the start: what it makes ready runs after the next submission.
    for (std::size_t count = ready_.size(); count != 0; --count) {
        const auto waiter = ready_.front();
        ready_.pop_front();
        waiter.resume();
    }
}

void RealLoop::fire_timers() {
    if (timers_.empty()) return;
    const Nanoseconds time = now();
    while (!timers_.empty() && timers_.top().due <= time) {
        enqueue(timers_.top().waiter);
        timers_.pop();
    }
}

void RealLoop::wake_sleepers() {
    for (; !timers_.empty(); timers_.pop()) enqueue(timers_.top().waiter);
}

std::optional<Nanoseconds> RealLoop::time_to_next_timer() const {
    if (timers_.empty()) return std::nullopt;
    return std::max<Nanoseconds>(timers_.top().due - now(), 0);
}

void RealLoop::start_timer(Nanoseconds duration, std::coroutine_handle<> waiter) {
    timers_.push({now() + duration, timer_sequence_++, waiter});
}

void RealLoop::start_work(std::function<void()> work, std::coroutine_handle<> waiter) {
    operation_started();
    copiers_->add({-1, nullptr, std::move(work), waiter});
}

void RealLoop::start_copy(int fd, FileOperation& operation) {
    operation_started();
    copiers_->add({fd, &operation, {}, {}});
}

}  // namespace exshadow
