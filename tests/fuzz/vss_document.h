// What both document fuzzers demand: whatever is read can be written, and reads back as the same value and
// the same text.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "vss/documents.h"

namespace exshadow::fuzz {

// What is left out in a document is written with its default, so one at a limit may grow beyond it.
inline bool is_limit(const Error& error) {
    return error.message().find("too many") != std::string::npos ||
           error.message().find("larger than") != std::string::npos;
}

template <class Parse>
void check_document(const std::uint8_t* data, std::size_t size, const Parse& parse) {
    const auto read = parse(std::string_view(reinterpret_cast<const char*>(data), size));
    if (!read.ok()) {
        EXSHADOW_CHECK(vss::hresult_of(read.error()) == vss::HResult::vss_e_invalid_xml_document);
        return;
    }
    const auto written = serialise(*read);
    if (!written.ok() && is_limit(written.error())) return;
    EXSHADOW_CHECK(written.ok());
    const auto again = parse(*written);
    EXSHADOW_CHECK(again.ok());
    EXSHADOW_CHECK(*again == *read);
    const auto twice = serialise(*again);
    EXSHADOW_CHECK(twice.ok());
    EXSHADOW_CHECK(*twice == *written);
}

}  // namespace exshadow::fuzz
