// The two checksums of ESE files (fact sheet "ESE files", 4.1 to 4.3). Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace exshadow::ese {

// XOR32: 0x89ABCDEF xor all little-endian words from byte 4 on. Headers, log headers, checkpoints, flush-map
// headers, trailers, and pages of before 2004 keep it in their first word. A length that is no multiple of
// four is cut to one.
[[nodiscard]] std::uint32_t xor32(std::span<const std::byte> bytes);

// ECC+XOR of one block. `ecc` is the XOR of the numbers of all set bits, twice (see below); with it a single
// flipped bit is found. Bit numbers are 8 * byte + bit.
struct BlockSum {
    std::uint32_t xor_sum = 0;
    std::uint32_t ecc = 0;  // low half: L; high half: L, or L ^ mask when the count of set bits is odd
    friend bool operator==(const BlockSum&, const BlockSum&) = default;
};

// How the sums are computed. All give the same result; `automatic` takes the fastest that this machine has.
enum class Method : std::uint8_t { automatic, scalar, avx2 };
[[nodiscard]] bool available(Method method);

// `block`: 2048, 4096 or 8192 bytes. With `holds_sums` its first eight bytes, where a page keeps these very
// sums, count as zero. `pgno` is the page's number by its place (log segments: their number in the file).
[[nodiscard]] BlockSum block_sum(std::span<const std::byte> block, std::uint32_t pgno, bool holds_sums,
                                 Method method = Method::automatic);

[[nodiscard]] bool all_zero(std::span<const std::byte> bytes);

}  // namespace exshadow::ese
