// Small helpers for the methods of the SDK's interfaces: checked out-pointers and texts.
#pragma once

#include <windows.h>

#include <string_view>

#include "memory.h"

namespace exshadow::test_double {

template <class... Pointers>
[[nodiscard]] bool any_null(Pointers... pointers) {
    return (... || (pointers == nullptr));
}

// Texts that a document may lack: S_FALSE and a null string.
inline HRESULT give(BSTR* out, std::string_view text) {
    if (out == nullptr) return E_INVALIDARG;
    *out = new_bstr_or_null(text);
    return text.empty() ? S_FALSE : S_OK;
}

// Texts that are always there, though they may be empty.
inline HRESULT give_always(BSTR* out, std::string_view text) {
    if (out == nullptr) return E_INVALIDARG;
    *out = new_bstr(text);
    return *out != nullptr ? S_OK : E_OUTOFMEMORY;
}

template <class Out, class Value>
HRESULT give_value(Out* out, Value value) {
    if (out == nullptr) return E_INVALIDARG;
    *out = static_cast<Out>(value);
    return S_OK;
}

}  // namespace exshadow::test_double
