// Errors as values. Every engine call that can fail returns Result<T> (or Status = Result<void>);
// nothing in the engine throws. Each outer edge (Python, later NBD) has exactly one mapping of Code.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace exshadow {

// One row per kind of failure a caller can act on. The text name (code_name) is the "code" of the
// JSON error document; the exit status of the command line is chosen from it (python/exshadow/errors.py).
enum class Code : std::uint8_t {
    internal,       // a bug of ours
    invalid,        // wrong argument: what was asked for makes no sense
    not_found,      // no such volume, plex, snapshot, file
    exists,         // the name or content is there already
    refused,        // not permitted in the state found
    permission,     // the file or device may not be written or opened by this user
    newer_version,  // written by a newer exshadow
    corrupt,        // metadata damaged: checksum, magic or bounds
    mismatch,       // contents differ where they must be equal, or a plex is not what it was
    io,             // a read, write or flush failed
    no_space,       // no room for data or metadata
    busy,           // locked or in use by somebody else
    cancelled,      // stopped on request; state is resumable
    timed_out,      // gave up waiting
    closed,         // the volume or engine is closed
    unsupported,    // this kernel or file system cannot do it
    writer_failed,  // a VSS writer or provider failed (cpp/vss)
};

[[nodiscard]] std::string_view code_name(Code code);

// An error is one shared pointer wide, so passing Status on the hot path costs nothing.
class Error {
public:
    Error(Code code, std::string message, std::string hint = {}, int os_error = 0);

    [[nodiscard]] Code code() const { return info_->code; }
    [[nodiscard]] const std::string& message() const { return info_->message; }
    [[nodiscard]] const std::string& hint() const { return info_->hint; }  // what to do; may be empty
    // The system's own number: errno, an HRESULT in cpp/vss, 0 where none.
    [[nodiscard]] int os_error() const { return info_->os_error; }

    // The same error with "context: " put in front of its message.
    [[nodiscard]] Error within(std::string_view context) const;

private:
    struct Info {
        Code code;
        int os_error;
        std::string message;
        std::string hint;
    };
    std::shared_ptr<const Info> info_;
};

// Error for a failed system call on a named object; picks Code from errno (ENOENT -> not_found, ...).
[[nodiscard]] Error os_error(int error_number, std::string_view what, std::string_view object);

template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : value_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
    Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

    [[nodiscard]] bool ok() const { return value_.has_value(); }
    explicit operator bool() const { return ok(); }
    [[nodiscard]] T& value() & {
        check_ok();
        return *value_;
    }
    [[nodiscard]] const T& value() const& {
        check_ok();
        return *value_;
    }
    [[nodiscard]] T&& value() && {
        check_ok();
        return std::move(*value_);
    }
    [[nodiscard]] const Error& error() const {
        EXSHADOW_CHECK(error_.has_value());
        return *error_;
    }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

private:
    void check_ok() const { EXSHADOW_CHECK(value_.has_value()); }
    std::optional<T> value_;
    std::optional<Error> error_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

    [[nodiscard]] bool ok() const { return !error_.has_value(); }
    explicit operator bool() const { return ok(); }
    [[nodiscard]] const Error& error() const {
        EXSHADOW_CHECK(error_.has_value());
        return *error_;
    }

private:
    std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace exshadow

// Return early with the error of an expression that yields a Status or Result (plain functions).
#define EXSHADOW_TRY(expression)                                           \
    do {                                                                   \
        auto exshadow_try_result = (expression);                           \
        if (!exshadow_try_result.ok()) return exshadow_try_result.error(); \
    } while (false)

// The same inside a coroutine. The awaited result is named first: no temporaries in co_await (E31).
#define EXSHADOW_CO_TRY(expression)                                           \
    do {                                                                      \
        auto exshadow_try_result = (expression);                              \
        if (!exshadow_try_result.ok()) co_return exshadow_try_result.error(); \
    } while (false)
