// RangeLock: keeps overlapping requests apart, first come first served (E9). Writes, zeroes and the
// copier take it; reads do not. A request gets its place when it is admitted and keeps it while it
// waits for the log or a map. Some tens of requests are under way, so lists beat trees. Loop only.
#pragma once

#include <coroutine>
#include <cstdint>

#include "base/units.h"
#include "runtime/loop.h"

namespace exshadow {

class RangeLock {
public:
    // One admitted request; lives in its coroutine's frame between admit() and release().
    struct Request {
        Range range;              // rounded to the largest plex block
        std::uint64_t epoch = 0;  // splits so far when it was admitted
        bool client = false;      // a client's write or zero: belongs to its epoch's snapshots (E22)
        bool unsettled = false;   // under way while the authority changed: readers wait for it (E3)
        std::uint32_t blockers = 0;
        std::coroutine_handle<> waiter;
        Request* previous = nullptr;
        Request* next = nullptr;
    };

    explicit RangeLock(Loop& loop) : loop_(loop) {}

    struct Awaiter {
        Request& request;
        [[nodiscard]] bool await_ready() const { return request.blockers == 0; }
        void await_suspend(std::coroutine_handle<> waiter) const { request.waiter = waiter; }
        void await_resume() const {}
    };
    // Takes its place at once; await the answer to hold the range.
    [[nodiscard]] Awaiter admit(Request& request);
    void release(Request& request);

    [[nodiscard]] Request* first() const { return first_; }
    [[nodiscard]] bool empty() const { return first_ == nullptr; }

private:
    Loop& loop_;
    Request* first_ = nullptr;
    Request* last_ = nullptr;
};

}  // namespace exshadow
