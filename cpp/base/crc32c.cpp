#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace exshadow {

namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) {
            value = (value >> 1) ^ ((value & 1U) != 0 ? 0x82F63B78U : 0U);
        }
        table[i] = value;
    }
    return table;
}

constexpr auto table = make_table();

using CrcFunction = std::uint32_t (*)(std::span<const std::byte>, std::uint32_t);
using ZeroFunction = bool (*)(std::span<const std::byte>);

bool all_zero_portable(std::span<const std::byte> bytes) {
    std::size_t at = 0;
    for (; at + 64 <= bytes.size(); at += 64) {
        std::array<std::uint64_t, 8> words;
        std::memcpy(words.data(), bytes.data() + at, 64);
        std::uint64_t any = 0;
        for (const auto word : words) any |= word;
        if (any != 0) return false;
    }
    for (; at < bytes.size(); ++at) {
        if (bytes[at] != std::byte{0}) return false;
    }
    return true;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::span<const std::byte> bytes,
                                                             std::uint32_t seed) {
    std::uint64_t crc = static_cast<std::uint32_t>(~seed);
    std::size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, 8);
        crc = _mm_crc32_u64(crc, word);
    }
    auto tail = static_cast<std::uint32_t>(crc);
    for (; at < bytes.size(); ++at) tail = _mm_crc32_u8(tail, static_cast<std::uint8_t>(bytes[at]));
    return ~tail;
}

__attribute__((target("avx2"))) bool all_zero_avx2(std::span<const std::byte> bytes) {
    std::size_t at = 0;
    for (; at + 128 <= bytes.size(); at += 128) {
        const auto* p = reinterpret_cast<const __m256i*>(bytes.data() + at);
        const __m256i any =
            _mm256_or_si256(_mm256_or_si256(_mm256_loadu_si256(p), _mm256_loadu_si256(p + 1)),
                            _mm256_or_si256(_mm256_loadu_si256(p + 2), _mm256_loadu_si256(p + 3)));
        if (_mm256_testz_si256(any, any) == 0) return false;
    }
    return all_zero_portable(bytes.subspan(at));
}
#endif

CrcFunction choose_crc() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2") != 0) return crc32c_sse42;
#endif
    return crc32c_portable;
}

ZeroFunction choose_zero() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") != 0) return all_zero_avx2;
#endif
    return all_zero_portable;
}

}  // namespace

std::uint32_t crc32c_portable(std::span<const std::byte> bytes, std::uint32_t seed) {
    std::uint32_t crc = ~seed;
    for (const std::byte byte : bytes) {
        crc = (crc >> 8) ^ table[(crc ^ static_cast<std::uint32_t>(byte)) & 0xFFU];
    }
    return ~crc;
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed) {
    static const CrcFunction function = choose_crc();
    return function(bytes, seed);
}

bool all_zero(std::span<const std::byte> bytes) {
    static const ZeroFunction function = choose_zero();
    return function(bytes);
}

}  // namespace exshadow
