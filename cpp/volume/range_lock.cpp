#include "volume/range_lock.h"

namespace exshadow {

RangeLock::Awaiter RangeLock::admit(Request& request) {
    request.blockers = 0;
    for (const Request* other = first_; other != nullptr; other = other->next) {
        if (other->range.overlaps(request.range)) ++request.blockers;
    }
    request.previous = last_;
    request.next = nullptr;
    (last_ != nullptr ? last_->next : first_) = &request;
    last_ = &request;
    return {request};
}

void RangeLock::release(Request& request) {
    for (Request* later = request.next; later != nullptr; later = later->next) {
        if (!later->range.overlaps(request.range)) continue;
        if (--later->blockers == 0 && later->waiter) loop_.enqueue(std::exchange(later->waiter, nullptr));
    }
    (request.previous != nullptr ? request.previous->next : first_) = request.next;
    (request.next != nullptr ? request.next->previous : last_) = request.previous;
}

}  // namespace exshadow
