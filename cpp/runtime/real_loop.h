// RealLoop: what uring_loop and pool_loop have in common: the run queue, timers, messages from other
// threads, worker pools and real files. The two differ in how an operation that may wait for a disk is
// issued (start_device_io) and how the thread sleeps (wait).
//
// One turn of run(): messages and answers from other threads, everything that was ready at the turn's
// start, timers that fell due, one submission of what was prepared; it blocks only when nothing is ready.
//
// Operations in flight are waited for before run() returns after stop(), and their waiters are resumed;
// sleepers are not. So a Loop may be destroyed after run() returned: no buffer is in use (E32).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "runtime/loop.h"
#include "runtime/posix_file.h"
#include "runtime/socket.h"
#include "runtime/worker_pool.h"

namespace exshadow {

// How many times this process was forked away from its ancestors since it loaded us.
[[nodiscard]] std::uint64_t fork_generation();

class RealLoop : public Loop {
public:
    ~RealLoop() override;

    [[nodiscard]] Nanoseconds now() const override;
    [[nodiscard]] std::int64_t wall_clock_ns() const override;
    [[nodiscard]] Uuid new_uuid() override;
    [[nodiscard]] Result<std::unique_ptr<File>> open(const std::string& path,
                                                     const OpenOptions& options) override;
    void run() override;
    void stop() override;
    void post(std::function<void()> function) override;
    void wake_sleepers() override;
    [[nodiscard]] bool usable() const override { return generation_ == fork_generation(); }

    // For RealFile. The copying pool has as many threads as help a memcpy (at most 2); device I/O is
    // whatever may wait for a disk. Both answer later, through the run queue.
    void start_copy(int fd, FileOperation& operation);
    virtual void start_device_io(int fd, FileOperation& operation) = 0;

    // For Socket. Whether a receive is tried on the spot before the loop waits for it; what could not be
    // done on the spot and answers later; the descriptor is about to be closed or to leave this loop.
    [[nodiscard]] virtual bool tries_sockets_first() const = 0;
    virtual void start_socket_io(int fd, SocketOperation& operation) = 0;
    virtual void forget_socket(int fd) = 0;

protected:
    RealLoop();

    // Submit what is prepared and enqueue what is done; block until something may be ready, the event
    // descriptor is readable, or `timeout` (none: for ever; 0: do not block) has passed.
    virtual void wait(std::optional<Nanoseconds> timeout) = 0;
    virtual void enter() {}  // run() begins and ends on this thread
    virtual void leave() {}

    [[nodiscard]] int event_fd() const { return event_.get(); }
    void clear_event() const;
    void answered_remotely(WorkItem& item);  // any thread
    void operation_started() { ++in_flight_; }
    void operation_done(std::coroutine_handle<> waiter) {
        --in_flight_;
        enqueue(waiter);
    }
    [[nodiscard]] std::uint64_t in_flight() const { return in_flight_; }

    void start_timer(Nanoseconds duration, std::coroutine_handle<> waiter) override;
    void start_work(std::function<void()> work, std::coroutine_handle<> waiter) override;

    [[nodiscard]] static std::unique_ptr<WorkerPool> make_pool(RealLoop& loop, std::size_t thread_limit);

private:
    struct Timer {
        Nanoseconds due;
        std::uint64_t sequence;  // equal times fire in the order they were set
        std::coroutine_handle<> waiter;
        [[nodiscard]] bool operator>(const Timer& other) const {
            return due != other.due ? due > other.due : sequence > other.sequence;
        }
    };

    struct Answer {
        FileOperation* operation;  // or null: then `waiter`
        std::coroutine_handle<> waiter;
    };

    void take_inbox();
    void resume_ready();
    void fire_timers();
    [[nodiscard]] bool prepare_to_block();
    void wake();
    [[nodiscard]] std::optional<Nanoseconds> time_to_next_timer() const;

    const std::uint64_t generation_;
    Descriptor event_;

    std::mutex mutex_;
    std::vector<std::function<void()>> posted_;  // guarded by mutex_
    std::vector<Answer> answered_;               // guarded by mutex_
    bool blocking_ = false;                      // guarded by mutex_: a wake-up is needed
    bool stopping_ = false;                      // guarded by mutex_

    std::uint64_t in_flight_ = 0;
    std::uint64_t timer_sequence_ = 0;
    std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
    std::unique_ptr<WorkerPool> copiers_;
};

}  // namespace exshadow
