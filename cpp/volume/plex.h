// Plex: one copy of a volume's bytes while the volume is open, and the rules that recognise it (E7).
//
// plex_state.h says what may become of it. Its device is open while it is a member, while a copier works
// on it, and (read-only) while a snapshot is read. Loop only.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "disk/block_device.h"
#include "disk/file_disk.h"
#include "runtime/loop.h"
#include "volume/map_store.h"
#include "volume/state.h"

namespace exshadow {

struct Plex {
    Plex(Uuid id, std::string name, PlexState at) : uuid(id), label(std::move(name)), state(at) {}

    const Uuid uuid;
    std::string label;
    PlexState state;  // as the engine acts on it; the durable one may lag (E1)
    std::unique_ptr<FileDisk> device;
    std::shared_ptr<StoredMap> sync_map;  // where it may differ from production; none for members
    std::unique_ptr<ChangeMap> todo;      // while a copier runs: what it has still to settle
    bool receiving = false;               // a copier runs: live writes to settled regions come here too
    std::optional<Error> receive_error;   // why it stopped receiving
    std::uint64_t leave_epoch = 0;        // splitting: requests of this epoch and before belong here too
    std::optional<Error> leave_error;     // splitting: an old write or flush failed here (E23)
    std::uint32_t in_flight = 0;          // operations issued and not answered (E6)
    std::uint32_t busy = 0;               // operations (job, split, removal) that work on it

    [[nodiscard]] bool is_member() const { return state == PlexState::in_sync; }
};

// Open a plex for its volume's I/O, locked (E8), O_DIRECT where it can be had.
[[nodiscard]] Result<std::unique_ptr<FileDisk>> open_plex(Loop& loop, const std::string& path, bool force,
                                                          Nanoseconds lock_wait, bool direct = true);
[[nodiscard]] Result<std::unique_ptr<FileDisk>> open_plex_for_reading(Loop& loop, const std::string& path);

// What the plex looks like now. Reads sampled regions of block devices.
[[nodiscard]] Task<Result<PlexIdentity>> read_identity(FileDisk& device);
// Empty when `now` is what is remembered, else what differs. `contents`: compare what tells of changed
// contents as well, as far as it is remembered.
[[nodiscard]] std::string identity_difference(const PlexIdentity& remembered, const PlexIdentity& now,
                                              bool contents);

// The attribute user.exshadow: "VOLUME PLEX GENERATION".
inline constexpr const char* tag_attribute = "user.exshadow";
// False when the file system keeps no attributes.
[[nodiscard]] bool write_tag(FileDisk& device, const Uuid& volume, const Uuid& plex,
                             std::uint64_t generation);
struct PlexTag {
    Uuid volume;
    Uuid plex;
    std::uint64_t generation = 0;
};
[[nodiscard]] std::optional<PlexTag> read_tag(FileDisk& device);

}  // namespace exshadow
