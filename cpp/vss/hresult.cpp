#include "vss/hresult.h"

#include <array>
#include <bit>
#include <cstdio>

namespace exshadow::vss {

namespace {

constexpr std::string_view common_advice(Retry retry) {
    switch (retry) {
        case Retry::none: return "";
        case Retry::transient: return "wait a while, then repeat with a new session, at most three times";
        case Retry::after_repair:
            return "read the event log (sources VSS and VolSnap), mend what it names, then repeat";
        case Retry::never: return "repeating does not help: change what was asked for";
    }
    return "";
}

constexpr HResultFacts facts(HResult value, std::string_view name, Retry retry, std::string_view meaning,
                             std::string_view advice) {
    return {value, name, retry, meaning, advice.empty() ? common_advice(retry) : advice};
}

constexpr auto table = std::to_array<HResultFacts>({
#define EXSHADOW_ROW(enumerator, name, value, retry, meaning, advice) \
    facts(HResult::enumerator, #name, Retry::retry, meaning, advice),
    EXSHADOW_VSS_HRESULTS(EXSHADOW_ROW)
#undef EXSHADOW_ROW
});

// The kind of failure for callers that know nothing of VSS (exit statuses, JSON codes).
Code kind(HResult value) {
    switch (value) {
        case HResult::e_invalidarg:
        case HResult::e_pointer: return Code::invalid;
        case HResult::e_accessdenied: return Code::permission;
        case HResult::e_notimpl:
        case HResult::e_nointerface:
        case HResult::vss_e_volume_not_supported:
        case HResult::vss_e_volume_not_supported_by_provider:
        case HResult::vss_e_unsupported_context:
        case HResult::vss_e_not_supported: return Code::unsupported;
        case HResult::vss_e_object_not_found:
        case HResult::vss_e_provider_not_registered: return Code::not_found;
        case HResult::vss_e_object_already_exists: return Code::exists;
        case HResult::vss_e_bad_state: return Code::refused;
        case HResult::vss_e_snapshot_set_in_progress:
        case HResult::vss_e_volume_in_use:
        case HResult::vss_e_revert_in_progress:
        case HResult::vss_e_resync_in_progress:
        case HResult::vss_e_provider_in_use: return Code::busy;
        case HResult::vss_e_corrupt_xml_document:
        case HResult::vss_e_invalid_xml_document: return Code::corrupt;
        case HResult::vss_e_insufficient_storage: return Code::no_space;
        case HResult::vss_s_async_cancelled: return Code::cancelled;
        default: return Code::writer_failed;
    }
}

}  // namespace

std::span<const HResultFacts> all_hresults() {
    return table;
}

const HResultFacts* find_hresult(HResult value) {
    for (const auto& row : table) {
        if (row.value == value) return &row;
    }
    return nullptr;
}

std::string hresult_text(HResult value) {
    std::array<char, 16> digits{};
    std::snprintf(digits.data(), digits.size(), "0x%08X", static_cast<unsigned>(value));
    const auto* row = find_hresult(value);
    if (row == nullptr) return digits.data();
    return std::string(row->name) + " (" + digits.data() + ")";
}

Error vss_error(HResult value, std::string_view context) {
    const auto* row = find_hresult(value);
    std::string message(context);
    if (!message.empty()) message += ": ";
    message += hresult_text(value);
    message += ": ";
    message += row != nullptr ? row->meaning : "a code that VSS does not document";
    std::string hint(row != nullptr ? row->advice : common_advice(Retry::after_repair));
    return {kind(value), std::move(message), std::move(hint), std::bit_cast<int>(value)};
}

HResult hresult_of(const Error& error) {
    // Other errors have an errno there, a small number as the HRESULTs of success are.
    const auto value = std::bit_cast<HResult>(error.os_error());
    const bool ours =
        find_hresult(value) != nullptr && (failed(value) || value == HResult::vss_s_async_cancelled);
    return ours ? value : HResult::vss_e_unexpected;
}

std::string vss_context(const Error& error) {
    const auto& message = error.message();
    const auto code = message.rfind(hresult_text(hresult_of(error)));
    if (code == std::string::npos) return message;
    return code < 2 ? "" : message.substr(0, code - 2);  // before ": "
}

}  // namespace exshadow::vss
