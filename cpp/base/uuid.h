// 128-bit random identifiers (RFC 9562 version 4 layout).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace exshadow {

struct Uuid {
    std::array<std::uint8_t, 16> bytes{};

    [[nodiscard]] static Uuid random();                                           // from the operating system
    [[nodiscard]] static Uuid from_words(std::uint64_t high, std::uint64_t low);  // for seeded tests
    [[nodiscard]] static std::optional<Uuid> parse(std::string_view text);
    [[nodiscard]] std::string text() const;  // 8-4-4-4-12 lower case
    [[nodiscard]] bool is_nil() const { return *this == Uuid{}; }
    friend auto operator<=>(const Uuid&, const Uuid&) = default;
};

}  // namespace exshadow
