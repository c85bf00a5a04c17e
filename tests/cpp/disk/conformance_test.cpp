#include "cpp/disk/conformance.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include "cpp/disk/loop_device.h"
#include "cpp/runtime/run_on.h"
#include "disk/cow_disk.h"
#include "disk/faulty_disk.h"
#include "disk/file_disk.h"
#include "disk/memory_disk.h"

namespace exshadow {
namespace {

using test::check_conformance;
using test::run_on;
using test::ScratchFile;

constexpr std::uint64_t even_size = 2 * MiB;
constexpr std::uint64_t odd_size = 2 * MiB + 12345;
constexpr std::uint64_t seeds[] = {1, 20261122};

template <class Test>
void on_both_loops(Test test) {
    for (const LoopKind kind : {LoopKind::uring, LoopKind::pool}) {
        const auto loop = test::loop_or_skip(kind);
        if (!loop) continue;
        CAPTURE(loop->name());
        for (const std::uint64_t seed : seeds) test(*loop, seed);
    }
}

std::unique_ptr<FileDisk> open_disk(Loop& loop, const std::string& path, bool direct) {
    auto disk = FileDisk::open(loop, path, {.writable = true, .direct = direct, .lock = FileLock::exclusive});
    if (!disk.ok()) FAIL(disk.error().message());
    return std::move(*disk);
}

void check_file(const std::string& directory, std::uint64_t size, bool direct, Backing expected) {
    on_both_loops([&](Loop& loop, std::uint64_t seed) {
        const ScratchFile scratch(directory);
        REQUIRE(::truncate(scratch.path().c_str(), static_cast<off_t>(size)) == 0);
        const auto disk = open_disk(loop, scratch.path(), direct);
        if (disk->file().info().backing != expected) {
            MESSAGE("SKIPPED: " << directory << " is on another kind of file system than expected");
            return;
        }
        run_on(loop, check_conformance(loop, *disk, seed));
    });
}

TEST_CASE("conformance_of_a_file_in_memory") {
    check_file("/dev/shm", odd_size, false, Backing::memory);
}
TEST_CASE("conformance_of_a_cached_file") {
    check_file(".", odd_size, false, Backing::page_cache);
}
TEST_CASE("conformance_of_a_direct_file") {
    check_file(".", even_size, true, Backing::direct);
}

void check_block_device(unsigned sector_size, bool direct) {
    on_both_loops([&](Loop& loop, std::uint64_t seed) {
        const ScratchFile backing(".");
        REQUIRE(::truncate(backing.path().c_str(), even_size) == 0);
        const test::LoopDevice device(backing.path(), sector_size);
        if (!device.available()) return;
        const auto disk = open_disk(loop, device.path(), direct);
        CHECK(disk->size() == even_size);
        CHECK(disk->file().info().is_block_device);
        CHECK(disk->file().info().sector_size == sector_size);
        CHECK(disk->block_size() == (direct ? sector_size : 1));
        run_on(loop, check_conformance(loop, *disk, seed));
    });
}

TEST_CASE("conformance_of_a_block_device_with_512_byte_sectors") {
    check_block_device(512, true);
    check_block_device(512, false);
}
TEST_CASE("conformance_of_a_block_device_with_4096_byte_sectors") {
    check_block_device(4096, true);
    check_block_device(4096, false);
}

TEST_CASE("E8_a_block_device_has_one_owner") {
    on_both_loops([](Loop& loop, std::uint64_t) {
        const ScratchFile backing(".");
        REQUIRE(::truncate(backing.path().c_str(), even_size) == 0);
        const test::LoopDevice device(backing.path(), 512);
        if (!device.available()) return;
        const auto owner = open_disk(loop, device.path(), true);
        const auto second =
            FileDisk::open(loop, device.path(), {.writable = true, .lock = FileLock::exclusive});
        REQUIRE(!second.ok());
        CHECK(second.error().code() == Code::busy);
        CHECK(second.error().message() == device.path() + " is mounted or in use");
        CHECK(!second.error().hint().empty());
    });
}

TEST_CASE("conformance_of_memory") {
    on_both_loops([](Loop& loop, std::uint64_t seed) {
        MemoryDisk disk({.size = odd_size});
        run_on(loop, check_conformance(loop, disk, seed));
    });
}

TEST_CASE("conformance_of_a_faulty_disk_without_faults") {
    on_both_loops([](Loop& loop, std::uint64_t seed) {
        FaultyDisk disk(loop, std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = odd_size}),
                        {.track_unflushed = true});
        run_on(loop, check_conformance(loop, disk, seed));
    });
}

TEST_CASE("conformance_of_a_view") {
    on_both_loops([](Loop& loop, std::uint64_t seed) {
        MemoryDisk base({.size = odd_size});
        auto store = std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = 64 * MiB});
        CowDisk view(loop, base, std::move(store));
        run_on(loop, check_conformance(loop, view, seed));
        CHECK(base.allocated_bytes() == 0);
        CHECK(view.used_bytes() <= round_up(odd_size, CowDisk::chunk_bytes));
    });
}

TEST_CASE("conformance_of_a_view_stored_in_a_direct_file") {
    on_both_loops([](Loop& loop, std::uint64_t seed) {
        const ScratchFile base_file(".");
        const ScratchFile store_file(".");
        REQUIRE(::truncate(base_file.path().c_str(), even_size) == 0);
        REQUIRE(::truncate(store_file.path().c_str(), 2 * even_size) == 0);
        const auto base = open_disk(loop, base_file.path(), true);
        CowDisk view(loop, *base, open_disk(loop, store_file.path(), true));
        run_on(loop, check_conformance(loop, view, seed));
    });
}

}  // namespace
}  // namespace exshadow
