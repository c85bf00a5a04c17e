#include "ese/log.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <utility>

#include "cpp/ese/make.h"

using namespace exshadow;
using namespace exshadow::ese;
using make::Bytes;

namespace {

constexpr std::uint32_t generation = 9;

LogBody judge(const Bytes& log, bool current) {
    const auto header = read_log_header(log);
    REQUIRE(header.ok());
    const auto source = from_memory(log);
    auto body = check_log_body(*source, *header, current);
    REQUIRE(body.ok());
    return *body;
}

// 3 valid segments, the shadow of the third, a stale one, a zero one.
Bytes segments() {
    auto log = make::log_header(generation, 8, 4096, 7);
    for (std::uint16_t number = 1; number <= 3; ++number)
        make::append(log, make::segment(generation, number));
    make::append(log, make::segment(generation, 3));
    make::append(log, make::segment(generation - 2, 5));
    log.resize(7 * 4096);
    return log;
}

std::uint32_t fold(const Bytes& log, std::size_t at, std::size_t count) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < count; ++i)
        sum ^= std::to_integer<std::uint32_t>(log[at + i]) << (8 * (i % 4));
    return sum;
}

// A record of format 7 that covers the start of its sector and `after` bytes.
void record(Bytes& log, std::size_t at, std::uint32_t after, std::uint32_t next, std::uint32_t mark = 0) {
    const auto before = static_cast<std::uint32_t>(at % 512);
    log[at] = std::byte{42};
    make::put(log, at + 1, before);
    make::put(log, at + 5, after);
    make::put(log, at + 9, next);
    make::put(log, at + 17, std::uint32_t{0});
    const bool several = at % 512 + 22 + after > 512;
    const std::uint32_t use = several ? 0x9A : 0xD1;
    log[at + 21] = static_cast<std::byte>(use);
    const auto same = before ^ after ^ next ^ use ^ generation ^ fold(log, at - before, before);
    make::put(log, at + 13, 0xFEEDBEAFU ^ same ^ fold(log, at + 22, after) ^ mark);
    const auto near = 512 - (at + 22) % 512;
    if (several) make::put(log, at + 17, 0xDEADC0DEU ^ same ^ fold(log, at + 22, near));
}

// Records at 4096 (over two sectors), 5300 and 5400; the last sector has its shadow.
Bytes records() {
    auto log = make::log_header(generation, 7, 512, 20);
    for (std::size_t at = 4096; at < 20 * 512; ++at) log.push_back(static_cast<std::byte>(at * 7 + at / 256));
    record(log, 4096, 1000, 5300 - 4118);
    record(log, 5300, 5400 - 5322, 5400 - 5322);
    record(log, 5400, 150, 0);
    std::copy_n(log.begin() + 5120, 512, log.begin() + 5632);
    std::uint32_t sum = 0;
    std::memcpy(&sum, log.data() + 5413, 4);
    make::put(log, 5413 + 512, sum ^ 0x5AD05EC7U);
    return log;
}

}  // namespace

TEST_CASE("ese: segments are told apart") {
    const auto body = judge(segments(), false);
    CHECK(body.sound);
    CHECK(body.segments == 6);
    CHECK(body.valid == 3);
    CHECK(body.stale == 1);
    CHECK(body.empty == 1);
    CHECK(!body.full);
    CHECK(body.trouble.empty());
}

TEST_CASE("ese: every flipped bit of every segment is found") {
    for (const bool current : {false, true}) {
        auto log = segments();
        for (std::size_t bit = std::size_t{8} * 4096; bit < 8 * log.size(); bit += 3) {
            make::flip(log, bit);
            const auto body = judge(log, current);
            CHECK(!body.sound);  // the shadow of the last one mends a torn write, and this is none
            CHECK(!body.torn_end);
            make::flip(log, bit);
        }
    }
}

TEST_CASE("ese: a torn last segment is mended by its shadow, in the current log") {
    auto log = segments();
    std::fill_n(log.begin() + 3 * 4096 + 2048, 2048, std::byte{0});
    CHECK(judge(log, true).sound);
    CHECK(judge(log, true).torn_end);
    CHECK(!judge(log, false).sound);
}

TEST_CASE("ese: segments out of place, lost, or of another log") {
    auto log = segments();
    std::swap_ranges(log.begin() + 4096, log.begin() + 8192, log.begin() + 8192);
    CHECK(!judge(log, true).sound);
    log = segments();
    std::fill_n(log.begin() + 8192, 4096, std::byte{0});  // a valid one follows
    CHECK(!judge(log, true).sound);
    log = segments();
    const auto foreign = make::segment(generation + 1, 2);
    std::copy(foreign.begin(), foreign.end(), log.begin() + 8192);
    CHECK(!judge(log, false).sound);
    log = segments();
    log.resize(3 * 4096);  // the size of the file is compared elsewhere
    CHECK(judge(log, false).valid == 2);
    const auto nothing = make::log_header(generation, 8, 4096, 7);
    auto empty = nothing;
    empty.resize(7 * 4096);
    CHECK(judge(empty, true).sound);
    CHECK(!judge(empty, false).sound);
}

TEST_CASE("ese: a chain of checksum records") {
    const auto body = judge(records(), false);
    CHECK(body.trouble == "");
    CHECK(body.sound);
    CHECK(body.segments == 3);
}

TEST_CASE("ese: every flipped bit under a record is found, and the shadow mends the last sector") {
    auto log = records();
    for (std::size_t bit = std::size_t{8} * 4096; bit < 8 * (5400 + 22 + 150); ++bit) {
        const auto at = bit / 8;
        // The first record covers up to here; up to its sector nothing else does.
        if (at >= 4096 + 22 + 1000 && at < 5120) continue;
        make::flip(log, bit);
        CHECK(!judge(log, false).sound);
        const auto body = judge(log, true);
        CHECK(body.sound == (at >= 5120));
        CHECK(body.torn_end == (at >= 5120));
        make::flip(log, bit);
    }
    std::fill_n(log.begin() + 5120, 512, std::byte{0});
    CHECK(judge(log, true).torn_end);
    CHECK(!judge(log, false).sound);
    make::flip(log, std::size_t{8} * 5700);  // the shadow is damaged as well
    CHECK(!judge(log, true).sound);
}

TEST_CASE("ese: records that point nowhere") {
    for (const auto& [at, value] : {std::pair{1U, 5U}, {5U, 0xFFFFFFFFU}, {9U, 0xFFFFFFF0U}, {9U, 1U}}) {
        auto log = records();
        make::put(log, 4096 + at, value);
        CHECK(!judge(log, false).sound);
        CHECK(!judge(log, true).sound);
    }
}
