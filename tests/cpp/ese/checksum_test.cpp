#include "ese/checksum.h"

#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cstring>
#include <random>
#include <vector>

#include "ese/page.h"

using namespace exshadow::ese;

namespace {

using Bytes = std::vector<std::byte>;

void put(Bytes& bytes, std::size_t at, std::uint32_t value) {
    std::memcpy(bytes.data() + at, &value, 4);
}

// The pattern of the fact sheet's worked vectors (4.8).
Bytes pattern(std::size_t size) {
    Bytes bytes(size);
    std::uint32_t x = 1;
    for (auto& byte : bytes) {
        x = x * 1664525U + 1013904223U;
        byte = static_cast<std::byte>(x >> 24U);
    }
    return bytes;
}

Bytes vector_page(std::size_t size, std::uint32_t pgno) {
    auto page = pattern(size);
    put(page, 36, 0x2000);
    if (size >= 16384) {
        put(page, 64, pgno);
        std::memset(page.data() + 68, 0, 12);
    }
    return page;
}

// Blocks 3, 2, 1, 0: block 0 covers the sums of the others.
std::vector<BlockSum> seal(Bytes& page, std::uint32_t pgno) {
    const std::size_t blocks = page.size() >= 16384 ? 4 : 1;
    const auto size = page.size() / blocks;
    std::vector<BlockSum> sums;
    for (auto k = blocks; k-- > 0;) {
        const auto sum = block_sum({page.data() + k * size, size}, pgno, k == 0);
        const std::size_t at = k == 0 ? 0 : 40 + 8 * (k - 1);
        put(page, at, sum.xor_sum);
        put(page, at + 4, sum.ecc);
        sums.push_back(sum);
    }
    return sums;
}

// The definition of 4.3, bit by bit.
BlockSum by_definition(std::span<const std::byte> block, std::uint32_t pgno, bool holds_sums) {
    std::uint32_t low = 0, xor_sum = pgno, count = 0;
    for (std::size_t at = holds_sums ? 8 : 0; at < block.size(); ++at) {
        const auto byte = std::to_integer<std::uint32_t>(block[at]);
        xor_sum ^= byte << (8 * (at % 4));
        for (std::uint32_t bit = 0; bit < 8; ++bit) {
            if (((byte >> bit) & 1U) == 0) continue;
            low ^= static_cast<std::uint32_t>(8 * at) + bit;
            ++count;
        }
    }
    const auto mask = static_cast<std::uint32_t>(8 * block.size() - 1);
    const auto high = count % 2 == 0 ? low : low ^ mask;
    return {xor_sum, high << 16U | low};
}

}  // namespace

TEST_CASE("ese: the worked vectors of the fact sheet") {
    auto page4 = vector_page(4096, 0x12345);
    CHECK(seal(page4, 0x12345)[0] == BlockSum{0xb9852b73, 0x54915491});
    auto page8 = vector_page(8192, 0x12345);
    CHECK(seal(page8, 0x12345)[0] == BlockSum{0xb58df2d5, 0x2c0c2c0c});
    auto page16 = vector_page(16384, 0x12345);
    CHECK(seal(page16, 0x12345) == std::vector<BlockSum>{{0x531a6ee1, 0x631d1ce2},
                                                         {0x09a1f772, 0x281b57e4},
                                                         {0x0c09fae3, 0x789d789d},
                                                         {0xb122febb, 0x57965796}});
    auto page32 = vector_page(32768, 0x12345);
    CHECK(seal(page32, 0x12345) == std::vector<BlockSum>{{0x55ee0970, 0x34983498},
                                                         {0x6d42c46d, 0x898c898c},
                                                         {0x5ababad6, 0xcb06cb06},
                                                         {0xcc07762f, 0x2f022f02}});
    for (const auto* page : {&page4, &page8, &page16, &page32}) {
        CHECK(check_page(*page, 0x12345).state == PageState::good);
    }
    Bytes nearly_empty(4096);
    put(nearly_empty, 36, 0x2000);
    CHECK(block_sum(nearly_empty, 1, true) == BlockSum{0x00002001, 0x7ed2012d});
    auto legacy = pattern(4096);
    put(legacy, 36, 0);
    put(legacy, 4, 5);
    CHECK(xor32(legacy) == 0x302fe5dc);
}

TEST_CASE("ese: every method gives what the definition says") {
    std::mt19937_64 random(7);
    for (int round = 0; round < 300; ++round) {
        const std::size_t size = std::array{2048U, 4096U, 8192U}[random() % 3];
        Bytes block(size);
        const bool sparse = random() % 2 == 0;
        for (auto& byte : block) byte = static_cast<std::byte>(sparse && random() % 50 != 0 ? 0 : random());
        const auto pgno = static_cast<std::uint32_t>(random());
        const bool holds_sums = random() % 2 == 0;
        const auto expected = by_definition(block, pgno, holds_sums);
        CHECK(block_sum(block, pgno, holds_sums, Method::scalar) == expected);
        if (available(Method::avx2)) CHECK(block_sum(block, pgno, holds_sums, Method::avx2) == expected);
        CHECK(block_sum(block, pgno, holds_sums) == expected);
    }
}

TEST_CASE("ese: every flipped bit of a page is found, and named where the sums can") {
    for (const std::size_t size : {2048U, 4096U, 8192U, 16384U, 32768U}) {
        auto page = vector_page(size, 99);
        seal(page, 99);
        std::mt19937_64 random(size);
        for (std::uint32_t bit = 0; bit < 8 * size; bit += static_cast<std::uint32_t>(1 + random() % 7)) {
            page[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
            const auto check = check_page(page, 99);
            const bool in_sums = bit < 64;
            const bool sums_of_other_blocks = size >= 16384 && bit >= 8 * 40 && bit < 8 * 64;
            const bool the_switch = bit == 8 * 36 + 13;
            if (in_sums || the_switch) {
                CHECK(check.state >= PageState::correctable);
            } else if (sums_of_other_blocks) {
                CHECK(check.state != PageState::good);
            } else {
                CHECK(check.state == PageState::correctable);
                CHECK(check.bit == bit);
            }
            page[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        }
        CHECK(check_page(page, 99).state == PageState::good);
    }
}

TEST_CASE("ese: two flipped bits are never taken for one or none") {
    for (const std::size_t size : {4096U, 8192U, 32768U}) {
        auto page = vector_page(size, 7);
        seal(page, 7);
        std::mt19937_64 random(size + 1);
        for (int round = 0; round < 3000; ++round) {
            const auto one = random() % (8 * size);
            const auto other = random() % (8 * size);
            if (one == other) continue;
            for (const auto bit : {one, other}) page[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
            CHECK(check_page(page, 7).state >=
                  PageState::correctable);  // two in two blocks may each be correctable
            for (const auto bit : {one, other}) page[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        }
    }
}

TEST_CASE("ese: a page from elsewhere is told with the place it was made for") {
    for (const std::size_t size : {4096U, 8192U, 16384U, 32768U}) {
        auto page = vector_page(size, 41);
        seal(page, 41);
        const auto check = check_page(page, 42);
        CHECK(check.state == PageState::wrong_place);
        CHECK(check.belongs_at == 41);
    }
    auto page = vector_page(16384, 41);
    put(page, 64, 40);  // sums are right, its own number is not
    seal(page, 41);
    const auto check = check_page(page, 41);
    CHECK(check.state == PageState::wrong_number);
    CHECK(check.belongs_at == 40);
}

TEST_CASE("ese: legacy pages, empty pages") {
    auto page = pattern(4096);
    put(page, 36, 0);
    put(page, 4, 5);
    put(page, 0, xor32(page));
    CHECK(check_page(page, 5).state == PageState::good);
    CHECK(check_page(page, 5).legacy);
    CHECK(check_page(page, 6).state == PageState::wrong_place);
    page[1000] ^= std::byte{4};
    CHECK(check_page(page, 5).state == PageState::bad);

    Bytes empty(8192);
    CHECK(check_page(empty, 3).state == PageState::empty);
    for (const std::size_t at : {0U, 7U, 36U, 37U, 4000U, 8191U}) {
        empty[at] = std::byte{1};
        CHECK(check_page(empty, 3).state >= PageState::correctable);
        empty[at] = std::byte{0};
    }
}
