#include "nbd/export.h"

namespace exshadow::nbd {

Task<Status> Export::write(std::uint64_t offset, WriteData data, bool fua) {
    auto writing = device().write(offset, data.bytes);
    Status status = co_await std::move(writing);
    if (!status.ok() || !fua) co_return status;
    auto flushing = device().flush();
    co_return co_await std::move(flushing);
}

Task<Result<std::vector<StatusExtent>>> Export::status(std::string context, Range, std::size_t) {
    co_return Error(Code::invalid, "there is no metadata context " + context);
}

}  // namespace exshadow::nbd
