// The seal of a clean close: a digest of all change maps, kept in the superblock. A map has two places for
// each block, and after a crash the older one may rightly be in force; after a clean close it never is. So a
// byte that rotted in the newer place is told from a torn write, and nothing older is believed in its stead.
#pragma once

#include <cstdint>

#include "volume/change_map.h"

namespace exshadow {

// The same for equal bits, however they are held. Never 0. Steps of `leaves` from `cursor` on; `done` says
// that the end was reached (E34).
class MapDigest {
public:
    void add_id(std::uint64_t map_id);
    [[nodiscard]] bool add_step(const ChangeMap& map, std::uint64_t& cursor, std::uint64_t leaves = 64);
    void add(const ChangeMap& map);
    [[nodiscard]] std::uint32_t value() const { return crc_ == 0 ? 1 : crc_; }

private:
    std::uint32_t crc_ = 0;
};

}  // namespace exshadow
