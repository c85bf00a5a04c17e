// The reference model: what each sector of a volume may hold, by what clients were told.
//
// Time is one counter over all volumes: every call and every answer takes the next number. Of each
// sector the model keeps the writes that may still be seen:
//   hidden      from this moment on no read may answer it: a later write was answered, or a read saw one
//   superseded  a write that certainly came later was answered; it survives only as unflushed data may
//   dead        that later write was flushed: nothing brings this one back
// Writes whose calls and answers overlap may have happened in either order. A restore or a promotion is
// one write of the whole volume.
#pragma once

#include <cstdint>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/units.h"
#include "sim/blocks.h"

namespace exshadow::sim {

using Time = std::uint64_t;
inline constexpr Time never = std::numeric_limits<Time>::max();

struct Clock {
    Time now = 0;
    Time tick() { return ++now; }
};

using OperationId = std::uint32_t;

// Evidence about one split, over all its volumes: a cut between the latest write that is in it and the
// earliest answer to one that is not.
struct Cut {
    Time begin = 0;    // the call
    Time end = never;  // its answer
    Time latest_in = 0;
    Time earliest_out = never;

    // Empty, or why there is no such cut.
    [[nodiscard]] std::string problem() const;
};

enum class Survival : std::uint8_t {
    closed,        // nothing is lost
    process_kill,  // what was answered survives, what was under way may
    power_cut,     // what was flushed survives, anything written since may
};

class History {
public:
    History(Clock& clock, std::uint64_t sectors) : clock_(clock), sectors_(sectors) {}

    // All is settled and durable: each sector holds exactly this.
    void settle(std::span<const Value> content);

    // `values`: one a sector of `range` (sectors), or a single one for all.
    [[nodiscard]] OperationId begin_write(Range range, std::span<const Value> values);
    enum class Result : std::uint8_t { done, durable, failed, unknown, not_tried };
    void end_write(OperationId id, Result result);

    // From begin_look() to end_look() whatever might be seen since is remembered: for reads and splits.
    [[nodiscard]] Time begin_look();
    void end_look(Time begin);
    // The answer of a read that began at `begin`. Empty, or what is wrong with it.
    [[nodiscard]] std::string check_read(Time begin, std::uint64_t first_sector,
                                         std::span<const Value> values);

    [[nodiscard]] Time begin_flush() { return clock_.tick(); }
    void end_flush(Time begin);

    // Lost unflushed data may show before the crash: the last plex failed a flush.
    void set_loose(bool loose) { loose_ = loose; }
    [[nodiscard]] bool is_loose() const { return loose_; }
    // What a volume may hold when it is opened again. `without`: that operation had no effect.
    [[nodiscard]] std::string check_survival(Survival survival, std::span<const Value> content,
                                             OperationId without = no_operation) const;
    // Whether everything is as `operation`, a write of the whole volume, or later ones put it.
    [[nodiscard]] bool is_replaced_by(OperationId operation, std::span<const Value> content) const;
    // Collects what `content`, the copy of a split between cut.begin and cut.end, proves.
    [[nodiscard]] std::string check_cut(Cut& cut, std::span<const Value> content) const;

    // The value of a sector when there is no doubt about it since `before`, else garbage.
    [[nodiscard]] Value certain(std::uint64_t sector, Time before) const;
    [[nodiscard]] std::uint64_t sectors() const { return sectors_.size(); }
    [[nodiscard]] std::string describe(std::uint64_t sector) const;

    static constexpr OperationId no_operation = ~OperationId{0};

private:
    struct Operation {
        Range range;
        Time begin = 0;
        Time end = never;
        bool done = false;
        bool failed = false;
    };
    struct Entry {
        Value value = zeroes;
        OperationId operation = 0;
        Time observed = never;
        Time hidden = never;
        Time superseded = never;
        bool dead = false;
    };
    using Entries = std::vector<Entry>;

    [[nodiscard]] Time effective(const Entry& entry) const;
    [[nodiscard]] bool precedes(const Entry& entry, Time begin) const { return effective(entry) < begin; }
    void forget(std::uint64_t sector);
    [[nodiscard]] bool survives(const Entry& entry, Survival survival) const;
    [[nodiscard]] std::string wrong(const char* what, std::uint64_t sector, Value value) const;

    Clock& clock_;
    std::vector<Entries> sectors_;
    std::vector<Operation> operations_;
    std::set<std::uint64_t> doubtful_;  // sectors with more than one entry
    std::multiset<Time> looks_;
    bool loose_ = false;
};

}  // namespace exshadow::sim
