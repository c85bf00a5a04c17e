#include "ese/log.h"

#include <vector>

#include "ese/log_records.h"
#include "ese/log_segments.h"

namespace exshadow::ese {

namespace {

constexpr std::uint64_t largest_in_memory = std::uint64_t{32} << 20;

Result<LogBody> check_body(Source& source, const LogHeader& header, bool current) {
    if (header.major >= 8) return check_segments(source, header, current);
    return check_records(source, header, current);
}

}  // namespace

Result<LogBody> check_log_body(Source& source, const LogHeader& header, bool current) {
    if (!source.forward_only()) {
        auto body = check_body(source, header, current);
        if (body.ok()) EXSHADOW_TRY(source.still_whole());
        return body;
    }
    // A chain of records is read here and there: a stream is taken into memory first.
    if (header.size() > largest_in_memory) {
        return Error(Code::unsupported, "a log of more than 32 MiB cannot be read from a stream",
                     "put it into a file");
    }
    std::vector<std::byte> bytes(static_cast<std::size_t>(header.size()));
    const auto got = source.read(0, bytes);
    if (!got.ok()) return got.error();
    bytes.resize(*got);
    const auto memory = from_memory(bytes);
    auto body = check_body(*memory, header, current);
    if (body.ok() && bytes.size() < header.size()) {
        body->sound = false;
        body->trouble = "ends after " + std::to_string(bytes.size()) + " bytes where its header states " +
                        std::to_string(header.size());
    }
    return body;
}

}  // namespace exshadow::ese
