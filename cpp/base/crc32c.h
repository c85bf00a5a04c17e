// CRC-32C (Castagnoli, reflected 0x82F63B78), as used by iSCSI and ext4 metadata. Uses the SSE4.2
// instruction where the processor has it (decided at run time), a table otherwise; both agree (test).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace exshadow {

[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0);
[[nodiscard]] std::uint32_t crc32c_portable(std::span<const std::byte> bytes, std::uint32_t seed = 0);

// True when every byte is zero; run-time dispatched (AVX2 where present).
[[nodiscard]] bool all_zero(std::span<const std::byte> bytes);

}  // namespace exshadow
