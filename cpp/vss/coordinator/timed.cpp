#include "vss/coordinator/timed.h"

namespace exshadow::vss {

Alarms::Alarm::Alarm(Alarms& alarms, Nanoseconds due, Signal& signal)
    : alarms_(alarms), place_(alarms.set_.emplace(due, &signal)) {
    alarms_.see_to_a_sleeper(due);
}

// One sleeper wakes no later than `due`.
void Alarms::see_to_a_sleeper(Nanoseconds due) {
    if (closing_ || due == never || (!sleeping_.empty() && *sleeping_.begin() <= due)) return;
    sleepers_.spawn(sleep_until(due));
}

Task<void> Alarms::sleep_until(Nanoseconds due) {
    const auto place = sleeping_.insert(due);
    // At least one trip through the loop: whoever set the alarm is not waiting yet. And whoever closes
    // something on this loop wakes all sleepers: look again.
    do {
        co_await loop_.sleep(std::max<Nanoseconds>(due - loop_.now(), 1));
    } while (!closing_ && !set_.empty() && loop_.now() < due);
    sleeping_.erase(place);
    const auto later = set_.upper_bound(loop_.now());
    for (auto at = set_.begin(); at != later; ++at) at->second->notify();
    if (later != set_.end()) see_to_a_sleeper(later->first);
}

Task<void> Alarms::close() {
    EXSHADOW_CHECK(set_.empty());
    closing_ = true;
    loop_.wake_sleepers();
    co_await sleepers_.wait();
}

}  // namespace exshadow::vss
