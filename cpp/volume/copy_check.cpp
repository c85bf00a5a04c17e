#include "volume/copy_check.h"

#include "volume/plex.h"

namespace exshadow {

namespace {

// As Volume::distrust() judges a plex that nobody writes to. Empty: it is what was split off.
Task<Result<std::string>> difference_from(FileDisk& device, PlexRecord record, Uuid volume) {
    auto identifying = read_identity(device);
    const Result<PlexIdentity> identity = co_await std::move(identifying);
    if (!identity.ok()) co_return identity.error();
    if (auto text = identity_difference(record.identity, *identity, true); !text.empty()) co_return text;
    if (record.tag == 0) co_return std::string();
    const auto tag = read_tag(device);
    if (!tag) co_return std::string("it does not carry this volume's mark");
    if (tag->volume != volume || tag->plex != record.uuid)
        co_return std::string("it belongs to another volume or plex");
    const bool same = tag->generation == record.tag || tag->generation == record.previous_tag;
    co_return same ? std::string() : std::string("it is an older copy");
}

}  // namespace

Task<Status> check_copy(Volume& volume, std::string label) {
    const SnapshotRecord* const snapshot = volume.state().find_snapshot(label);
    if (snapshot == nullptr) {
        co_return Error(Code::not_found,
                        "volume " + volume.state().name + " has no snapshot '" + label + "'");
    }
    if (snapshot->state != SetState::committed) {
        co_return Error(Code::refused,
                        "snapshot '" + label + "' of volume " + volume.state().name + " is in doubt",
                        "open all volumes of its set together, then it is decided");
    }
    // Copies: records move when plexes come and go.
    const PlexRecord record = *volume.state().find_plex(snapshot->plex);
    const Uuid uuid = volume.state().uuid;
    const std::uint64_t size = volume.state().size;
    auto device = open_plex_for_reading(volume.loop(), record.path);
    if (!device.ok()) co_return device.error().within("snapshot plex " + record.label);
    if ((*device)->size() != size) {
        co_return Error(Code::mismatch,
                        "snapshot plex " + record.label + " has another size than the volume now",
                        "bring the copy back as it was, or restore from another snapshot");
    }
    auto judging = difference_from(**device, record, uuid);
    const Result<std::string> why = co_await std::move(judging);
    if (!why.ok()) co_return why.error();
    if (why->empty()) co_return Status{};
    co_return Error(Code::mismatch, "snapshot plex " + record.label + " is not as it was split off: " + *why,
                    "restore from another snapshot, or take the copy as it is now with --force");
}

Task<Status> check_unpinned(Volume& volume, std::string label, std::int64_t now_ns) {
    const SnapshotRecord* const snapshot = volume.state().find_snapshot(label);
    if (snapshot == nullptr || snapshot->pinned_until_ns <= now_ns) co_return Status{};
    co_return Error(Code::refused, "snapshot '" + label + "' of volume " + volume.state().name + " is pinned",
                    "lift the pin first");
}

}  // namespace exshadow
