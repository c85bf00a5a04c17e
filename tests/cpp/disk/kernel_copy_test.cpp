// Copies between files of a memory file system: both lanes, zeroes, odd ends, a source that is too short.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <vector>

#include "cpp/runtime/run_on.h"
#include "disk/file_copy.h"
#include "runtime/posix_file.h"

namespace exshadow {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t unit = 64 * KiB;
constexpr std::uint64_t long_size = 9 * MiB + 512;  // no whole number of pages

// Two files on tmpfs: the source holds bytes that are nowhere zero for long, the target others.
struct Pair {
    explicit Pair(std::uint64_t size) : bytes(size), source_file("/dev/shm"), target_file("/dev/shm") {
        for (std::uint64_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(1 + i * 31 % 251);
        source = Descriptor(::open(source_file.path().c_str(), O_RDWR | O_CLOEXEC));
        target = Descriptor(::open(target_file.path().c_str(), O_RDWR | O_CLOEXEC));
        put(target.get(), Bytes(size, std::byte{0xEE}));
        write_source();
    }
    void write_source() const { put(source.get(), bytes); }
    static void put(int file, const Bytes& content) {
        REQUIRE(::pwrite(file, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
    }
    [[nodiscard]] Bytes copied() const {
        Bytes found(bytes.size());
        REQUIRE(::pread(target.get(), found.data(), found.size(), 0) == static_cast<ssize_t>(found.size()));
        return found;
    }
    [[nodiscard]] MemoryCopy copy(CopyLanes& lanes) const {
        const Range all{0, bytes.size()};
        return copy_in_memory(source.get(), target.get(), std::span(&all, 1), unit, &lanes);
    }

    Bytes bytes;
    test::ScratchFile source_file;
    test::ScratchFile target_file;
    Descriptor source;
    Descriptor target;
};

// The second lane is for whoever finds the first one taken.
template <class Body>
void in_both_lanes(Body body) {
    for (const bool taken : {false, true}) {
        CAPTURE(taken);
        CopyLanes lanes;
        lanes.writing = taken;
        body(lanes);
        CHECK(lanes.writing == taken);
    }
}

TEST_CASE("long_runs_are_copied_by_the_kernel_in_both_lanes") {
    in_both_lanes([](CopyLanes& lanes) {
        const Pair pair(long_size);
        const KernelCopy result =
            copy_in_kernel(lanes, pair.source.get(), pair.target.get(), {0, long_size}, unit);
        CHECK(result == KernelCopy::done);
        CHECK(pair.copied() == pair.bytes);
        CHECK_FALSE(lanes.refused);
    });
}

TEST_CASE("short_runs_and_small_units_are_not") {
    const Pair pair(MiB);
    CopyLanes lanes;
    const auto copy = [&](Range range, std::uint64_t looked_at) {
        return copy_in_kernel(lanes, pair.source.get(), pair.target.get(), range, looked_at);
    };
    CHECK(copy({0, 256 * KiB}, unit) == KernelCopy::not_done);
    CHECK(copy({0, MiB}, 4 * KiB) == KernelCopy::not_done);
    CHECK(copy({512, MiB - 512}, unit) == KernelCopy::not_done);
    CHECK(pair.copied() == Bytes(MiB, std::byte{0xEE}));
}

TEST_CASE("two_workers_share_a_target") {
    const Pair pair(64 * MiB);
    CopyLanes lanes;
    const auto work = [&](std::uint64_t first) {
        for (std::uint64_t at = first * 4 * MiB; at < pair.bytes.size(); at += 8 * MiB) {
            const Range range{at, 4 * MiB};
            const auto copy =
                copy_in_memory(pair.source.get(), pair.target.get(), std::span(&range, 1), unit, &lanes);
            REQUIRE(copy.copied == range.length);
        }
    };
    std::thread other(work, 1);
    work(0);
    other.join();
    CHECK(pair.copied() == pair.bytes);
}

TEST_CASE("zero_units_are_told_and_nothing_else_is") {
    in_both_lanes([](CopyLanes& lanes) {
        Pair pair(long_size);
        const auto clear = [&](Range range) {
            for (std::uint64_t at = range.offset; at < range.end(); ++at) pair.bytes[at] = std::byte{0};
        };
        clear({3 * unit, 2 * unit});     // whole units
        clear({10 * unit, unit - 512});  // begins with zeroes, holds data
        clear({20 * unit + 512, unit});  // none whole
        clear({9 * MiB, 512});           // the short last one
        pair.write_source();
        const MemoryCopy copy = pair.copy(lanes);
        CHECK(copy.read_error == 0);
        CHECK(copy.write_error == 0);
        CHECK(copy.zero == Ranges{{3 * unit, 2 * unit}, {9 * MiB, 512}});
        CHECK(copy.copied == long_size - 2 * unit - 512);
        Bytes found = pair.copied();
        for (const Range& range : copy.zero) {  // the caller's to make zero
            for (std::uint64_t at = range.offset; at < range.end(); ++at) found[at] = std::byte{0};
        }
        CHECK(found == pair.bytes);
    });
}

TEST_CASE("a_source_that_ends_early_is_an_error_and_no_signal") {
    in_both_lanes([](CopyLanes& lanes) {
        const Pair pair(4 * MiB);
        REQUIRE(::ftruncate(pair.source.get(), 3 * MiB) == 0);
        CHECK(pair.copy(lanes).read_error == EIO);
    });
}

TEST_CASE("a_target_that_was_cut_short_is_filled_and_no_signal") {
    in_both_lanes([](CopyLanes& lanes) {
        const Pair pair(4 * MiB);
        REQUIRE(::ftruncate(pair.target.get(), MiB) == 0);
        const MemoryCopy copy = pair.copy(lanes);
        CHECK(copy.read_error == 0);
        CHECK(copy.write_error == 0);
        CHECK(pair.copied() == pair.bytes);
    });
}

}  // namespace
}  // namespace exshadow
