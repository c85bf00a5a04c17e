#include "base/error.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace exshadow {

void check_failed(const char* expression, const char* file, int line) {
    std::fprintf(stderr, "exshadow: internal check failed: %s (%s:%d)\n", expression, file, line);
    std::abort();
}

std::string_view code_name(Code code) {
    switch (code) {
        case Code::internal: return "internal";
        case Code::invalid: return "invalid";
        case Code::not_found: return "not_found";
        case Code::exists: return "exists";
        case Code::refused: return "refused";
        case Code::permission: return "permission";
        case Code::newer_version: return "newer_version";
        case Code::corrupt: return "corrupt";
        case Code::mismatch: return "mismatch";
        case Code::io: return "io";
        case Code::no_space: return "no_space";
        case Code::busy: return "busy";
        case Code::cancelled: return "cancelled";
        case Code::timed_out: return "timed_out";
        case Code::closed: return "closed";
        case Code::unsupported: return "unsupported";
        case Code::writer_failed: return "writer_failed";
    }
    return "internal";
}

Error::Error(Code code, std::string message, std::string hint, int os_error)
    : info_(std::make_shared<const Info>(Info{code, os_error, std::move(message), std::move(hint)})) {}

Error Error::within(std::string_view context) const {
    return Error(code(), std::string(context) + ": " + message(), hint(), os_error());
}

namespace {

Code code_of(int error_number) {
    switch (error_number) {
        case ENOENT:
        case ENXIO:
        case ENODEV: return Code::not_found;
        case EACCES:
        case EPERM:
        case EROFS: return Code::permission;
        case EBUSY:
        case ETXTBSY:
        case EWOULDBLOCK: return Code::busy;
        case ENOSPC:
#ifdef EDQUOT  // Windows has none
        case EDQUOT:
#endif
        case EFBIG: return Code::no_space;
        case EISDIR:
        case ENOTDIR:
        case ENAMETOOLONG:
        case EINVAL: return Code::invalid;
        case EEXIST: return Code::exists;
        case EOPNOTSUPP:
        case ENOSYS: return Code::unsupported;
        case ECANCELED: return Code::cancelled;
        case ETIMEDOUT: return Code::timed_out;
        default: return Code::io;
    }
}

}  // namespace

Error os_error(int error_number, std::string_view what, std::string_view object) {
    std::string message = "cannot ";
    message += what;
    message += ' ';
    message += object;
    message += ": ";
    message += std::strerror(error_number);
    return Error(code_of(error_number), std::move(message), {}, error_number);
}

}  // namespace exshadow
