#include <doctest/doctest.h>

#include <vector>

#include "cpp/runtime/run_on.h"

namespace exshadow {
namespace {

using test::run_on;

std::unique_ptr<Loop> any_loop() {
    auto loop = make_loop();
    REQUIRE(loop.ok());
    return std::move(*loop);
}

Task<void> take_and_hold(Loop& loop, Semaphore& semaphore, std::uint64_t count, int name,
                         std::vector<int>& order) {
    co_await semaphore.acquire(count);
    order.push_back(name);
    co_await loop.sleep(millisecond_ns);
    semaphore.release(count);
}

Task<void> contend(Loop& loop, std::vector<int>& order) {
    Semaphore semaphore(loop, 10);
    TaskGroup group(loop);
    group.spawn(take_and_hold(loop, semaphore, 6, 1, order));
    group.spawn(take_and_hold(loop, semaphore, 6, 2, order));
    group.spawn(take_and_hold(loop, semaphore, 1, 3, order));    // fits, but does not overtake
    group.spawn(take_and_hold(loop, semaphore, 100, 4, order));  // more than there is: all of it
    co_await group.wait();
    CHECK(semaphore.available() == 10);
}

TEST_CASE("a_semaphore_is_fair_and_serves_requests_larger_than_itself") {
    const auto loop = any_loop();
    std::vector<int> order;
    run_on(*loop, contend(*loop, order));
    CHECK(order == std::vector<int>{1, 2, 3, 4});
}

Task<void> increment_slowly(Loop& loop, Mutex& mutex, int& value) {
    const auto guard = co_await mutex.lock();
    const int seen = value;
    co_await loop.yield();
    value = seen + 1;
}

Task<void> many_increments(Loop& loop, int& value) {
    Mutex mutex(loop);
    TaskGroup group(loop);
    for (int i = 0; i < 100; ++i) group.spawn(increment_slowly(loop, mutex, value));
    co_await group.wait();
}

TEST_CASE("a_mutex_holds_across_suspensions") {
    const auto loop = any_loop();
    int value = 0;
    run_on(*loop, many_increments(*loop, value));
    CHECK(value == 100);
}

Task<void> wait_for(Signal& signal, bool& condition, int& woken) {
    while (!condition) co_await signal.wait();
    ++woken;
}

Task<void> notify_all(Loop& loop, int& woken) {
    Signal signal(loop);
    bool condition = false;
    TaskGroup group(loop);
    for (int i = 0; i < 5; ++i) group.spawn(wait_for(signal, condition, woken));
    signal.notify();  // the condition does not hold: all wait again
    co_await loop.yield();
    CHECK(woken == 0);
    CHECK(group.running() == 5);
    condition = true;
    signal.notify();
    CHECK(woken == 0);  // nothing is resumed inside notify (E30)
    co_await group.wait();
}

TEST_CASE("a_signal_wakes_all_who_wait_through_the_queue") {
    const auto loop = any_loop();
    int woken = 0;
    run_on(*loop, notify_all(*loop, woken));
    CHECK(woken == 5);
}

Task<void> empty_group(Loop& loop) {
    TaskGroup group(loop);
    co_await group.wait();
    CHECK(group.running() == 0);
}

TEST_CASE("waiting_for_an_empty_group_is_immediate") {
    const auto loop = any_loop();
    run_on(*loop, empty_group(*loop));
}

}  // namespace
}  // namespace exshadow
