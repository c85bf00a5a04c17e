// What the volume tests share: a simulated machine with one volume, and short ways to use it.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/sim_loop.h"
#include "runtime/sim_world.h"
#include "volume/group.h"
#include "volume/volume.h"

namespace exshadow::test {

inline constexpr std::uint64_t small_size = 2 * MiB;

inline CreateOptions small_volume(const std::string& name, const std::string& plex) {
    CreateOptions options;
    options.name = name;
    options.plex_path = plex;
    options.region_size = 16 * KiB;
    options.extent_size = 64 * KiB;
    options.log_slots = 8;
    return options;
}

inline Payload payload(std::uint64_t length, std::uint8_t value) {
    auto bytes = std::make_shared<std::vector<std::byte>>(length, std::byte{value});
    return {bytes, *bytes};
}

inline std::vector<std::byte> filled(std::uint64_t length, std::uint8_t value) {
    return std::vector<std::byte>(length, std::byte{value});
}

// One memcmp: comparing vectors byte by byte is slow under the sanitizers.
inline bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

inline Task<void> must_write(Volume& volume, std::uint64_t offset, std::uint64_t length, std::uint8_t value) {
    auto writing = volume.write(offset, payload(length, value));
    const Status status = co_await std::move(writing);
    REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message()));
}

inline Task<std::vector<std::byte>> must_read(Volume& volume, std::uint64_t offset, std::uint64_t length) {
    std::vector<std::byte> bytes(length);
    auto reading = volume.read(offset, bytes);
    const Status status = co_await std::move(reading);
    REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message()));
    co_return bytes;
}

// Await a Status and require it to be good.
inline Task<void> must(Task<Status> task) {
    const Status status = co_await std::move(task);
    REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error().message()));
}

inline Task<std::unique_ptr<Volume>> must_create(Loop& loop, CreateOptions create,
                                                 VolumeOptions options = {}) {
    auto creating = Volume::create(loop, create.name + ".exv", create, options);
    auto volume = co_await std::move(creating);
    REQUIRE_MESSAGE(volume.ok(), (volume.ok() ? "" : volume.error().message()));
    co_return std::move(volume).value();
}

inline Task<std::unique_ptr<Volume>> must_open(Loop& loop, std::string name, VolumeOptions options = {}) {
    auto opening = Volume::open(loop, name + ".exv", {}, options);
    auto volume = co_await std::move(opening);
    REQUIRE_MESSAGE(volume.ok(), (volume.ok() ? "" : volume.error().message()));
    co_return std::move(volume).value();
}

// Attach a plex and sync it.
inline Task<void> must_mirror(Volume& volume, std::string path, std::string label) {
    AddPlexOptions options;
    options.path = path;
    options.label = label;
    options.overwrite = true;
    auto attaching = volume.attach_plex(options);
    const auto attached = co_await std::move(attaching);
    REQUIRE_MESSAGE(attached.ok(), (attached.ok() ? "" : attached.error().message()));
    auto syncing = must(volume.sync_plex(label, 0, std::make_shared<Job>("sync")));
    co_await std::move(syncing);
}

inline Task<void> must_split(Loop& loop, std::vector<Volume*> volumes, std::string label) {
    SplitRequest request;
    request.volumes = std::move(volumes);
    request.label = std::move(label);
    auto splitting = split(loop, request);
    const auto result = co_await std::move(splitting);
    REQUIRE_MESSAGE(result.ok(), (result.ok() ? "" : result.error().message()));
}

}  // namespace exshadow::test
