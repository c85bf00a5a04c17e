// FanOut: one operation on several plexes at once. It is answered when every plex that is still wanted
// has answered; a plex that left meanwhile (too slow) is let go: its operation goes on in the background,
// holding the bytes it needs, and counts in Plex::in_flight until it ends (E6, E12, E32). Loop only.
#pragma once

#include <coroutine>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "runtime/loop.h"
#include "runtime/sync.h"
#include "volume/plex.h"

namespace exshadow {

// Bytes to write together with what keeps them alive. Nobody changes them (E13).
struct Payload {
    std::shared_ptr<const void> owner;
    std::span<const std::byte> bytes;
};

struct PlexOperation {
    enum class Kind : std::uint8_t { write, zero, flush, read };
    Kind kind = Kind::write;
    Range range;
    Payload data;                           // write
    std::shared_ptr<AlignedBuffer> buffer;  // read: as long as `range`; the operation's until it ends (E32)
    ZeroMode zero_mode = ZeroMode::keep_allocated;

    [[nodiscard]] PlexOperation slice(Range part) const;  // `part` lies within `range`
};

class FanOut {
public:
    struct Target {
        std::shared_ptr<Plex> plex;
        std::optional<Status> result;
        bool abandoned = false;
    };

    FanOut(Loop& loop, PlexOperation operation)
        : started_ns(loop.now()), operation_(std::move(operation)), done_(loop) {}

    // Issue on every plex of `plexes`; `idle` is notified when an operation on a plex ends.
    static std::shared_ptr<FanOut> start(Loop& loop, PlexOperation operation,
                                         const std::vector<std::shared_ptr<Plex>>& plexes, Signal& idle);
    [[nodiscard]] Task<void> wait();
    // Stop waiting for `plex`; it has left. True when it was waited for.
    bool abandon(const Plex& plex);
    [[nodiscard]] bool waits_for(const Plex& plex) const;

    std::vector<Target> targets;
    const Nanoseconds started_ns;

private:
    static Task<void> run(std::shared_ptr<FanOut> self, std::size_t index, Signal& idle);
    void finished();

    PlexOperation operation_;
    std::size_t pending_ = 0;
    Signal done_;
};

// Run one operation on one device.
[[nodiscard]] Task<Status> apply(BlockDevice& device, const PlexOperation& operation);

}  // namespace exshadow
