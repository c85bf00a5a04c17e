// Text and blocks on their way to the client, in the memory that the SDK says, each counted until it is
// freed.
//
// Frees are seen by a malloc spy (IMallocSpy): both CoTaskMemFree and SysFreeString end there, as long as
// oleaut32 does not cache strings, which SetOaNoCache switches off.
#pragma once

#include <windows.h>

#include <oleauto.h>

#include <string>
#include <string_view>

#include "base/uuid.h"

namespace exshadow::test_double {

void watch_memory();  // once, before the first block is handed out

[[nodiscard]] std::wstring wide(std::string_view text);
[[nodiscard]] std::string narrow(const wchar_t* text);  // a null pointer is the empty text

[[nodiscard]] BSTR new_bstr(std::string_view text);
[[nodiscard]] BSTR new_bstr_or_null(std::string_view text);  // null for the empty text
[[nodiscard]] wchar_t* new_task_text(std::string_view text);
[[nodiscard]] wchar_t* new_task_text_or_null(std::string_view text);

[[nodiscard]] GUID guid(const Uuid& id);
[[nodiscard]] Uuid uuid(const GUID& id);

}  // namespace exshadow::test_double
