#include "ese/checksum.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "ese/block_fold.h"

namespace exshadow::ese {

// checksum_avx2.cpp; only where avx2_built says so and the processor has it.
Fold fold_avx2(const std::byte* block, std::size_t size);
bool avx2_built();

namespace {

constexpr std::uint32_t seed = 0x89ABCDEF;

std::uint32_t word_at(const std::byte* from) {
    std::uint32_t word = 0;
    std::memcpy(&word, from, sizeof word);
    return word;
}

bool processor_has_avx2() {
#if defined(__x86_64__) || defined(__i386__)
    static const bool has = __builtin_cpu_supports("avx2") != 0;
    return has;
#else
    return false;
#endif
}

Fold fold(const std::byte* block, std::size_t size, Method method) {
    const bool wide = method == Method::avx2 || (method == Method::automatic && available(Method::avx2));
    return wide ? fold_avx2(block, size) : fold_block<std::uint64_t>(block, size);
}

// Takes words 0 and 1 out of a fold, as if they were zero.
void take_out_sums(Fold& fold, const std::byte* block) {
    const auto second = word_at(block + 4);
    fold.columns ^= word_at(block) ^ second;
    if ((std::popcount(second) & 1) != 0) fold.index ^= 1U;  // word 0 has no index bits
}

}  // namespace

bool available(Method method) {
    return method != Method::avx2 || (avx2_built() && processor_has_avx2());
}

std::uint32_t xor32(std::span<const std::byte> bytes) {
    std::uint32_t sum = seed;
    for (std::size_t at = 4; at + 4 <= bytes.size(); at += 4) sum ^= word_at(bytes.data() + at);
    return sum;
}

BlockSum block_sum(std::span<const std::byte> block, std::uint32_t pgno, bool holds_sums, Method method) {
    static_assert(std::endian::native == std::endian::little);
    EXSHADOW_CHECK(block.size() >= 2048 && block.size() <= 8192 && block.size() % 2048 == 0);
    Fold folded = fold(block.data(), block.size(), method);
    if (holds_sums) take_out_sums(folded, block.data());
    std::uint32_t columns = 0;  // XOR of the bit numbers within a word
    for (std::uint32_t rest = folded.columns; rest != 0; rest &= rest - 1) {
        columns ^= static_cast<std::uint32_t>(std::countr_zero(rest));
    }
    const std::uint32_t low = (folded.index << 5U) | columns;
    const auto mask = static_cast<std::uint32_t>(8 * block.size() - 1);
    const bool odd_count = (std::popcount(folded.columns) & 1) != 0;
    const std::uint32_t high = odd_count ? low ^ mask : low;
    return {folded.columns ^ pgno, (high << 16U) | low};
}

bool all_zero(std::span<const std::byte> bytes) {
    // A run of equal bytes equals itself moved by one.
    return bytes.empty() ||
           (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace exshadow::ese
