// Self-describing sectors: every 512 bytes a simulated client writes say where they belong and which
// write they come from, so that any byte found anywhere names its history (E36).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/units.h"

namespace exshadow::sim {

// The checking unit: what a disk writes whole or not at all.
inline constexpr std::uint64_t sector_bytes = 512;

// What a sector holds: the sequence number of the write that put it there.
using Value = std::uint64_t;
inline constexpr Value zeroes = 0;
inline constexpr Value garbage = ~Value{0};  // no sector of this volume and address

// Fills whole sectors; `offset` is where `bytes` go on the volume.
void fill_sectors(std::span<std::byte> bytes, std::uint32_t volume, std::uint64_t offset, Value value);
// What each sector of `bytes`, found at `offset` of `volume`, holds.
[[nodiscard]] std::vector<Value> read_sectors(std::span<const std::byte> bytes, std::uint32_t volume,
                                              std::uint64_t offset);

}  // namespace exshadow::sim
