#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "cpp/runtime/run_on.h"

namespace exshadow {
namespace {

using test::loop_or_skip;
using test::run_on;

constexpr LoopKind kinds[] = {LoopKind::uring, LoopKind::pool};

template <class Test>
void on_both_loops(Test test) {
    for (const LoopKind kind : kinds) {
        const auto loop = loop_or_skip(kind);
        if (!loop) continue;
        CAPTURE(loop->name());
        test(*loop);
    }
}

Task<int> immediate(int value) {
    co_return value;
}

Task<void> await_a_million(std::int64_t& sum) {
    for (int i = 0; i < 1'000'000; ++i) sum += co_await immediate(1);
}

TEST_CASE("E30_a_million_synchronous_awaits_take_no_stack") {
    on_both_loops([](Loop& loop) {
        std::int64_t sum = 0;
        run_on(loop, await_a_million(sum));
        CHECK(sum == 1'000'000);
    });
}

Task<int> deep(Loop& loop, int levels) {
    if (levels == 0) {
        co_await loop.yield();
        co_return 0;
    }
    const int below = co_await deep(loop, levels - 1);
    co_return below + 1;
}

Task<void> await_deep(Loop& loop, int& depth) {
    depth = co_await deep(loop, 1000);
}

TEST_CASE("E30_a_deep_chain_of_resumptions_goes_through_the_queue") {
    on_both_loops([](Loop& loop) {
        int depth = 0;
        run_on(loop, await_deep(loop, depth));
        CHECK(depth == 1000);
    });
}

Task<void> sleep_and_note(Loop& loop, Nanoseconds duration, int name, std::vector<int>& order) {
    co_await loop.sleep(duration);
    order.push_back(name);
}

Task<void> three_sleepers(Loop& loop, std::vector<int>& order) {
    TaskGroup group(loop);
    group.spawn(sleep_and_note(loop, 20 * millisecond_ns, 2, order));
    group.spawn(sleep_and_note(loop, 40 * millisecond_ns, 3, order));
    group.spawn(sleep_and_note(loop, 2 * millisecond_ns, 1, order));
    group.spawn(sleep_and_note(loop, 0, 0, order));
    co_await group.wait();
}

TEST_CASE("timers_fire_in_order_and_not_early") {
    on_both_loops([](Loop& loop) {
        std::vector<int> order;
        const Nanoseconds begin = loop.now();
        run_on(loop, three_sleepers(loop, order));
        CHECK(order == std::vector<int>{0, 1, 2, 3});
        CHECK(loop.now() - begin >= 40 * millisecond_ns);
        CHECK(loop.now() - begin < 5 * second_ns);
    });
}

TEST_CASE("posts_from_other_threads_arrive_in_order_and_wake_the_loop") {
    on_both_loops([](Loop& loop) {
        std::vector<int> seen;
        std::thread poster([&loop, &seen] {
            for (int i = 0; i < 2000; ++i) {
                loop.post([&seen, i] { seen.push_back(i); });
                if (i % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
            }
            loop.stop();
        });
        loop.run();
        poster.join();
        REQUIRE(seen.size() == 2000);
        for (int i = 0; i < 2000; ++i) CHECK(seen[static_cast<std::size_t>(i)] == i);
    });
}

TEST_CASE("a_loop_runs_again_after_it_was_stopped") {
    on_both_loops([](Loop& loop) {
        int runs = 0;
        for (int i = 0; i < 3; ++i) {
            loop.post([&loop, &runs] {
                CHECK(Loop::current() == &loop);
                ++runs;
                loop.stop();
            });
            loop.run();
        }
        CHECK(runs == 3);
        CHECK(Loop::current() == nullptr);
    });
}

Task<void> offload_some(Loop& loop, std::thread::id loop_thread) {
    std::atomic<int> done{0};
    std::thread::id other;
    for (int i = 0; i < 100; ++i) {
        co_await loop.offload([&done, &other] {
            ++done;
            other = std::this_thread::get_id();
        });
        CHECK(std::this_thread::get_id() == loop_thread);
    }
    CHECK(done == 100);
    CHECK(other != loop_thread);
}

TEST_CASE("offloaded_work_runs_elsewhere_and_its_waiter_here") {
    on_both_loops([](Loop& loop) { run_on(loop, offload_some(loop, std::this_thread::get_id())); });
}

TEST_CASE("E34_a_forked_child_is_refused") {
    on_both_loops([](Loop& loop) {
        CHECK(loop.usable());
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            loop.post([] { ::_exit(9); });
            const bool refused = !loop.usable() && !loop.open("/dev/null", {}).ok();
            ::_exit(refused ? 0 : 1);
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 0);
        CHECK(loop.usable());
    });
}

TEST_CASE("the_environment_chooses_the_loop") {
    ::setenv("EXSHADOW_LOOP", "pool", 1);
    auto loop = make_loop();
    REQUIRE(loop.ok());
    CHECK(std::string((*loop)->name()) == "threads");
    ::setenv("EXSHADOW_LOOP", "nonsense", 1);
    const auto refused = make_loop();
    REQUIRE(!refused.ok());
    CHECK(refused.error().code() == Code::invalid);
    ::unsetenv("EXSHADOW_LOOP");
    CHECK(make_loop().ok());
}

}  // namespace
}  // namespace exshadow
