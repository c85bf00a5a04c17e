#include <windows.h>

#include <array>
#include <limits>

#include "base/uuid.h"
#include "vss/hresult.h"
#include "vss/win32/text.h"
#include "vss/win32/tool/system.h"

namespace exshadow::vss::win32 {

namespace {

class File {
public:
    explicit File(HANDLE handle) : handle_(handle) {}
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() {
        if (open()) CloseHandle(handle_);
    }
    [[nodiscard]] bool open() const { return handle_ != INVALID_HANDLE_VALUE; }
    [[nodiscard]] HANDLE get() const { return handle_; }

private:
    HANDLE handle_;
};

Error file_error(const char* what, std::string_view path) {
    const DWORD number = GetLastError();
    const auto plain = last_error("cannot " + std::string(what) + " " + std::string(path));
    const Code code = number == ERROR_FILE_NOT_FOUND || number == ERROR_PATH_NOT_FOUND ? Code::not_found
                      : number == ERROR_ACCESS_DENIED                                  ? Code::permission
                      : number == ERROR_DISK_FULL                                      ? Code::no_space
                                                                                       : Code::io;
    return {code, plain.message()};
}

std::wstring with_backslash(std::wstring path) {
    if (!path.empty() && path.back() != L'\\') path += L'\\';
    return path;
}

std::wstring expanded(const std::wstring& path) {
    std::array<wchar_t, 32768> buffer{};
    const DWORD size =
        ExpandEnvironmentStringsW(path.c_str(), buffer.data(), static_cast<DWORD>(buffer.size()));
    return size == 0 || size > buffer.size() ? path : std::wstring(buffer.data());
}

}  // namespace

std::string volume_name(std::string_view volume) {
    const auto path = with_backslash(wide(volume));
    std::array<wchar_t, MAX_PATH> name{};
    if (GetVolumeNameForVolumeMountPointW(path.c_str(), name.data(), static_cast<DWORD>(name.size())))
        return utf8(name.data());
    return utf8(path);
}

bool is_volume(std::string_view volume) {
    const auto name = volume_name(volume);
    if (name.starts_with("\\\\?\\Volume{")) return GetDriveTypeW(wide(name).c_str()) != DRIVE_NO_ROOT_DIR;
    return name.starts_with("\\\\");
}

std::string shown_volume(const std::string& volume) {
    std::array<wchar_t, 32768> paths{};
    DWORD size = 0;
    const bool known = GetVolumePathNamesForVolumeNameW(wide(volume).c_str(), paths.data(),
                                                        static_cast<DWORD>(paths.size()), &size) != 0;
    return known && paths.front() != L'\0' ? utf8(paths.data()) : volume;  // the first of the list
}

std::optional<std::string> volume_of(const std::string& path) {
    const auto full = expanded(wide(path));
    if (full.find(L'%') != std::wstring::npos) return std::nullopt;  // a variable that only the writer has
    std::array<wchar_t, 32768> root{};
    if (!GetVolumePathNameW(full.c_str(), root.data(), static_cast<DWORD>(root.size()))) return std::nullopt;
    return volume_name(utf8(root.data()));
}

namespace {

// Others may read beside us, but not write: half a file is no answer. What a command left running ends with
// its job, a moment after the command.
HANDLE open_to_read(const std::wstring& path) {
    constexpr int tries = 30;
    constexpr DWORD pause = 100;
    for (int i = 1;; ++i) {
        const HANDLE handle = CreateFileW(path.c_str(), GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING,
                                          FILE_ATTRIBUTE_NORMAL, nullptr);
        if (handle != INVALID_HANDLE_VALUE || GetLastError() != ERROR_SHARING_VIOLATION || i == tries)
            return handle;
        Sleep(pause);
    }
}

// Empty when the bytes are no text of that code page.
std::wstring of_code_page(UINT page, std::string_view bytes) {
    const auto size = static_cast<int>(bytes.size());
    const int units = MultiByteToWideChar(page, MB_ERR_INVALID_CHARS, bytes.data(), size, nullptr, 0);
    std::wstring out(static_cast<std::size_t>(units), L'\0');
    MultiByteToWideChar(page, MB_ERR_INVALID_CHARS, bytes.data(), size, out.data(), units);
    return out;
}

std::string of_utf16(std::string_view bytes) {
    std::wstring units;
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
        const auto low = static_cast<unsigned char>(bytes[i]);
        const auto high = static_cast<unsigned char>(bytes[i + 1]);
        units += static_cast<wchar_t>(low | (high << 8U));
    }
    return utf8(units);
}

// UTF-16 or UTF-8 where a mark at the beginning says so; nothing where none does.
std::optional<std::string> marked_text(std::string_view bytes) {
    if (bytes.starts_with("\xEF\xBB\xBF")) return std::string(bytes.substr(3));
    if (bytes.starts_with("\xFF\xFE")) return of_utf16(bytes.substr(2));
    return std::nullopt;
}

}  // namespace

Result<std::string> read_file(std::string_view path) {
    const File file(open_to_read(wide(path)));
    if (!file.open()) return file_error("read", path);
    std::string bytes;
    std::array<char, 65536> piece{};
    for (;;) {
        DWORD got = 0;
        if (!ReadFile(file.get(), piece.data(), static_cast<DWORD>(piece.size()), &got, nullptr))
            return file_error("read", path);
        if (got == 0) return bytes;
        bytes.append(piece.data(), got);
        if (bytes.size() > 256U << 20U)
            return Error(Code::invalid, std::string(path) + " is too large for a document");
    }
}

Result<std::string> read_document(std::string_view path) {
    const DWORD attributes = GetFileAttributesW(wide(path).c_str());
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
        return Error(Code::invalid, std::string(path) + " is a folder, not a document",
                     "name the file in it: backup-components.xml");
    auto bytes = read_file(path);
    if (!bytes.ok()) return bytes.error();
    constexpr std::string_view unmarked("<\0", 2);  // UTF-16, as it begins without a mark
    auto text = bytes->starts_with(unmarked) ? of_utf16(*bytes) : marked_text(*bytes).value_or(*bytes);
    // A null would end the text on its way through COM.
    if (text.empty() || text.find('\0') != std::string::npos)
        return vss_error(HResult::vss_e_invalid_xml_document, std::string(path) + " is no document");
    return text;
}

std::string command_text(std::string_view bytes) {
    if (auto text = marked_text(bytes)) return *std::move(text);
    if (bytes.empty() || !of_code_page(CP_UTF8, bytes).empty()) return std::string(bytes);
    const UINT console = GetConsoleOutputCP();  // 0 without a console
    const auto units = of_code_page(console != 0 ? console : GetOEMCP(), bytes);
    return units.empty() ? std::string(bytes) : utf8(units);
}

Status write_file(std::string_view path, std::string_view bytes) {
    const auto aside = std::string(path) + ".new";
    {
        const File file(CreateFileW(wide(aside).c_str(), GENERIC_WRITE, 0, nullptr, CREATE_ALWAYS,
                                    FILE_ATTRIBUTE_NORMAL, nullptr));
        if (!file.open()) return file_error("write", aside);
        while (!bytes.empty()) {
            DWORD written = 0;
            const auto piece = static_cast<DWORD>(bytes.size() < 1U << 20U ? bytes.size() : 1U << 20U);
            if (!WriteFile(file.get(), bytes.data(), piece, &written, nullptr))
                return file_error("write", aside);
            bytes.remove_prefix(written);
        }
        if (!FlushFileBuffers(file.get())) return file_error("write", aside);
    }
    if (!MoveFileExW(wide(aside).c_str(), wide(path).c_str(),
                     MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
        return file_error("write", path);
    return {};
}

Status make_folder(std::string_view path) {
    const auto name = wide(path);
    if (CreateDirectoryW(name.c_str(), nullptr) || GetLastError() == ERROR_ALREADY_EXISTS) {
        const DWORD attributes = GetFileAttributesW(name.c_str());
        if ((attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) return {};
        return Error(Code::exists, std::string(path) + " is a file, not a folder");
    }
    const auto cut = path.find_last_of("\\/");
    if (GetLastError() != ERROR_PATH_NOT_FOUND || cut == std::string_view::npos || cut == 0)
        return file_error("make the folder", path);
    EXSHADOW_TRY(make_folder(path.substr(0, cut)));
    if (CreateDirectoryW(name.c_str(), nullptr)) return {};
    return file_error("make the folder", path);
}

Result<std::string> make_temporary_folder() {
    std::array<wchar_t, MAX_PATH + 1> base{};
    if (GetTempPathW(static_cast<DWORD>(base.size()), base.data()) == 0) return last_error("GetTempPath");
    const auto path = utf8(base.data()) + "exshadow-vss-" + Uuid::random().text();
    EXSHADOW_TRY(make_folder(path));
    return path;
}

void remove_folder(std::string_view path) {
    WIN32_FIND_DATAW entry{};
    const auto folder = wide(path);
    const HANDLE search = FindFirstFileW((folder + L"\\*").c_str(), &entry);
    if (search != INVALID_HANDLE_VALUE) {
        do {
            if ((entry.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) == 0)
                DeleteFileW((folder + L"\\" + entry.cFileName).c_str());
        } while (FindNextFileW(search, &entry));
        FindClose(search);
    }
    RemoveDirectoryW(folder.c_str());
}

}  // namespace exshadow::vss::win32
