// The one suite every BlockDevice passes: the contract of disk/block_device.h, claim by claim, then
// seeded random requests against a vector that knows what every byte must be.
//
//     run_on(loop, check_conformance(loop, device, seed));
//
// The device holds anything; at least 1 MiB. A failure prints the seed.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "base/buffer.h"
#include "base/units.h"
#include "disk/block_device.h"
#include "runtime/loop.h"
#include "runtime/sync.h"

namespace exshadow::test {

using Bytes = std::vector<std::byte>;

class Conformance {
public:
    Conformance(Loop& loop, BlockDevice& device, std::uint64_t seed)
        : loop_(loop), device_(device), seed_(seed), random_(seed), model_(device.size()), noise_(2 * MiB) {
        for (auto& byte : noise_) byte = static_cast<std::byte>(random_() | 1);  // never zero
    }

    Task<void> all() {
        INFO("device " << device_.describe() << ", seed " << seed_);
        REQUIRE(device_.size() >= 1 * MiB);
        CHECK(is_power_of_two(device_.block_size()));
        co_await read_everything(model_);
        co_await refuses_what_is_outside();
        co_await answers_empty_requests();
        co_await keeps_both_sides_of_every_boundary();
        co_await zeroes_in_both_modes();
        co_await follows_the_model(250);
        co_await serves_requests_side_by_side(12);
        co_await matches_the_model();
        co_await tells_extents();
        const Status flushed = co_await device_.flush();
        CHECK(flushed.ok());
        co_await matches_the_model();
    }

private:
    Task<void> read_everything(Bytes& bytes) {
        const Status status = co_await device_.read(0, bytes);
        REQUIRE(status.ok());
    }

    Task<void> matches_the_model() {
        Bytes found(device_.size());
        co_await read_everything(found);
        if (std::memcmp(found.data(), model_.data(), found.size()) == 0) co_return;
        const auto at = std::mismatch(found.begin(), found.end(), model_.begin()).first;
        const auto first_difference = at - found.begin();
        CAPTURE(first_difference);
        CHECK(at == found.end());
    }

    Task<void> write(std::uint64_t offset, Bytes data) {
        const Status status = co_await device_.write(offset, data);
        CAPTURE(offset);
        CAPTURE(data.size());
        REQUIRE(status.ok());
        std::copy(data.begin(), data.end(), model_.begin() + static_cast<std::ptrdiff_t>(offset));
    }

    Task<void> zero(Range range, ZeroMode mode) {
        const Status status = co_await device_.zero(range, mode);
        CAPTURE(range.offset);
        CAPTURE(range.length);
        REQUIRE(status.ok());
        const auto begin = model_.begin() + static_cast<std::ptrdiff_t>(range.offset);
        std::fill_n(begin, range.length, std::byte{0});
    }

    Task<void> check(Range range) {
        Bytes found(range.length);
        const Status status = co_await device_.read(range.offset, found);
        CAPTURE(range.offset);
        CAPTURE(range.length);
        REQUIRE(status.ok());
        const auto begin = model_.begin() + static_cast<std::ptrdiff_t>(range.offset);
        CHECK(std::equal(found.begin(), found.end(), begin));
    }

    void check_refused(const Status& status) {
        REQUIRE(!status.ok());
        CHECK(status.error().code() == Code::invalid);
    }

    Task<void> refuses_what_is_outside() {
        const std::uint64_t size = device_.size();
        constexpr std::uint64_t highest = ~std::uint64_t{0};
        const std::vector<std::uint64_t> offsets{size, size - 1, size + 1, highest, highest - 1};
        for (const std::uint64_t offset : offsets) {
            Bytes two(2, std::byte{0x5a});
            const Status read = co_await device_.read(offset, two);
            check_refused(read);
            CHECK(two == Bytes(2, std::byte{0x5a}));
            const Status written = co_await device_.write(offset, two);
            check_refused(written);
            const Status zeroed = co_await device_.zero(Range{offset, 2}, ZeroMode::may_unmap);
            check_refused(zeroed);
            const auto extents = co_await device_.extents(Range{offset, 2});
            CHECK(!extents.ok());
        }
        const Status everything = co_await device_.zero(Range{1, highest}, ZeroMode::keep_allocated);
        check_refused(everything);
        co_await matches_the_model();
    }

    Task<void> answers_empty_requests() {
        const std::vector<std::uint64_t> offsets{0, 1, 4096, device_.size() - 1, device_.size()};
        for (const std::uint64_t offset : offsets) {
            co_await check(Range{offset, 0});
            co_await write(offset, Bytes{});
            co_await zero(Range{offset, 0}, ZeroMode::may_unmap);
            const auto extents = co_await device_.extents(Range{offset, 0});
            CHECK(extents.ok());
        }
    }

    Task<void> keeps_both_sides_of_every_boundary() {
        const std::uint64_t size = device_.size();
        const std::vector<std::uint64_t> boundaries{512, 4096, 64 * KiB, 512 * KiB, size};
        const std::vector<std::uint64_t> lengths{1, 2, 511, 513, 4095, 4097, 65537};
        for (const std::uint64_t boundary : boundaries) {
            for (const std::uint64_t length : lengths) {
                const std::uint64_t half = std::min(boundary, length / 2);
                const std::uint64_t offset = boundary == size ? size - length : boundary - half;
                co_await write(offset, random_bytes(length));
                const std::uint64_t begin = offset < 100 ? 0 : offset - 100;
                const std::uint64_t end = std::min(offset + length + 100, size);
                co_await check(Range{begin, end - begin});
            }
        }
        co_await matches_the_model();
    }

    Task<void> zeroes_in_both_modes() {
        const std::vector<Range> ranges{{0, 1},
                                        {511, 2},
                                        {4096, 4096},
                                        {5000, 100'000},
                                        {64 * KiB, 64 * KiB},
                                        {300'001, 299'999},
                                        {0, device_.size()}};
        for (const ZeroMode mode : {ZeroMode::keep_allocated, ZeroMode::may_unmap}) {
            for (const Range range : ranges) {
                co_await write(0, random_bytes(700'000));
                co_await zero(range, mode);
                co_await matches_the_model();
                co_await write(range.offset, random_bytes(std::min<std::uint64_t>(range.length, 5000)));
            }
        }
        co_await matches_the_model();
    }

    Task<void> follows_the_model(int requests) {
        for (int i = 0; i < requests; ++i) {
            co_await one_request(random_range(0, device_.size()));
        }
        co_await matches_the_model();
    }

    // Requests that do not share a block run beside each other, at any alignment.
    Task<void> serves_requests_side_by_side(int rounds) {
        constexpr std::uint64_t lanes = 16;
        const std::uint64_t unit = std::max<std::uint64_t>(device_.block_size(), 4096);
        const std::uint64_t lane_bytes = round_down(device_.size() / lanes, unit);
        for (int round = 0; round < rounds; ++round) {
            TaskGroup group(loop_);
            for (std::uint64_t lane = 0; lane < lanes; ++lane) {
                group.spawn(one_request(random_range(lane * lane_bytes, lane_bytes)));
            }
            co_await group.wait();
        }
    }

    Task<void> one_request(Range range) {
        switch (random_below(8)) {
            case 0: co_await zero(range, ZeroMode::keep_allocated); break;
            case 1: co_await zero(range, ZeroMode::may_unmap); break;
            case 2:
            case 3:
            case 4: co_await check(range); break;
            default: co_await write(range.offset, random_bytes(range.length)); break;
        }
    }

    Task<void> tells_extents() {
        co_await zero(Range{0, device_.size()}, ZeroMode::may_unmap);
        co_await write(200'000, random_bytes(100'000));
        co_await write(device_.size() - 1, random_bytes(1));
        const std::vector<Range> ranges{{0, device_.size()}, {1, 300'000}, {250'000, 10}, {199'999, 2}};
        for (const Range range : ranges) {
            const auto extents = co_await device_.extents(range);
            REQUIRE(extents.ok());
            check_extents(extents.value(), range);
        }
    }

    void check_extents(const std::vector<Extent>& extents, Range range) {
        std::uint64_t at = range.offset;
        for (const Extent& extent : extents) {
            CHECK(extent.range.offset == at);
            CHECK(!extent.range.empty());
            REQUIRE(extent.range.end() <= range.end());
            at = extent.range.end();
            if (!extent.zero) continue;
            const auto begin = model_.begin() + static_cast<std::ptrdiff_t>(extent.range.offset);
            const auto end = begin + static_cast<std::ptrdiff_t>(extent.range.length);
            CHECK(std::all_of(begin, end, [](std::byte byte) { return byte == std::byte{0}; }));
        }
        CHECK(at == range.end());
    }

    std::uint64_t random_below(std::uint64_t limit) { return random_() % limit; }

    // Mostly small, sometimes big; often aligned to something.
    Range random_range(std::uint64_t begin, std::uint64_t length) {
        const std::uint64_t largest =
            std::min<std::uint64_t>(length, random_below(8) == 0 ? 600'000 : 20'000);
        constexpr std::uint64_t units[] = {1, 512, 4096, 65536};
        const std::uint64_t unit = units[random_below(4)];
        Range range{random_below(length), 1 + random_below(largest)};
        range.offset = round_down(range.offset, unit);
        range.length = std::min(round_up(range.length, unit), length - range.offset);
        range.offset += begin;
        return range;
    }

    // A piece of the noise from a random place, at most half of it long.
    Bytes random_bytes(std::uint64_t length) {
        REQUIRE(length <= noise_.size() / 2);
        const auto begin = noise_.begin() + static_cast<std::ptrdiff_t>(random_below(noise_.size() / 2));
        return Bytes(begin, begin + static_cast<std::ptrdiff_t>(length));
    }

    Loop& loop_;
    BlockDevice& device_;
    std::uint64_t seed_;
    std::mt19937_64 random_;
    Bytes model_;
    Bytes noise_;
};

inline Task<void> check_conformance(Loop& loop, BlockDevice& device, std::uint64_t seed) {
    Conformance suite(loop, device, seed);
    co_await suite.all();
}

}  // namespace exshadow::test
