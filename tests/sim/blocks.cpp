#include "sim/blocks.h"

#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"

namespace exshadow::sim {

namespace {

struct SectorHeader {
    std::uint32_t magic;
    std::uint32_t volume;
    std::uint64_t address;
    std::uint64_t sequence;
    std::uint32_t crc;  // of the whole sector with this field as zero
    std::uint32_t reserved;
};
static_assert(sizeof(SectorHeader) == 32);

constexpr std::uint32_t sector_magic = 0x45535845;  // "EXSE"

Value read_sector(std::span<const std::byte> sector, std::uint32_t volume, std::uint64_t address) {
    SectorHeader header;
    std::memcpy(&header, sector.data(), sizeof(header));
    if (header.magic == 0 && all_zero(sector)) return zeroes;
    if (header.magic != sector_magic || header.volume != volume || header.address != address) return garbage;
    const std::uint32_t crc = header.crc;
    header.crc = 0;
    const std::uint32_t head = crc32c(std::as_bytes(std::span(&header, 1)));
    return crc32c(sector.subspan(sizeof(header)), head) == crc ? header.sequence : garbage;
}

}  // namespace

void fill_sectors(std::span<std::byte> bytes, std::uint32_t volume, std::uint64_t offset, Value value) {
    EXSHADOW_CHECK(bytes.size() % sector_bytes == 0 && offset % sector_bytes == 0);
    for (std::uint64_t at = 0; at < bytes.size(); at += sector_bytes) {
        const auto sector = bytes.subspan(at, sector_bytes);
        std::memset(sector.data(), static_cast<int>(1 + value % 255), sector_bytes);
        SectorHeader header{sector_magic, volume, (offset + at) / sector_bytes, value, 0, 0};
        header.crc = crc32c(sector.subspan(sizeof(header)), crc32c(std::as_bytes(std::span(&header, 1))));
        std::memcpy(sector.data(), &header, sizeof(header));
    }
}

std::vector<Value> read_sectors(std::span<const std::byte> bytes, std::uint32_t volume,
                                std::uint64_t offset) {
    std::vector<Value> values(bytes.size() / sector_bytes);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const auto sector = bytes.subspan(i * sector_bytes, sector_bytes);
        values[i] = read_sector(sector, volume, offset / sector_bytes + i);
    }
    return values;
}

}  // namespace exshadow::sim
