// Splitting volumes at one instant (E21-E24).
//
// prepare   every member: plex named, map slot of the next interval reserved, superblock durable
// turn      no suspension point from the first volume to the last: epochs bumped, leaving plexes out of
//           the write set, new intervals current. A write admitted before is in every snapshot, one
//           admitted after in none. Nothing is held.
// commit    every member: old writes landed, leaving plex flushed, closed maps durable, superblock `ready`
// announce  when all are ready; `committed` follows. Any failure before that rolls all members back.
//
// After a crash the set is decided when all its volumes are open on one loop (resolve_sets): committed if
// and only if every member says `ready` or `committed`. A member opened alone never decides.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/sync.h"
#include "volume/volume.h"

namespace exshadow {

// Lets a caller choose the moment of the turn, as VSS does while its writers are frozen: the split is
// prepared, waits, and turns when told to; what makes it durable comes after. Until then other changes of the
// volumes' structure wait, and so does closing them. Loop only.
class SplitGate {
public:
    explicit SplitGate(Loop& loop) : changed_(loop) {}

    // The caller's side. note_ended(): when split() has answered.
    void turn_now() { decide(Decision::turn); }
    void give_up() { decide(Decision::give_up); }  // too late after the turn
    // Until it is prepared, has turned or has ended, whatever came first.
    [[nodiscard]] Task<void> until_prepared();
    [[nodiscard]] Task<void> until_turned();
    [[nodiscard]] Task<void> until_ended();
    [[nodiscard]] bool has_turned() const { return turned_; }
    [[nodiscard]] bool has_ended() const { return ended_; }
    void note_ended();

    // The split's side.
    [[nodiscard]] Task<bool> wait_for_decision();  // false: given up
    void note_turned();

private:
    enum class Decision : std::uint8_t { none, turn, give_up };
    void decide(Decision decision);

    Decision decision_ = Decision::none;
    bool prepared_ = false;
    bool turned_ = false;
    bool ended_ = false;
    Signal changed_;
};

struct SplitRequest {
    std::vector<Volume*> volumes;  // of one loop, all different
    std::string label;
    std::map<std::string, std::string> plexes;  // volume name to plex label; else the newest that may go
    std::string consistency = "crash";
    Uuid set_id;                      // nil: a new one
    std::shared_ptr<SplitGate> gate;  // null: it turns at once
};

struct SplitResult {
    Uuid set_id;
    Nanoseconds turn_ns = 0;      // length of the turn
    std::int64_t created_ns = 0;  // wall clock
};

// All volumes or none. Durable on return.
[[nodiscard]] Task<Result<SplitResult>> split(Loop& loop, SplitRequest request);

// Decide every set in doubt whose members are all among `volumes`.
[[nodiscard]] Task<Status> resolve_sets(std::vector<Volume*> volumes);

}  // namespace exshadow
