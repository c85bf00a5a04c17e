// Waiting with limits, for one session: calls of writers and providers are started side by side and waited
// for until each has answered, is late, or the session is told to stop. A call that did not answer in time
// runs on by itself and its answer goes nowhere.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "runtime/loop.h"
#include "runtime/sync.h"
#include "runtime/task.h"

namespace exshadow::vss {

inline constexpr Nanoseconds never = INT64_MAX;

// Notifies signals at moments; what is no longer waited for costs nothing but a sleeper that ends by itself.
class Alarms {
public:
    explicit Alarms(Loop& loop) : loop_(loop), sleepers_(loop) {}

    // One signal at one moment, for as long as this object lives.
    class [[nodiscard]] Alarm {
    public:
        Alarm(Alarms& alarms, Nanoseconds due, Signal& signal);
        Alarm(const Alarm&) = delete;
        Alarm& operator=(const Alarm&) = delete;
        ~Alarm() { alarms_.set_.erase(place_); }

    private:
        Alarms& alarms_;
        std::multimap<Nanoseconds, Signal*>::iterator place_;
    };

    Task<void> close();  // no Alarm may be left

private:
    Task<void> sleep_until(Nanoseconds due);
    void see_to_a_sleeper(Nanoseconds due);

    Loop& loop_;
    std::multimap<Nanoseconds, Signal*> set_;
    std::multiset<Nanoseconds> sleeping_;
    TaskGroup sleepers_;
    bool closing_ = false;
};

// What one session waits by. Shared with the calls it has started, which may outlive it.
struct Hub {
    Hub(Loop& the_loop, Alarms& the_alarms) : loop(the_loop), alarms(the_alarms), changed(the_loop) {}
    Loop& loop;
    Alarms& alarms;  // not used by calls
    Signal changed;
    bool stop = false;

    void ask_to_stop() {
        stop = true;
        changed.notify();
    }
};
using HubPtr = std::shared_ptr<Hub>;

enum class Stoppable : bool { no, yes };
enum class Until : std::uint8_t { all, first_late };

template <class R>
class CallGroup {
public:
    explicit CallGroup(HubPtr hub) : hub_(std::move(hub)) {}

    // Starts now. `owner` is kept until the call has returned.
    void start(Task<R> task, std::shared_ptr<void> owner, Nanoseconds due) {
        calls_.push_back({std::make_shared<std::optional<R>>(), due, false});
        spawn(carry(hub_, calls_.back().answer, std::move(task), std::move(owner)));
    }

    // Until every call has answered or is late (or the first is late), or the session is to stop.
    Task<void> wait(Stoppable stoppable, Until until = Until::all) {
        for (;;) {
            const Nanoseconds due = next_due();
            if (due == nothing_left) co_return;
            if (until == Until::first_late && any_late()) co_return;
            if (stoppable == Stoppable::yes && hub_->stop) co_return;
            const Alarms::Alarm alarm(hub_->alarms, due, hub_->changed);
            co_await hub_->changed.wait();
        }
    }

    [[nodiscard]] std::size_t size() const { return calls_.size(); }
    // Null: no answer in time. Whether it was late or was not waited for, late() says.
    [[nodiscard]] R* answer(std::size_t index) {
        auto& call = calls_[index];
        return call.answer->has_value() && !call.late ? &**call.answer : nullptr;
    }
    [[nodiscard]] bool late(std::size_t index) const { return calls_[index].late; }
    [[nodiscard]] bool any_late() const {
        return std::ranges::any_of(calls_, [](const Call& one) { return one.late; });
    }

private:
    static constexpr Nanoseconds nothing_left = -1;
    struct Call {
        std::shared_ptr<std::optional<R>> answer;
        Nanoseconds due;
        bool late;
    };

    static Task<void> carry(HubPtr hub, std::shared_ptr<std::optional<R>> answer, Task<R> task,
                            std::shared_ptr<void> owner) {
        auto result = co_await std::move(task);
        answer->emplace(std::move(result));
        hub->changed.notify();
        owner.reset();
    }

    // Marks what is late by now.
    [[nodiscard]] Nanoseconds next_due() {
        Nanoseconds earliest = nothing_left;
        for (auto& call : calls_) {
            if (call.answer->has_value() || call.late) continue;
            if (call.due <= hub_->loop.now()) {
                call.late = true;
            } else if (earliest == nothing_left || call.due < earliest) {
                earliest = call.due;
            }
        }
        return earliest;
    }

    HubPtr hub_;
    std::vector<Call> calls_;
};

}  // namespace exshadow::vss
