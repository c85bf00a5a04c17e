// SimLoop: the engine's loop on virtual time, with a seeded scheduler over a SimWorld. One seed is one
// history: the same seed, world and code give the same trace_hash().
//
// Ready coroutines run in random order (or in the loop's own order, for some seeds); completions come
// after random virtual latencies and so overtake each other; offloaded work runs at a random moment;
// every step costs a little virtual time. run() returns when stop() was called or when nothing can
// happen any more (operations on held files wait for release()).
//
// Crash: at the N-th operation (crash_at) or now (crash) the machine loses power or the process is
// killed. Operations in flight land, land in part or not; the world forgets what a crash forgets, at
// that instant; from then on every pending and new operation answers -ECANCELED without effect, timers
// fire at once, and so the engine unwinds by itself (E32). The test then drops engine and loop and
// opens again with a new SimLoop on the same world.
#pragma once

#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/file.h"
#include "runtime/loop.h"
#include "runtime/sim_random.h"
#include "runtime/sim_world.h"
#include "runtime/task.h"

namespace exshadow {

class SimFile;

enum class CrashKind : std::uint8_t { power_cut, process_kill };

enum class SimSchedule : std::uint8_t { seeded, in_order, random };  // seeded: the seed picks one

class SimLoop final : public Loop {
public:
    SimLoop(SimWorld& world, std::uint64_t seed, SimSchedule schedule = SimSchedule::seeded);
    ~SimLoop() override;

    [[nodiscard]] const char* name() const override { return "simulation"; }
    [[nodiscard]] Nanoseconds now() const override { return world_.now(); }
    [[nodiscard]] std::int64_t wall_clock_ns() const override { return world_.wall_clock_ns(); }
    [[nodiscard]] Uuid new_uuid() override;
    [[nodiscard]] Result<std::unique_ptr<File>> open(const std::string& path,
                                                     const OpenOptions& options) override;
    void run() override;
    void stop() override { stopping_ = true; }
    void wake_sleepers() override;
    void post(std::function<void()> function) override { posted_.push_back(std::move(function)); }

    // Run `task` to its end. False: it hangs (nothing can happen any more, or too many steps); its
    // frames are then left as they are, and so must be everything they refer to. Not nested.
    [[nodiscard]] bool run_task(Task<void> task);

    void crash_at(std::uint64_t operation_count, CrashKind kind = CrashKind::power_cut);
    void crash(CrashKind kind = CrashKind::power_cut);
    [[nodiscard]] bool crashed() const { return crashed_; }
    // Called from run() once after a crash: to stop what has only timers to notice it by.
    void on_crash(std::function<void()> function) { on_crash_ = std::move(function); }

    // Operations on `path` (of one kind, when given) are not answered, and take no effect that they
    // have not had, until release(). A crash releases everything.
    void hold(const std::string& path, std::optional<FileOperation::Kind> kind = {});
    void release(const std::string& path);

    [[nodiscard]] std::uint64_t operations() const { return operations_; }  // started so far
    [[nodiscard]] std::uint64_t in_flight() const { return in_flight_; }
    [[nodiscard]] std::uint64_t trace_hash() const { return trace_; }
    [[nodiscard]] bool hung() const { return hung_; }
    void set_step_limit(std::uint64_t steps) { step_limit_ = steps; }
    void set_log(std::FILE* log) { log_ = log; }  // one line an event, to look into a seed
    [[nodiscard]] SimWorld& world() { return world_; }
    [[nodiscard]] SimRandom& random() { return random_; }

    // For SimFile.
    [[nodiscard]] bool start_operation(SimFile& file, FileOperation& operation, int refused);
    enum class Verb : std::uint8_t { go, crash_before, crash_after, dead };
    [[nodiscard]] Verb begin_verb();  // a synchronous operation: whether it crashes the machine
    void crash_as_planned() { crash(crash_kind_); }

protected:
    void start_timer(Nanoseconds duration, std::coroutine_handle<> waiter) override;
    void start_work(std::function<void()> work, std::coroutine_handle<> waiter) override;

private:
    struct Event {
        enum class Kind : std::uint8_t { operation, timer, work };
        Kind kind = Kind::timer;
        bool performed = false;  // operation->result is set
        SimFile* file = nullptr;
        FileOperation* operation = nullptr;
        SimPlan plan;
        std::function<void()> work;
        std::coroutine_handle<> waiter;
    };
    using When = std::pair<Nanoseconds, std::uint64_t>;  // moment, tie-break

    bool step();
    void resume_one();
    void fire_first();
    void finish(Event& event);
    [[nodiscard]] bool is_held(const Event& event) const;
    void schedule(Nanoseconds delay, Event event);
    void trace(const char* what, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::int64_t result);

    SimWorld& world_;
    SimRandom random_;
    bool in_order_;
    std::multimap<When, Event> events_;
    std::vector<Event> held_;
    std::deque<std::function<void()>> posted_;
    std::function<void()> on_crash_;
    std::uint64_t next_order_ = 0;
    std::uint64_t operations_ = 0;
    std::uint64_t in_flight_ = 0;
    std::uint64_t crash_at_ = 0;  // 0: never
    CrashKind crash_kind_ = CrashKind::power_cut;
    std::uint64_t steps_ = 0;
    std::uint64_t step_limit_ = 20'000'000;
    std::uint64_t trace_ = 0;
    std::FILE* log_ = nullptr;
    bool stopping_ = false;
    bool crashed_ = false;
    bool hung_ = false;
};

}  // namespace exshadow
