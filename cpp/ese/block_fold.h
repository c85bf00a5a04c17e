// The inner loop of block_sum, written once for any width of word. Included by one source file per width,
// each compiled for its own instruction set: everything has internal linkage, so that the linker cannot mix
// them.
//
// The XOR of the indexes of all words with odd parity is wanted. Bit k of it is the parity of all words whose
// index has bit k set, so one running XOR per index bit is enough: eight vectors are folded as a tree, whose
// inner nodes are the running XORs of the three lowest index bits.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace exshadow::ese {

// What a block folds to: the XOR of its 32-bit words, and the XOR of the indexes of those with odd parity.
struct Fold {
    std::uint32_t columns = 0;
    std::uint32_t index = 0;
};

namespace {

template <class Vector>
Vector load(const std::byte* from) {
    Vector vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
}

// The 32-bit words of a vector, XORed; `index` gets the XOR of the lane numbers with odd parity.
template <class Vector>
std::uint32_t fold_lanes(const Vector& vector, std::uint32_t& index) {
    constexpr std::size_t lanes = sizeof(Vector) / sizeof(std::uint32_t);
    std::array<std::uint32_t, lanes> words{};
    std::memcpy(words.data(), &vector, sizeof vector);
    std::uint32_t columns = 0;
    for (std::uint32_t lane = 0; lane < lanes; ++lane) {
        columns ^= words[lane];
        if ((std::popcount(words[lane]) & 1) != 0) index ^= lane;
    }
    return columns;
}

template <class Vector>
bool odd(const Vector& vector) {
    std::uint32_t unused = 0;
    return (std::popcount(fold_lanes(vector, unused)) & 1) != 0;
}

// `size` is a multiple of eight vectors.
template <class Vector>
Fold fold_block(const std::byte* block, std::size_t size) {
    constexpr std::size_t step = 8 * sizeof(Vector);
    constexpr unsigned lane_bits = std::bit_width(sizeof(Vector) / sizeof(std::uint32_t)) - 1;
    Vector all{};
    std::array<Vector, 3> low{};   // index bits 0 to 2, counted in vectors
    std::array<Vector, 8> high{};  // index bits 3 and up
    const std::size_t steps = size / step;
    for (std::size_t i = 0; i < steps; ++i, block += step) {
        std::array<Vector, 8> v;
        for (std::size_t k = 0; k < 8; ++k) v[k] = load<Vector>(block + k * sizeof(Vector));
        const Vector pair0 = v[0] ^ v[1];
        const Vector pair1 = v[2] ^ v[3];
        const Vector pair2 = v[4] ^ v[5];
        const Vector pair3 = v[6] ^ v[7];
        low[0] ^= (v[1] ^ v[3]) ^ (v[5] ^ v[7]);
        low[1] ^= pair1 ^ pair3;
        const Vector upper = pair2 ^ pair3;
        low[2] ^= upper;
        const Vector sum = pair0 ^ pair1 ^ upper;
        all ^= sum;
        for (std::size_t bit = 0; (i >> bit) != 0; ++bit) {
            if (((i >> bit) & 1U) != 0) high[bit] ^= sum;
        }
    }
    Fold fold;
    fold.columns = fold_lanes(all, fold.index);
    for (unsigned bit = 0; bit < 3; ++bit) {
        if (odd(low[bit])) fold.index ^= 1U << (lane_bits + bit);
    }
    for (unsigned bit = 0; bit < high.size(); ++bit) {
        if (odd(high[bit])) fold.index ^= 1U << (lane_bits + 3 + bit);
    }
    return fold;
}

}  // namespace
}  // namespace exshadow::ese
