// The bytes of the volume file: what was written is read back, what was damaged is refused.
#include "volume/format.h"

#include <doctest/doctest.h>

#include <cstring>
#include <random>

namespace exshadow::test {

namespace {

VolumeState some_state(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    VolumeState state;
    state.uuid = Uuid::from_words(random(), random());
    state.name = "vol" + std::to_string(seed);
    state.group = "shop";
    state.metadata_copy = seed % 2 == 0 ? "" : "/elsewhere/copy.exv";
    state.size = (1 + random() % 1000) * 512;
    state.region_size = 4096U << (random() % 5);
    state.extent_size = 4 * MiB;
    state.log_slots = 1024;
    state.generation = random();
    state.next_map_id = 100;
    state.clean = seed % 3 == 0;
    std::uint32_t slot = 0;
    for (int i = 0; i < 3; ++i) {
        PlexRecord plex;
        plex.uuid = Uuid::from_words(random(), random());
        plex.label = "p" + std::to_string(i);
        plex.path = std::string(1 + random() % max_path_bytes, 'x');
        plex.state = i == 0 ? PlexState::in_sync : i == 1 ? PlexState::split : PlexState::stale;
        plex.slot = slot++;
        plex.joined = random();
        plex.tag = random();
        plex.identity = {true, random(), state.size, 12, 34, "serial", 56};
        plex.note = "why";
        state.plexes.push_back(plex);
    }
    state.authority = state.plexes[0].uuid;
    state.intervals.push_back({{7, slot++}});
    state.intervals.push_back({{9, slot++}});
    SnapshotRecord snapshot;
    snapshot.set_id = Uuid::from_words(random(), random());
    snapshot.label = "noon";
    snapshot.plex = state.plexes[1].uuid;
    snapshot.state = SetState::committed;
    snapshot.anchor = 9;
    snapshot.consistency = "crash";
    snapshot.members = {{state.uuid, state.name}, {Uuid::from_words(1, 2), std::string(max_name_bytes, 'n')}};
    state.snapshots.push_back(snapshot);
    return state;
}

bool same(const VolumeState& a, const VolumeState& b) {
    return format::encode_superblock(a, 0) == format::encode_superblock(b, 0);
}

}  // namespace

TEST_CASE("a superblock is read back as it was written") {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        const VolumeState state = some_state(seed);
        REQUIRE(state.problem() == "");
        for (const unsigned place : {0U, 1U}) {
            const auto decoded = format::decode_superblock(format::encode_superblock(state, place), place);
            REQUIRE_MESSAGE(decoded.ok(), (decoded.ok() ? "" : decoded.error().message()));
            CHECK(same(*decoded, state));
            CHECK(decoded->snapshots[0].members == state.snapshots[0].members);
            CHECK(decoded->plexes[1].identity == state.plexes[1].identity);
        }
    }
}

TEST_CASE("an instant restore is in the superblock, under a version that older programs refuse") {
    VolumeState state = some_state(3);
    const auto plain = format::encode_superblock(state, 0);
    CHECK(plain[offsetof(format::SuperblockHeader, version)] == std::byte{format::version});
    state.starting =
        RestoreStart{Uuid::from_words(1, 2), state.snapshots[0].set_id, SetState::ready, {20, 40}, {21, 41},
                     {{state.uuid, "v"}}};
    for (const bool moving : {false, true}) {
        if (moving) {
            state.mode = VolumeMode::redirecting;
            state.restore = RestoreRecord{state.plexes[1].uuid, {22, 42}};
        }
        const auto bytes = format::encode_superblock(state, 1);
        CHECK(bytes[offsetof(format::SuperblockHeader, version)] == std::byte{format::redirect_version});
        const auto decoded = format::decode_superblock(bytes, 1);
        REQUIRE(decoded.ok());
        CHECK(same(*decoded, state));
        REQUIRE(decoded->starting);
        CHECK(decoded->starting->interval == state.starting->interval);
        CHECK(decoded->starting->members == state.starting->members);
        CHECK(decoded->uses_slot(41));
    }
    state.starting->state = SetState::committed;
    CHECK(state.problem() == "an impossible start of a restore");
}

TEST_CASE("no flipped bit of a superblock is believed") {
    const auto bytes = format::encode_superblock(some_state(4), 1);
    std::uint32_t length = 0;
    std::memcpy(&length, bytes.data() + offsetof(format::SuperblockHeader, length), sizeof(length));
    for (std::size_t bit = 0; bit < std::size_t{length} * 8; bit += (bit < 4096 ? 1 : 97)) {
        auto damaged = bytes;
        damaged[bit / 8] ^= std::byte{1} << (bit % 8);
        const auto decoded = format::decode_superblock(damaged, 1);
        REQUIRE_FALSE(decoded.ok());
        const Code code = decoded.error().code();
        CHECK((code == Code::corrupt || code == Code::newer_version));
    }
}

TEST_CASE("a superblock is refused at the other place, cut short, or from a newer version") {
    const auto bytes = format::encode_superblock(some_state(5), 0);
    CHECK(format::decode_superblock(bytes, 1).error().code() == Code::corrupt);
    for (const std::size_t length :
         {std::size_t{0}, std::size_t{100}, std::size_t{2048}, std::size_t{4096}}) {
        CHECK(format::decode_superblock(std::span(bytes).first(length), 0).error().code() == Code::corrupt);
    }
    auto newer = bytes;
    newer[offsetof(format::SuperblockHeader, version)] = std::byte{format::redirect_version + 1};
    CHECK(format::decode_superblock(newer, 0).error().code() == Code::newer_version);
}

TEST_CASE("states that cannot be are named") {
    VolumeState state = some_state(6);
    state.authority = state.plexes[1].uuid;
    CHECK(state.problem() == "the authority is not in sync");
    state = some_state(6);
    state.intervals[1].map.slot = 0;
    CHECK(state.problem() == "two maps in one slot");
    state = some_state(6);
    state.snapshots[0].anchor = 1234;
    CHECK(state.problem() == "a snapshot without interval");
    state = some_state(6);
    state.region_size = 5000;
    CHECK(state.problem() == "impossible region size");
}

TEST_CASE("the slots of a map never overlap and hold every block") {
    for (const std::uint64_t size : {std::uint64_t{512}, 2 * MiB, 4 * GiB, 16 * TiB}) {
        const format::MapLayout layout(size, 64 * KiB);
        CHECK(layout.slot(0).offset == format::maps_offset);
        CHECK(layout.slot(1).offset == layout.slot(0).end());
        CHECK(layout.summary_offset(3, 1) + layout.summary_bytes == layout.block_offset(3, 0, 0));
        CHECK(layout.block_offset(3, layout.blocks - 1, 1) + format::block_bytes == layout.slot(3).end());
        CHECK(layout.blocks * format::map_bits_per_block >= layout.regions);
    }
}

}  // namespace exshadow::test
