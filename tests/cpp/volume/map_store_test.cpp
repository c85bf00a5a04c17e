// Change maps on disk: what is durable is read back, what is damaged counts as changed (E18).
#include "volume/map_store.h"

#include <doctest/doctest.h>

#include "runtime/sim_loop.h"
#include "runtime/sim_world.h"

namespace exshadow::test {

namespace {

constexpr std::uint64_t volume_size = 512 * MiB;
constexpr std::uint32_t region = 4 * KiB;  // 131,072 regions: five blocks

VolumeState shape() {
    VolumeState state;
    state.uuid = Uuid::from_words(1, 2);
    state.size = volume_size;
    state.region_size = region;
    return state;
}

// A map store on a fresh volume file; each opening has the next generation.
struct Bench {
    explicit Bench(SimWorld& of, std::uint64_t seed = 1) : world(of), loop(of, seed), state(shape()) {}

    void open(std::uint64_t generation) {
        if (!world.exists("v.exv"))
            world.create("v.exv", format::MapLayout(volume_size, region).file_bytes());
        auto opened = MetadataDevice::open(loop, "v.exv", 0);
        REQUIRE(opened.ok());
        device = std::move(opened).value();
        store = std::make_unique<MapStore>(loop, *device, state, OrderHooks{});
        store->start_sequences(generation);
    }

    SimWorld& world;
    SimLoop loop;
    VolumeState state;
    std::unique_ptr<MetadataDevice> device;
    std::unique_ptr<MapStore> store;
};

Task<std::shared_ptr<StoredMap>> must_create(Bench& bench, MapRef ref) {
    auto creating = bench.store->create(ref);
    auto map = co_await std::move(creating);
    REQUIRE(map.ok());
    co_return std::shared_ptr<StoredMap>(std::move(map).value());
}

Task<void> must_persist(Bench& bench, std::shared_ptr<StoredMap> map) {
    auto persisting = bench.store->persist({map});
    const Status status = co_await std::move(persisting);
    REQUIRE(status.ok());
}

Task<std::unique_ptr<StoredMap>> must_load(Bench& bench, MapRef ref, bool doubtful) {
    std::string doubts;
    auto loading = bench.store->load(ref, 0, doubts);
    auto map = co_await std::move(loading);
    REQUIRE(map.ok());
    CHECK_MESSAGE(doubts.empty() != doubtful, doubts);
    co_return std::move(map).value();
}

const MapRef first{1, 0};

Task<void> mark_and_store(Bench& bench) {
    bench.open(1);
    auto creating = must_create(bench, first);
    auto map = co_await std::move(creating);
    map->bits.mark({10 * region, 3 * region});
    map->bits.mark_regions(format::map_bits_per_block, format::map_bits_per_block);  // all of block 1
    auto persisting = must_persist(bench, map);
    co_await std::move(persisting);
    map->bits.mark({volume_size - 1, 1});
    map->bits.clear_regions(11, 1);
    auto again = must_persist(bench, map);
    co_await std::move(again);
}

const Ranges stored_runs = {{10 * region, region},
                            {12 * region, region},
                            {format::map_bits_per_block * region, format::map_bits_per_block* region},
                            {volume_size - region, region}};

Task<void> expect_stored(Bench& bench) {
    bench.open(2);
    auto loading = must_load(bench, first, false);
    const auto map = co_await std::move(loading);
    CHECK(map->bits.runs() == stored_runs);
}

Task<void> expect_block_lost(Bench& bench) {
    bench.open(2);
    auto loading = must_load(bench, first, true);
    const auto map = co_await std::move(loading);
    CHECK(map->bits.all({0, format::map_bits_per_block * region}));
    CHECK_FALSE(map->bits.test(2 * format::map_bits_per_block));
}

Task<void> expect_everything(Bench& bench, MapRef ref) {
    bench.open(2);
    auto loading = must_load(bench, ref, true);
    const auto map = co_await std::move(loading);
    CHECK(map->bits.marked() == map->bits.regions());
}

Task<void> expect_older_version(Bench& bench) {
    bench.open(2);
    auto loading = must_load(bench, first, false);
    const auto map = co_await std::move(loading);
    CHECK(map->bits.test(11));  // cleared only in the version that was torn
    CHECK(map->bits.test(10));
}

Task<void> reuse_slot(Bench& bench) {
    bench.open(2);
    const MapRef second{2, 0};
    auto creating = must_create(bench, second);
    auto map = co_await std::move(creating);
    map->bits.mark({0, 1});
    auto persisting = must_persist(bench, map);
    co_await std::move(persisting);
    auto loading = must_load(bench, second, false);
    const auto found = co_await std::move(loading);
    CHECK(found->bits.runs() == Ranges{{0, region}});
}

void stored(SimWorld& world) {
    Bench bench(world);
    REQUIRE(bench.loop.run_task(mark_and_store(bench)));
}

template <class Check, class... Arguments>
void reopened(SimWorld& world, Check check, Arguments... arguments) {
    Bench bench(world, 2);
    REQUIRE(bench.loop.run_task(check(bench, arguments...)));
}

}  // namespace

TEST_CASE("a stored map is read back") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        SimWorld world(seed);
        stored(world);
        world.power_cut();
        reopened(world, expect_stored);
    }
}

TEST_CASE("a block lost in both places counts as changed, the others do not") {
    SimWorld world(3);
    stored(world);
    const format::MapLayout layout(volume_size, region);
    world.poke_zeroes("v.exv", {layout.block_offset(0, 0, 0), 2 * format::block_bytes});
    reopened(world, expect_block_lost);
}

TEST_CASE("a torn block leaves its older version in force") {
    SimWorld world(4);
    stored(world);
    // The second persist() of block 0 went to the other place than the first: the first to place 1.
    const format::MapLayout layout(volume_size, region);
    world.poke_zeroes("v.exv", {layout.block_offset(0, 0, 0) + sizeof(format::MapHeader), 8});
    reopened(world, expect_older_version);
}

TEST_CASE("a map without summary, or another map's, is all changed") {
    SimWorld world(5);
    stored(world);
    reopened(world, expect_everything, MapRef{7, 0});
    const format::MapLayout layout(volume_size, region);
    world.poke_zeroes("v.exv", {layout.summary_offset(0, 0), 2 * layout.summary_bytes});
    reopened(world, expect_everything, first);
}

TEST_CASE("a slot used again shows nothing of its former map") {
    SimWorld world(6);
    stored(world);
    reopened(world, reuse_slot);
}

}  // namespace exshadow::test
