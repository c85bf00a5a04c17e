#include "vss/win32/tool/output.h"

#include <windows.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include "vss/win32/text.h"
#include "vss/win32/tool/system.h"

namespace exshadow::vss::win32 {

namespace {

void write(DWORD which, std::string_view text) {
    const HANDLE handle = GetStdHandle(which);
    DWORD mode = 0;
    DWORD written = 0;
    if (GetConsoleMode(handle, &mode)) {
        const auto units = wide(text);
        WriteConsoleW(handle, units.data(), static_cast<DWORD>(units.size()), &written, nullptr);
        return;
    }
    while (!text.empty()) {
        if (!WriteFile(handle, text.data(), static_cast<DWORD>(text.size()), &written, nullptr) ||
            written == 0)
            return;
        text.remove_prefix(written);
    }
}

}  // namespace

void write_out(std::string_view text) {
    write(STD_OUTPUT_HANDLE, text);
}

void write_error(std::string_view text) {
    write(STD_ERROR_HANDLE, text);
}

int Output::result(const Json& json, std::string_view text) const {
    write_out(json_ ? dump(json) + "\n" : std::string(text));
    return 0;
}

int Output::failure(const Error& error, std::string_view report_name, const Json& report) const {
    if (json_) {
        auto document = error_json(error);
        if (!report_name.empty()) document[std::string(report_name)] = report;
        write_out(dump(document) + "\n");
    } else {
        write_error("exshadow-vss: " + error.message() + "\n");
        if (!error.hint().empty()) write_error("  " + error.hint() + "\n");
    }
    return exit_status(error.code());
}

int Output::failure(const Error& error) const {
    return failure(error, "", Json());
}

bool has_console() {
    DWORD mode = 0;
    return GetConsoleMode(GetStdHandle(STD_INPUT_HANDLE), &mode) != 0;
}

bool answers_yes(std::string_view question) {
    write_error(question);
    std::array<wchar_t, 256> line{};
    DWORD units = 0;
    if (!ReadConsoleW(GetStdHandle(STD_INPUT_HANDLE), line.data(), static_cast<DWORD>(line.size()), &units,
                      nullptr))
        return false;
    auto answer = utf8(std::wstring_view(line.data(), units));
    while (!answer.empty() && (answer.back() == '\n' || answer.back() == '\r')) answer.pop_back();
    return answer == "y" || answer == "Y" || answer == "yes";
}

void Output::progress(std::string_view line) const {
    if (json_) {
        write_error(dump(Json{{"progress", line}}) + "\n");
    } else {
        write_error(std::string(line) + "\n");
    }
}

int exit_status(Code code) {
    switch (code) {
        case Code::internal: return 1;
        case Code::invalid: return 2;
        case Code::not_found: return 3;
        case Code::refused:
        case Code::exists:
        case Code::permission:
        case Code::newer_version:
        case Code::unsupported:
        case Code::closed: return 4;
        case Code::mismatch:
        case Code::corrupt: return 5;
        case Code::writer_failed: return 6;
        case Code::io:
        case Code::no_space: return 7;
        case Code::busy:
        case Code::timed_out: return 8;
        case Code::cancelled: return 130;
    }
    return 1;
}

}  // namespace exshadow::vss::win32
