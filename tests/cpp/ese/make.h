// Small sound ESE files for the tests of this room. The sums come from the code under test (checksum_test.cpp
// proves those); whole files by an independent generator are judged in tests/python.
#pragma once

#include <cstring>
#include <vector>

#include "ese/checksum.h"
#include "ese/header.h"

namespace exshadow::ese::make {

using Bytes = std::vector<std::byte>;

template <class T>
void put(Bytes& bytes, std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
}
inline void flip(Bytes& bytes, std::size_t bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
}
inline void append(Bytes& to, const Bytes& more) {
    to.insert(to.end(), more.begin(), more.end());
}
inline void seal_header(Bytes& bytes, std::size_t size) {
    put(bytes, 0, xor32(std::span(bytes).first(size)));
}

inline Bytes database_header(std::uint32_t size, DatabaseState state = DatabaseState::clean_shutdown) {
    Bytes copy(size);
    put(copy, 4, magic);
    put(copy, 8, std::uint32_t{0x620});
    put(copy, 52, static_cast<std::uint32_t>(state));
    put(copy, 236, size);
    seal_header(copy, size);
    return copy;
}
// An ECC page of up to 8 KiB.
inline Bytes page(std::uint32_t size, std::uint32_t pgno) {
    Bytes bytes(size);
    for (std::size_t at = 40; at < size; at += 8)
        put(bytes, at, std::uint64_t{pgno} * 0x9E3779B97F4A7C15U + at);
    put(bytes, 8, std::uint64_t{1000} + pgno);
    put(bytes, 36, std::uint32_t{0x2000});
    const auto sum = block_sum(bytes, pgno, true);
    put(bytes, 0, sum.xor_sum);
    put(bytes, 4, sum.ecc);
    return bytes;
}
inline Bytes database(std::uint32_t size, std::uint32_t pages) {
    auto whole = database_header(size);
    append(whole, Bytes(whole));
    for (std::uint32_t pgno = 1; pgno <= pages; ++pgno) append(whole, page(size, pgno));
    return whole;
}

inline Bytes log_header(std::uint32_t generation, std::uint32_t major, std::uint16_t sector,
                        std::uint16_t sectors) {
    Bytes bytes(log_header_size);
    put(bytes, 4, generation);
    put(bytes, 8, sector);
    put(bytes, 10, static_cast<std::uint16_t>(log_header_size / sector));
    put(bytes, 12, sectors);
    put(bytes, 32, major);
    seal_header(bytes, log_header_size);
    return bytes;
}
inline Bytes segment(std::uint32_t generation, std::uint16_t number) {
    auto bytes = page(4096, number);
    put(bytes, 8, std::uint16_t{0});
    put(bytes, 10, number);
    put(bytes, 12, generation);
    const auto sum = block_sum(bytes, number, true);
    put(bytes, 0, sum.xor_sum);
    put(bytes, 4, sum.ecc);
    return bytes;
}

}  // namespace exshadow::ese::make
