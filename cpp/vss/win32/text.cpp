#include "vss/win32/text.h"

#include <array>
#include <cstdint>

namespace exshadow::vss::win32 {

std::string utf8(std::wstring_view text) {
    if (text.empty()) return {};
    const auto length = static_cast<int>(text.size());
    const int bytes = WideCharToMultiByte(CP_UTF8, 0, text.data(), length, nullptr, 0, nullptr, nullptr);
    std::string out(static_cast<std::size_t>(bytes), '\0');
    WideCharToMultiByte(CP_UTF8, 0, text.data(), length, out.data(), bytes, nullptr, nullptr);
    return out;
}

std::string utf8(const wchar_t* text) {
    return text == nullptr ? std::string() : utf8(std::wstring_view(text));
}

std::wstring wide(std::string_view text) {
    if (text.empty()) return {};
    const auto length = static_cast<int>(text.size());
    const int units = MultiByteToWideChar(CP_UTF8, 0, text.data(), length, nullptr, 0);
    std::wstring out(static_cast<std::size_t>(units), L'\0');
    MultiByteToWideChar(CP_UTF8, 0, text.data(), length, out.data(), units);
    return out;
}

// A GUID's first three parts are numbers of the machine; a Uuid's bytes stand as they are written.
GUID guid(const Uuid& id) {
    const auto& b = id.bytes;
    GUID out{};
    out.Data1 = static_cast<std::uint32_t>(b[0]) << 24U | static_cast<std::uint32_t>(b[1]) << 16U |
                static_cast<std::uint32_t>(b[2]) << 8U | static_cast<std::uint32_t>(b[3]);
    out.Data2 = static_cast<std::uint16_t>(b[4] << 8U | b[5]);
    out.Data3 = static_cast<std::uint16_t>(b[6] << 8U | b[7]);
    for (std::size_t i = 0; i < 8; ++i) out.Data4[i] = b[8 + i];
    return out;
}

Uuid uuid(const GUID& id) {
    Uuid out;
    for (std::size_t i = 0; i < 4; ++i) out.bytes[i] = static_cast<std::uint8_t>(id.Data1 >> (24 - 8 * i));
    for (std::size_t i = 0; i < 2; ++i) {
        out.bytes[4 + i] = static_cast<std::uint8_t>(id.Data2 >> (8 - 8 * i));
        out.bytes[6 + i] = static_cast<std::uint8_t>(id.Data3 >> (8 - 8 * i));
    }
    for (std::size_t i = 0; i < 8; ++i) out.bytes[8 + i] = id.Data4[i];
    return out;
}

namespace {

std::string system_text(DWORD number) {
    std::array<wchar_t, 512> buffer{};
    const DWORD flags =
        FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS | FORMAT_MESSAGE_MAX_WIDTH_MASK;
    const DWORD length =
        FormatMessageW(flags, nullptr, number, 0, buffer.data(), static_cast<DWORD>(buffer.size()), nullptr);
    std::string text = utf8(std::wstring_view(buffer.data(), length));
    while (!text.empty() && (text.back() == ' ' || text.back() == '.')) text.pop_back();
    return text;
}

}  // namespace

Error com_error(HRESULT result, std::string_view what) {
    if (find_hresult(code(result)) != nullptr) return vss_error(code(result), what);
    const auto text = system_text(static_cast<DWORD>(result));
    if (text.empty()) return vss_error(code(result), what);
    const auto bare = vss_error(code(result), what);
    return {bare.code(), std::string(what) + ": " + hresult_text(code(result)) + ": " + text, bare.hint(),
            bare.os_error()};
}

Status check(HRESULT result, std::string_view what) {
    if (FAILED(result)) return com_error(result, what);
    return {};
}

Error last_error(std::string_view what) {
    return com_error(HRESULT_FROM_WIN32(GetLastError()), what);
}

}  // namespace exshadow::vss::win32
