#include "vss/types.h"

#include <array>

namespace exshadow::vss {

#define EXSHADOW_ROW(enumerator, sdk_name, value) EnumName{(value), #enumerator, #sdk_name},
#define EXSHADOW_NAMES(type, underlying, list)                                      \
    template <>                                                                     \
    std::span<const EnumName> enum_names<type>() {                                  \
        static constexpr auto rows = std::to_array<EnumName>({list(EXSHADOW_ROW)}); \
        return rows;                                                                \
    }
EXSHADOW_VSS_ENUMS(EXSHADOW_NAMES)
EXSHADOW_VSS_FLAG_SETS(EXSHADOW_NAMES)
#undef EXSHADOW_NAMES
#undef EXSHADOW_ROW

namespace {

std::string one_word(std::span<const EnumName> names, std::int64_t value) {
    for (const auto& row : names) {
        if (row.value == value) return std::string(row.word);
    }
    return std::to_string(value) + " (unknown)";
}

// Only single bits: the list may hold sums (all_backup_required) as well.
std::string flag_words(std::span<const EnumName> names, std::uint32_t value) {
    std::string text;
    for (const auto& row : names) {
        const auto bit = static_cast<std::uint32_t>(row.value);
        if ((bit & (bit - 1)) != 0 || (value & bit) == 0) continue;
        text += text.empty() ? "" : "+";
        text += row.word;
        value &= ~bit;
    }
    if (value != 0) text += (text.empty() ? "" : "+") + std::to_string(value);
    return text.empty() ? "none" : text;
}

Result<std::int64_t> value_of(std::span<const EnumName> names, std::string_view text) {
    std::string known;
    for (const auto& row : names) {
        if (row.word == text || row.sdk_name == text) return row.value;
        known += known.empty() ? "" : ", ";
        known += row.word;
    }
    return Error(Code::invalid, "'" + std::string(text) + "' is not one of them", "use one of: " + known);
}

}  // namespace

#define EXSHADOW_WORDS(type, underlying, list)                                 \
    template <>                                                                \
    std::string word<type>(type value) {                                       \
        return one_word(enum_names<type>(), static_cast<std::int64_t>(value)); \
    }
#define EXSHADOW_FLAG_WORDS(type, underlying, list)                               \
    template <>                                                                   \
    std::string word<type>(type value) {                                          \
        return flag_words(enum_names<type>(), static_cast<std::uint32_t>(value)); \
    }
#define EXSHADOW_FROM_WORD(type, underlying, list)             \
    template <>                                                \
    Result<type> from_word<type>(std::string_view text) {      \
        const auto value = value_of(enum_names<type>(), text); \
        if (!value.ok()) return value.error();                 \
        return static_cast<type>(*value);                      \
    }
EXSHADOW_VSS_ENUMS(EXSHADOW_WORDS)
EXSHADOW_VSS_FLAG_SETS(EXSHADOW_FLAG_WORDS)
EXSHADOW_VSS_ENUMS(EXSHADOW_FROM_WORD)
EXSHADOW_VSS_FLAG_SETS(EXSHADOW_FROM_WORD)
#undef EXSHADOW_FROM_WORD
#undef EXSHADOW_FLAG_WORDS
#undef EXSHADOW_WORDS

}  // namespace exshadow::vss
