#include "volume/volume_device.h"

#include "cpp/disk/conformance.h"
#include "cpp/volume/volume_fixture.h"
#include "volume/instant.h"

namespace exshadow {
namespace {

using namespace test;

// A volume that closes as its owner wants.
class TestSource final : public VolumeSource {
public:
    explicit TestSource(Volume* volume) : volume_(volume) {}
    Volume* enter() override {
        if (volume_ != nullptr) ++users;
        return volume_;
    }
    void leave() override { --users; }
    void let_go() { volume_ = nullptr; }

    int users = 0;

private:
    Volume* volume_;
};

Task<void> device_is_a_block_device(Loop& loop) {
    auto volume = co_await must_create(loop, small_volume("db", "p1.img"));
    co_await must_mirror(*volume, "p2.img", "p2");
    const auto source = std::make_shared<TestSource>(volume.get());
    VolumeDevice device(source, "db", volume->size());
    auto conforming = check_conformance(loop, device, 7);
    co_await std::move(conforming);
    CHECK(source->users == 0);
    CHECK(device.memory_alignment() >= 1);
    co_await must(volume->verify(false, "", std::make_shared<Job>("verify")));
    co_await must(volume->close());
    std::vector<std::byte> bytes(512);
    const Status closed = co_await device.read(0, bytes);
    CHECK(closed.error().code() == Code::closed);
    source->let_go();
    const Status gone = co_await device.write(0, bytes);
    CHECK(gone.error().code() == Code::closed);
    const auto extents = co_await device.extents({0, 512});
    CHECK(!extents.ok());
    CHECK(source->users == 0);
}

Task<void> snapshot_is_read_only_and_one_only(Loop& loop) {
    auto volume = co_await must_create(loop, small_volume("db", "p1.img"));
    co_await must_mirror(*volume, "p2.img", "p2");
    co_await must_write(*volume, 0, 4096, 1);
    SplitRequest request;
    request.volumes = {volume.get()};
    request.label = "noon";
    const auto split_off = co_await split(loop, request);
    REQUIRE(split_off.ok());
    co_await must_write(*volume, 0, 4096, 2);
    const auto source = std::make_shared<TestSource>(volume.get());
    VolumeDevice production(source, "db", volume->size());
    SnapshotDevice snapshot(source, "db", "noon", split_off->set_id, volume->size());
    std::vector<std::byte> bytes(4096);
    co_await must(snapshot.read(0, bytes));
    CHECK(same_bytes(bytes, filled(4096, 1)));
    const auto extents = co_await snapshot.extents({0, small_size});
    REQUIRE(extents.ok());
    CHECK(!extents->front().zero);
    const Status write = co_await snapshot.write(0, bytes);
    CHECK(write.error().code() == Code::permission);
    const Status zero = co_await snapshot.zero({0, 512}, ZeroMode::may_unmap);
    CHECK(zero.error().code() == Code::permission);
    const Status outside = co_await snapshot.read(small_size, bytes);
    CHECK(outside.error().code() == Code::invalid);

    const auto changed = co_await production.changed("noon", {4096, 64 * KiB});
    REQUIRE(changed.ok());
    REQUIRE(changed->size() == 1);
    CHECK(changed->front() == Range{4096, 12 * KiB});  // the rest of the region, clipped
    const auto none = co_await production.changed("noon", {4096, 0});
    REQUIRE(none.ok());
    CHECK(none->empty());
    const auto outside_of_it = co_await production.changed("noon", {small_size - 512, 1024});
    CHECK(outside_of_it.error().code() == Code::invalid);
    const auto unknown = co_await production.changed("eve", {0, 512});
    CHECK(unknown.error().code() == Code::not_found);

    // Another snapshot of the same label is another snapshot.
    co_await must(volume->delete_snapshot("noon"));
    const Status gone = co_await snapshot.read(0, bytes);
    CHECK(gone.error().code() == Code::not_found);
    co_await must_mirror(*volume, "p3.img", "p3");
    const auto again = co_await split(loop, request);
    REQUIRE(again.ok());
    const Status other = co_await snapshot.read(0, bytes);
    CHECK(other.error().code() == Code::not_found);
    co_await must(volume->close());
}

// While an instant restore moves, each promise is made by the file that is read there.
Task<void> extents_are_those_of_what_is_read(Loop& loop) {
    constexpr std::uint64_t half = small_size / 2;
    auto volume = co_await must_create(loop, small_volume("db", "p1.img"));
    co_await must_mirror(*volume, "p2.img", "p2");
    co_await must_write(*volume, half, half, 1);
    auto splitting = must_split(loop, std::vector<Volume*>(1, volume.get()), "noon");
    co_await std::move(splitting);  // p2: zeroes, then data
    co_await must_write(*volume, 0, small_size, 2);
    const Range last{half, half};
    co_await must(volume->zero(last, ZeroMode::may_unmap));
    const auto source = std::make_shared<TestSource>(volume.get());
    const Range all{0, small_size};
    VolumeDevice device(source, "db", small_size);
    const auto expect = [](const Result<std::vector<Extent>>& found, bool first_zero, bool last_zero) {
        REQUIRE(found.ok());
        std::uint64_t at = 0;
        for (const Extent& extent : *found) {
            CHECK(extent.range.offset == at);
            at = extent.range.end();
            CHECK(extent.zero == (extent.range.offset < half ? first_zero : last_zero));
        }
        CHECK(at == small_size);
    };
    const auto before = co_await device.extents(all);
    expect(before, false, true);
    std::vector<RestoreWish> wishes;
    wishes.push_back({volume.get(), "noon"});
    co_await must(restore_instant(loop, std::move(wishes)));
    const auto moving = co_await device.extents(all);
    expect(moving, true, false);
    co_await must(volume->continue_restore(0, std::make_shared<Job>("restore")));
    CHECK_FALSE(volume->is_moving());
    const auto after = co_await device.extents(all);
    expect(after, true, false);
    co_await must(volume->close());
}

TEST_CASE("extents_during_an_instant_restore_are_those_of_what_is_read") {
    SimWorld world(3);
    for (const char* plex : {"p1.img", "p2.img"}) world.create(plex, small_size);
    SimLoop loop(world, 3);
    CHECK(loop.run_task(extents_are_those_of_what_is_read(loop)));
}

TEST_CASE("a_volume_is_a_block_device") {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        CAPTURE(seed);
        SimWorld world(seed);
        for (const char* plex : {"p1.img", "p2.img"}) world.create(plex, small_size);
        SimLoop loop(world, seed);
        CHECK(loop.run_task(device_is_a_block_device(loop)));
    }
}

TEST_CASE("a_snapshot_is_a_read_only_block_device") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        SimWorld world(seed);
        for (const char* plex : {"p1.img", "p2.img", "p3.img"}) world.create(plex, small_size);
        SimLoop loop(world, seed);
        CHECK(loop.run_task(snapshot_is_read_only_and_one_only(loop)));
    }
}

}  // namespace
}  // namespace exshadow
