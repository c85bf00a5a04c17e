// Windows' texts and ids as ours: UTF-16 to UTF-8, GUID to Uuid, HRESULT to Status.
#pragma once

#include <windows.h>

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/uuid.h"
#include "vss/hresult.h"

namespace exshadow::vss::win32 {

// What is no Unicode (a lone surrogate in a file name) becomes U+FFFD.
[[nodiscard]] std::string utf8(std::wstring_view text);
[[nodiscard]] std::string utf8(const wchar_t* text);  // null gives an empty string
[[nodiscard]] std::wstring wide(std::string_view text);

[[nodiscard]] GUID guid(const Uuid& id);
[[nodiscard]] Uuid uuid(const GUID& id);

[[nodiscard]] inline HResult code(HRESULT result) {
    return static_cast<HResult>(static_cast<std::uint32_t>(result));
}
// The error of a COM call; one that VSS does not document has the system's text for it.
[[nodiscard]] Error com_error(HRESULT result, std::string_view what);
[[nodiscard]] Status check(HRESULT result, std::string_view what);
// The error of a Win32 call, from GetLastError().
[[nodiscard]] Error last_error(std::string_view what);

}  // namespace exshadow::vss::win32
