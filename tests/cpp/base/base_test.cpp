#include <doctest/doctest.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/units.h"
#include "base/uuid.h"

namespace exshadow {
namespace {

using Bytes = std::vector<std::byte>;

std::span<const std::byte> as_bytes(std::string_view text) {
    return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

TEST_CASE("crc32c_matches_the_vectors_of_rfc_3720") {
    Bytes bytes(32, std::byte{0});
    CHECK(crc32c(bytes) == 0x8A9136AAU);
    std::fill(bytes.begin(), bytes.end(), std::byte{0xFF});
    CHECK(crc32c(bytes) == 0x62A8AB43U);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
    CHECK(crc32c(bytes) == 0x46DD794EU);
    CHECK(crc32c(as_bytes("123456789")) == 0xE3069283U);
    CHECK(crc32c({}) == 0U);
}

TEST_CASE("crc32c_is_the_same_in_hardware_and_in_tables_at_any_alignment") {
    std::mt19937_64 random(7);
    Bytes bytes(10'000);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    for (int i = 0; i < 500; ++i) {
        const std::size_t begin = random() % 64;
        const std::size_t length = random() % (bytes.size() - begin);
        const auto part = std::span<const std::byte>(bytes).subspan(begin, length);
        const auto seed = static_cast<std::uint32_t>(random());
        CHECK(crc32c(part, seed) == crc32c_portable(part, seed));
    }
}

TEST_CASE("crc32c_continues_from_a_seed") {
    const auto whole = as_bytes("123456789");
    CHECK(crc32c(whole.subspan(4), crc32c(whole.first(4))) == crc32c(whole));
}

TEST_CASE("all_zero_sees_any_single_byte") {
    Bytes bytes(1000, std::byte{0});
    CHECK(all_zero({}));
    for (std::size_t begin = 0; begin < 70; ++begin) {
        CHECK(all_zero(std::span<const std::byte>(bytes).subspan(begin)));
    }
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        bytes[at] = std::byte{0x80};
        CHECK(!all_zero(bytes));
        CHECK(all_zero(std::span<const std::byte>(bytes).first(at)));
        CHECK(all_zero(std::span<const std::byte>(bytes).subspan(at + 1)));
        bytes[at] = std::byte{0};
    }
}

TEST_CASE("uuids_are_random_and_survive_text") {
    const Uuid one = Uuid::random();
    CHECK(one != Uuid::random());
    CHECK(!one.is_nil());
    CHECK(Uuid{}.is_nil());
    CHECK((one.bytes[6] >> 4) == 4);  // version
    CHECK((one.bytes[8] >> 6) == 2);  // variant
    CHECK(Uuid::parse(one.text()) == one);
    const std::string text = "01234567-89ab-4def-8123-456789abcdef";
    REQUIRE(Uuid::parse(text).has_value());
    CHECK(Uuid::parse(text)->text() == text);
    CHECK(Uuid::from_words(1, 2) == Uuid::from_words(1, 2));
    CHECK(Uuid::from_words(1, 2) != Uuid::from_words(2, 1));
}

TEST_CASE("what_is_not_a_uuid_is_refused") {
    for (const char* const text :
         {"", "01234567", "01234567-89ab-4def-8123-456789abcde", "01234567-89ab-4def-8123-456789abcdef0",
          "01234567089ab-4def-8123-456789abcdef", "g1234567-89ab-4def-8123-456789abcdef"}) {
        CAPTURE(text);
        CHECK(!Uuid::parse(text).has_value());
    }
}

TEST_CASE("errors_say_what_where_and_what_to_do") {
    const Error missing = os_error(ENOENT, "open", "/data/db.img");
    CHECK(missing.code() == Code::not_found);
    CHECK(missing.message() == "cannot open /data/db.img: No such file or directory");
    CHECK(missing.os_error() == ENOENT);
    const Error busy(Code::busy, "db.img is locked", "stop the other one");
    const Error outer = busy.within("volume db");
    CHECK(outer.message() == "volume db: db.img is locked");
    CHECK(outer.hint() == "stop the other one");
    CHECK(outer.code() == Code::busy);
    CHECK(os_error(ENOSPC, "write", "x").code() == Code::no_space);
    CHECK(os_error(EIO, "write", "x").code() == Code::io);
    CHECK(code_name(Code::newer_version) == "newer_version");
}

TEST_CASE("results_carry_a_value_or_an_error") {
    Result<int> good(3);
    CHECK(good.ok());
    CHECK(*good == 3);
    const Result<int> bad(Error(Code::io, "broken"));
    CHECK(!bad.ok());
    CHECK(bad.error().message() == "broken");
    CHECK(Status{}.ok());
}

TEST_CASE("ranges_round_outwards_and_stay_inside") {
    CHECK(round_out({5, 10}, 8, 100) == Range{0, 16});
    CHECK(round_out({90, 10}, 64, 100) == Range{64, 36});
    CHECK(Range{0, 8}.overlaps({7, 1}));
    CHECK(!Range{0, 8}.overlaps({8, 1}));
    CHECK(Range{0, 8}.contains({2, 6}));
    CHECK(!Range{0, 8}.contains({2, 7}));
    CHECK(divide_up(9, 4) == 3);
    CHECK(is_power_of_two(64));
    CHECK(!is_power_of_two(0));
    CHECK(!is_power_of_two(96));
}

TEST_CASE("aligned_buffers_are_aligned_and_move") {
    AlignedBuffer buffer = AlignedBuffer::zeroed(10'000);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % AlignedBuffer::alignment == 0);
    CHECK(all_zero(buffer.span()));
    const std::byte* const data = buffer.data();
    const AlignedBuffer moved = std::move(buffer);
    CHECK(moved.data() == data);
    CHECK(moved.size() == 10'000);
    CHECK(AlignedBuffer().size() == 0);
}

}  // namespace
}  // namespace exshadow
