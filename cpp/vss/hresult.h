// HRESULTs as typed errors. A failed VSS call is an Error whose os_error() is the HRESULT, whose message
// names it ("VSS_E_BAD_STATE (0x80042301): ...") and whose hint says what to do.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "vss/hresult_list.h"

namespace exshadow::vss {

enum class HResult : std::uint32_t {
#define EXSHADOW_ENUMERATOR(enumerator, name, value, retry, meaning, advice) enumerator = (value),
    EXSHADOW_VSS_HRESULTS(EXSHADOW_ENUMERATOR)
#undef EXSHADOW_ENUMERATOR
};

// What repeating the call may bring.
enum class Retry : std::uint8_t {
    none,       // not the error of a run
    transient,  // wait, then repeat with a new object; at most three times (DoSnapshotSet page: ten minutes
                // apart)
    after_repair,  // mend the cause, then repeat
    never,         // repeating changes nothing
};

struct HResultFacts {
    HResult value;
    std::string_view name;  // as in vsserror.h
    Retry retry;
    std::string_view meaning;  // one clause, no full stop
    std::string_view advice;   // what a person can do; never empty for failures
};

[[nodiscard]] std::span<const HResultFacts> all_hresults();
// Null for a value that the table does not hold.
[[nodiscard]] const HResultFacts* find_hresult(HResult value);
[[nodiscard]] constexpr bool failed(HResult value) {
    return (static_cast<std::uint32_t>(value) & 0x80000000U) != 0;
}
// "VSS_E_BAD_STATE (0x80042301)", or the bare number when unknown.
[[nodiscard]] std::string hresult_text(HResult value);

// The error of a failed call: "CONTEXT: NAME (0x...): meaning"; `context` says what was asked of whom.
[[nodiscard]] Error vss_error(HResult value, std::string_view context);
// The HRESULT of an error made by vss_error() of a failure or a cancellation; vss_e_unexpected for any other.
[[nodiscard]] HResult hresult_of(const Error& error);
// The message of an error without the code's name and meaning: what vss_error() was given as `context`.
[[nodiscard]] std::string vss_context(const Error& error);

}  // namespace exshadow::vss
