// Little-endian fields of ESE structures.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "base/check.h"

namespace exshadow::ese {

static_assert(std::endian::native == std::endian::little);

template <class T>
[[nodiscard]] T field(std::span<const std::byte> bytes, std::size_t at) {
    static_assert(std::is_integral_v<T>);
    EXSHADOW_CHECK(at + sizeof(T) <= bytes.size());
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

}  // namespace exshadow::ese
