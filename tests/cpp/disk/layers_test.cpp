// What the layers do beyond the contract: injected faults, the limits of memory and views.
#include <doctest/doctest.h>

#include <cerrno>
#include <vector>

#include "cpp/runtime/run_on.h"
#include "disk/cow_disk.h"
#include "disk/faulty_disk.h"
#include "disk/memory_disk.h"

namespace exshadow {
namespace {

using test::run_on;
using Bytes = std::vector<std::byte>;

constexpr std::uint64_t disk_size = 1 * MiB;

struct Faulty {
    explicit Faulty(FaultyDiskOptions options = {})
        : loop(std::move(*make_loop())),
          disk(*loop, std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = disk_size}), options) {}
    std::unique_ptr<Loop> loop;
    FaultyDisk disk;
};

Bytes filled(std::size_t length, int value) {
    return Bytes(length, static_cast<std::byte>(value));
}

Task<void> write_to(BlockDevice& disk, std::uint64_t offset, Bytes data, Status& status) {
    status = co_await disk.write(offset, data);
}
Task<void> read_from(BlockDevice& disk, std::uint64_t offset, Bytes& data, Status& status) {
    status = co_await disk.read(offset, data);
}
Task<void> flush_of(BlockDevice& disk, Status& status) {
    status = co_await disk.flush();
}

Status write(Loop& loop, BlockDevice& disk, std::uint64_t offset, Bytes data) {
    Status status;
    run_on(loop, write_to(disk, offset, std::move(data), status));
    return status;
}
Status flush(Loop& loop, BlockDevice& disk) {
    Status status;
    run_on(loop, flush_of(disk, status));
    return status;
}
Bytes read(Loop& loop, BlockDevice& disk, std::uint64_t offset, std::size_t length) {
    Bytes data(length);
    Status status;
    run_on(loop, read_from(disk, offset, data, status));
    REQUIRE(status.ok());
    return data;
}
std::size_t count_of(const Bytes& bytes, int value) {
    return static_cast<std::size_t>(std::count(bytes.begin(), bytes.end(), static_cast<std::byte>(value)));
}

TEST_CASE("the_nth_write_fails_and_only_in_its_range") {
    Faulty faulty;
    faulty.disk.add({.verb = DiskVerb::write, .skip = 2, .count = 1, .range = {4096, 4096}});
    CHECK(write(*faulty.loop, faulty.disk, 4096, filled(512, 1)).ok());
    CHECK(write(*faulty.loop, faulty.disk, 0, filled(512, 1)).ok());
    CHECK(write(*faulty.loop, faulty.disk, 4096, filled(512, 2)).ok());
    const Status third = write(*faulty.loop, faulty.disk, 4096, filled(512, 3));
    REQUIRE(!third.ok());
    CHECK(third.error().code() == Code::io);
    CHECK(write(*faulty.loop, faulty.disk, 4096, filled(512, 4)).ok());
    CHECK(faulty.disk.faults() == 1);
}

TEST_CASE("a_lost_write_is_answered_and_not_there") {
    Faulty faulty;
    faulty.disk.add({.verb = DiskVerb::write, .fault = Fault::lose});
    CHECK(write(*faulty.loop, faulty.disk, 0, filled(4096, 1)).ok());
    CHECK(count_of(read(*faulty.loop, faulty.disk, 0, 4096), 0) == 4096);
}

TEST_CASE("a_torn_write_leaves_a_beginning_of_whole_sectors") {
    Faulty faulty;
    faulty.disk.add({.verb = DiskVerb::write, .fault = Fault::tear, .error = 0});
    CHECK(write(*faulty.loop, faulty.disk, 0, filled(64 * KiB, 1)).ok());
    const Bytes found = read(*faulty.loop, faulty.disk, 0, 64 * KiB);
    const std::size_t kept = count_of(found, 1);
    CHECK(kept < 64 * KiB);
    CHECK(kept % 512 == 0);
    CHECK(count_of(Bytes(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(kept)), 1) == kept);
}

TEST_CASE("bit_rot_changes_one_byte_and_a_misdirected_write_lands_elsewhere") {
    Faulty faulty;
    faulty.disk.add({.verb = DiskVerb::read, .fault = Fault::corrupt});
    CHECK(count_of(read(*faulty.loop, faulty.disk, 0, 4096), 0) == 4095);
    CHECK(count_of(read(*faulty.loop, faulty.disk, 0, 4096), 0) == 4096);
    faulty.disk.add({.verb = DiskVerb::write, .fault = Fault::misdirect});
    CHECK(write(*faulty.loop, faulty.disk, 0, filled(4096, 1)).ok());
    CHECK(count_of(read(*faulty.loop, faulty.disk, 0, disk_size), 1) == 4096);
}

TEST_CASE("equal_seeds_fail_alike") {
    std::vector<bool> runs[2];
    for (auto& run : runs) {
        Faulty faulty({.seed = 42});
        faulty.disk.add({.verb = DiskVerb::write, .count = FaultRule::forever, .chance_ppm = 300'000});
        for (int i = 0; i < 200; ++i) run.push_back(write(*faulty.loop, faulty.disk, 0, filled(1, 1)).ok());
    }
    CHECK(runs[0] == runs[1]);
    const auto good = std::count(runs[0].begin(), runs[0].end(), true);
    CHECK(good > 100);
    CHECK(good < 180);
}

TEST_CASE("a_failed_flush_drops_what_was_not_flushed_and_is_final") {
    Faulty faulty({.track_unflushed = true});
    CHECK(write(*faulty.loop, faulty.disk, 0, filled(4096, 1)).ok());
    CHECK(flush(*faulty.loop, faulty.disk).ok());
    CHECK(write(*faulty.loop, faulty.disk, 0, filled(4096, 2)).ok());
    CHECK(write(*faulty.loop, faulty.disk, 1024, filled(4096, 3)).ok());
    faulty.disk.add({.verb = DiskVerb::flush});
    CHECK(!flush(*faulty.loop, faulty.disk).ok());
    CHECK(count_of(read(*faulty.loop, faulty.disk, 0, 8192), 1) == 4096);
    CHECK(count_of(read(*faulty.loop, faulty.disk, 0, 8192), 0) == 4096);
    CHECK(!flush(*faulty.loop, faulty.disk).ok());
    CHECK(!write(*faulty.loop, faulty.disk, 0, filled(1, 1)).ok());
}

TEST_CASE("space_runs_out_and_requests_take_time") {
    Faulty faulty(
        {.latency_least = 2 * millisecond_ns, .latency_most = 3 * millisecond_ns, .write_limit = 10'000});
    const Nanoseconds begin = faulty.loop->now();
    CHECK(write(*faulty.loop, faulty.disk, 0, filled(8000, 1)).ok());
    CHECK(faulty.loop->now() - begin >= 2 * millisecond_ns);
    const Status full = write(*faulty.loop, faulty.disk, 0, filled(8000, 1));
    REQUIRE(!full.ok());
    CHECK(full.error().code() == Code::no_space);
}

TEST_CASE("memory_with_a_capacity_fills_up_and_zeroing_makes_room") {
    const auto loop = std::move(*make_loop());
    MemoryDisk disk({.size = disk_size, .capacity = 2 * MemoryDisk::chunk_bytes});
    CHECK(write(*loop, disk, 0, filled(128 * KiB, 1)).ok());
    const Status full = write(*loop, disk, 512 * KiB, filled(1, 1));
    REQUIRE(!full.ok());
    CHECK(full.error().code() == Code::no_space);
}

struct View {
    explicit View(std::uint64_t space)
        : loop(std::move(*make_loop())),
          base({.size = disk_size}),
          view(*loop, base, std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = 16 * MiB}), space) {
        CHECK(write(*loop, base, 0, filled(disk_size, 7)).ok());
    }
    std::unique_ptr<Loop> loop;
    MemoryDisk base;
    CowDisk view;
};

TEST_CASE("a_view_never_changes_its_base") {
    View v(disk_size);
    CHECK(write(*v.loop, v.view, 100'000, filled(300'000, 1)).ok());
    CHECK(count_of(read(*v.loop, v.view, 0, disk_size), 1) == 300'000);
    CHECK(count_of(read(*v.loop, v.view, 0, disk_size), 7) == disk_size - 300'000);
    CHECK(count_of(read(*v.loop, v.base, 0, disk_size), 7) == disk_size);
}

TEST_CASE("a_view_at_its_limit_goes_on_with_what_it_has") {
    View v(2 * CowDisk::chunk_bytes);
    CHECK(write(*v.loop, v.view, 0, filled(128 * KiB, 1)).ok());
    const Status full = write(*v.loop, v.view, 512 * KiB, filled(1, 1));
    REQUIRE(!full.ok());
    CHECK(full.error().code() == Code::no_space);
    CHECK(!full.error().hint().empty());
    CHECK(write(*v.loop, v.view, 1000, filled(1000, 2)).ok());
    CHECK(count_of(read(*v.loop, v.view, 0, disk_size), 2) == 1000);
    CHECK(count_of(read(*v.loop, v.view, 512 * KiB, 1), 7) == 1);
}

Task<void> write_pieces_at_once(Loop& loop, BlockDevice& disk, std::vector<Status>& statuses) {
    TaskGroup group(loop);
    for (std::size_t i = 0; i < statuses.size(); ++i) {
        group.spawn(write_to(disk, i * 512, filled(512, 1), statuses[i]));
    }
    co_await group.wait();
}

TEST_CASE("writes_beside_each_other_in_a_new_chunk_of_a_view_all_stay") {
    const auto loop = std::move(*make_loop());
    // Latency makes every request suspend, so that all writers meet while the chunk is being copied.
    FaultyDisk base(*loop, std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = disk_size}),
                    {.latency_least = 100 * microsecond_ns, .latency_most = 900 * microsecond_ns});
    auto store = std::make_unique<FaultyDisk>(
        *loop, std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = disk_size}),
        FaultyDiskOptions{.latency_least = 100 * microsecond_ns, .latency_most = 900 * microsecond_ns});
    CowDisk view(*loop, base, std::move(store));
    std::vector<Status> statuses(200);
    run_on(*loop, write_pieces_at_once(*loop, view, statuses));
    for (const Status& status : statuses) CHECK(status.ok());
    CHECK(count_of(read(*loop, view, 0, disk_size), 1) == 200 * 512);
    CHECK(view.used_bytes() == 2 * CowDisk::chunk_bytes);
}

TEST_CASE("a_chunk_written_whole_reads_nothing_from_the_base") {
    const auto loop = std::move(*make_loop());
    FaultyDisk base(*loop, std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = disk_size}));
    base.add({.verb = DiskVerb::read, .count = FaultRule::forever});
    CowDisk view(*loop, base, std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = disk_size}));
    CHECK(write(*loop, view, 64 * KiB, filled(128 * KiB, 1)).ok());
    CHECK(base.faults() == 0);
    CHECK(!write(*loop, view, 0, filled(1, 1)).ok());
    CHECK(base.faults() == 1);
}

}  // namespace
}  // namespace exshadow
