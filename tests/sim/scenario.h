// One seeded history of the real engine on a simulated machine, checked against the model (E35-E37).
//
// A history is a chain of lives: open (after a clean close, a kill or a power cut, with plexes missing or
// metadata zeroed), check everything, clients and an operator at work under that life's faults, then a
// close or a crash at a random operation, often right after something delicate. The last life has no
// faults and brings every plex back. One seed is one history, exactly.
//
// Rooms: scenario.cpp lives; weather.cpp faults; clients.cpp; operator.cpp, jobs.cpp and instant.cpp what is
// asked of the engine; checks.cpp what must hold when nothing is under way.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/sim_loop.h"
#include "runtime/sim_world.h"
#include "runtime/sync.h"
#include "sim/model.h"
#include "volume/group.h"
#include "volume/volume.h"

namespace exshadow::sim {

struct SnapshotModel {
    std::string label;
    std::string plex;  // label of the plex it lives on
    std::string path;
    std::vector<Value> content;
    bool leaving = false;  // an operation that ends it was begun: may be gone
    bool kept = false;     // a member of its set may not know that it is committed
    bool touched = false;  // written to behind the engine's back: only resync is possible
};

// How a volume's disks behave during one life.
enum class Weather : std::uint8_t {
    calm,
    one_bad_plex,  // one member has faults, the others none: no client may notice (guarantee 7)
    all_plexes,    // any may fail, the last one too (E4)
    metadata,      // the volume file cannot be written any more at some moment (E20)
    no_space,      // the volume file cannot grow
};

// A restore or promotion under way: all of the volume becomes `content`, or nothing does.
struct Swap {
    OperationId operation = History::no_operation;
    std::string label;
    bool promotion = false;
    bool moved_before = false;  // an instant restore was under way already
    std::uint64_t set = 0;      // the same for all volumes that are restored instantly together; 0: none
};

// Volumes of one instant restore for which only one outcome is possible.
struct SwapOutcome {
    std::uint32_t done = 0;
    std::uint32_t undone = 0;
};

struct Subject {
    Subject(Clock& clock, std::uint64_t bytes) : size(bytes), history(clock, bytes / sector_bytes) {}

    std::uint32_t id = 0;
    std::string name;
    std::string path;
    const std::uint64_t size;
    std::unique_ptr<Volume> volume;
    History history;
    std::map<std::string, SnapshotModel> snapshots;  // by label
    std::optional<Swap> swap;
    Weather weather = Weather::calm;
    std::string bad_plex;     // path, in Weather::one_bad_plex
    bool redirected = false;  // in this life an instant restore moves, or may
    bool lost_log = false;    // zeroed, and not opened since
    std::uint32_t plexes_made = 0;
    std::uint32_t busy = 0;  // jobs of the operator that run beside it
    std::uint32_t clients_inside = 0;
    std::vector<Range> being_written;  // by clients, now

    [[nodiscard]] const PlexRecord* find(const std::string& label) const;
    [[nodiscard]] bool is_member(const std::string& label) const;
    [[nodiscard]] std::string plex_path(const std::string& label) const;
};

// How splits are made: in one go, or armed and turned later as VSS's provider does (SplitGate).
enum class Splits : std::uint8_t { at_once, armed };

class Simulation {
public:
    Simulation(std::uint64_t seed, Order off, std::FILE* log = nullptr, Splits splits = Splits::at_once);
    // Empty, or what went wrong. After a failure the object must not be destroyed (hung tasks refer to it).
    [[nodiscard]] std::string run();
    [[nodiscard]] std::uint64_t trace() const { return trace_; }
    [[nodiscard]] std::uint64_t operations() const { return operations_; }

private:
    // scenario.cpp
    void make_subject(std::uint32_t id);
    bool run_life(bool last);
    Task<void> live();
    Task<void> open_all();
    Task<void> create(Subject& subject);
    Task<void> open(Subject& subject);
    Task<void> work();
    Task<void> close_all();
    void plan_crash();
    void crash_by_power_cut();
    void after_crash();
    void fail(const std::string& text);
    void note(const std::string& text);
    [[nodiscard]] bool over() const { return loop_->crashed() || !failure_.empty(); }
    // Something delicate has just happened: often the machine stops within the next operations.
    void delicate(double probability = 0.1, std::uint64_t within = 40);
    Task<void> sleep_a_while(Nanoseconds most);

    // weather.cpp
    [[nodiscard]] std::vector<std::string> plex_files(const Subject& subject) const;
    void draw_weather(Subject& subject);
    void bad_plex_weather(Subject& subject);
    void clear_weather();
    bool break_metadata(Subject& subject);
    void hide_plexes(Subject& subject);
    [[nodiscard]] bool error_is_fair(const Subject& subject, const Error& error) const;

    // clients.cpp
    Task<void> client(Subject& subject, std::uint64_t seed);
    Task<void> do_write(Subject& subject, SimRandom& random);
    Task<void> do_zero(Subject& subject, SimRandom& random);
    Task<void> do_read(Subject& subject, Range range);
    Task<void> do_stare(Subject& subject, SimRandom& random);
    Task<void> do_flush(Subject& subject);
    Task<void> do_read_snapshot(Subject& subject, SimRandom& random);
    void end_write(Subject& subject, OperationId operation, const Status& status, bool durable);
    [[nodiscard]] Range pick_range(const Subject& subject, SimRandom& random, std::uint64_t most) const;

    // operator.cpp
    Task<void> operate(std::uint64_t seed);
    Task<void> add_plex(Subject& subject);
    Task<void> split_some(SimRandom& random);
    Task<void> turn_later(std::shared_ptr<SplitGate> gate, std::shared_ptr<bool> given_up);
    void learn_split(Cut& cut, const std::vector<Subject*>& subjects, const std::string& label);
    Task<void> delete_one(Subject& subject);
    Task<void> resync_one(Subject& subject);
    Task<void> restore_one(Subject& subject);
    Task<void> continue_restore(Subject& subject);
    Task<void> promote_one(Subject& subject);
    Task<void> remove_one(Subject& subject);
    Task<void> touch_one(Subject& subject);
    Task<void> quiet_check();
    void end_swap(Subject& subject, const Status& status);
    void end_leaving(Subject& subject, const std::string& label);
    void expect(const Subject& subject, const Status& status, const char* what);

    // instant.cpp
    Task<void> restore_instantly(SimRandom& random);
    Task<void> crash_in_commit(std::vector<Subject*> members, std::shared_ptr<bool> finished);
    Task<void> move_job(Subject& subject);
    [[nodiscard]] std::vector<Value> production(const Subject& subject) const;
    [[nodiscard]] std::vector<Value> durable_production(const Subject& subject) const;
    [[nodiscard]] Survival survival_of(const Subject& subject) const;
    void check_restored_sets(const std::map<std::uint64_t, SwapOutcome>& outcomes);

    // jobs.cpp
    Task<void> sync_one(Subject& subject, std::string label);
    Task<void> sync_job(Subject& subject, std::string label);
    Task<void> verify_one(Subject& subject);
    Task<void> finish();
    Task<void> finish_one(Subject& subject);
    Task<void> cancel_later(std::shared_ptr<Job> job, Nanoseconds delay, std::shared_ptr<bool> finished);
    void maybe_cancel(const std::shared_ptr<Job>& job, const std::shared_ptr<bool>& finished);
    Task<void> resync_job(Subject& subject, std::string label);
    [[nodiscard]] bool may_leave(const Subject& subject, const std::string& label) const;
    [[nodiscard]] SnapshotModel* pick_snapshot(Subject& subject);

    // checks.cpp
    [[nodiscard]] std::vector<Value> content(const Subject& subject, const std::string& path) const;
    void check_members(const Subject& subject);
    void check_after_open();
    void settle(Subject& subject, std::map<std::uint64_t, SwapOutcome>& outcomes);
    void check_sets();
    void check_snapshots(Subject& subject);
    Task<void> check_changed(Subject& subject);
    Task<void> check_changed_live(Subject& subject, std::string label);
    void check_covered(const Subject& subject, const Ranges& changed, const std::vector<Value>& a,
                       const std::vector<Value>& b, const std::string& what);

    const std::uint64_t seed_;
    const Order off_;
    std::FILE* const log_;
    const Splits how_to_split_;
    SimRandom random_;
    Clock clock_;
    SimWorld world_;
    std::unique_ptr<SimLoop> loop_;
    std::unique_ptr<TaskGroup> beside_;  // jobs beside the operator
    std::vector<std::unique_ptr<Subject>> subjects_;
    VolumeOptions options_;
    std::uint64_t block_ = 512;  // granularity of client requests
    std::uint32_t client_count_ = 2;
    std::uint32_t client_steps_ = 40;
    Value next_value_ = 1;
    std::uint32_t life_ = 0;
    std::uint32_t splits_ = 0;
    std::uint64_t swaps_ = 0;  // instant restores
    bool last_ = false;
    bool crashes_ = false;  // this life ends by a crash, if it comes to it
    CrashKind crash_kind_ = CrashKind::power_cut;
    std::uint64_t planned_crash_ = 0;  // at this operation
    bool quiet_ = false;               // clients wait
    bool working_ = false;
    Survival survival_ = Survival::closed;
    std::map<std::string, Cut> open_splits_;  // by label: begun, not answered
    std::map<std::string, std::vector<Subject*>> split_members_;
    std::string failure_;
    std::uint64_t trace_ = 0;
    std::uint64_t operations_ = 0;
};

}  // namespace exshadow::sim
