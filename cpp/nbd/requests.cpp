// Requests: validated, carried out on the export's device, answered when they end.
#include <algorithm>

#include "nbd/session.h"

namespace exshadow::nbd {

namespace {

constexpr std::size_t most_extents = 2048;        // of one context in one reply
constexpr std::uint64_t first_extent_step = MiB;  // asked of the device at once
constexpr std::uint64_t last_extent_step = GiB;
constexpr std::size_t few_extents = 64;

std::uint16_t known_flags(Command command) {
    switch (command) {
        case Command::read: return command_fua | command_df;
        case Command::write_zeroes: return command_fua | command_no_hole | command_fast_zero;
        case Command::block_status: return command_fua | command_req_one;
        default: return command_fua;  // where it means nothing it is ignored
    }
}

void append(std::vector<StatusExtent>& extents, StatusExtent extent) {
    if (!extents.empty() && extents.back().flags == extent.flags) {
        extents.back().length += extent.length;
    } else {
        extents.push_back(extent);
    }
}

}  // namespace

// Whatever a client may get wrong is refused here; behind it, ranges lie inside the export.
Errno Session::check(const Request& request) const {
    const auto command = static_cast<Command>(request.type);
    if (request.type > static_cast<std::uint16_t>(Command::resize)) return Errno::inval;
    if ((request.flags & ~known_flags(command)) != 0) return Errno::inval;
    switch (command) {
        case Command::flush: return Errno::none;
        case Command::resize: return Errno::notsup;
        case Command::write:
        case Command::trim:
        case Command::write_zeroes:
            if (facts_.read_only) return Errno::perm;
            break;
        case Command::read:
            if (request.has(command_df) && !negotiated_.structured) return Errno::inval;
            if (request.length > longest_payload) return Errno::inval;
            break;
        case Command::block_status:
            if (negotiated_.contexts.empty() || request.length == 0) return Errno::inval;
            break;
        default: break;
    }
    return check_range(request);
}

Errno Session::check_range(const Request& request) const {
    if (request.offset <= facts_.size && request.length <= facts_.size - request.offset) return Errno::none;
    const auto command = static_cast<Command>(request.type);
    const bool needs_space = command == Command::write || command == Command::write_zeroes;
    return needs_space ? Errno::nospc : Errno::inval;
}

void Session::start(Accepted accepted, WriteData data) {
    const Errno refusal = check(accepted.request);
    if (refusal != Errno::none) return answer_error(accepted, refusal, "the request is not possible");
    switch (static_cast<Command>(accepted.request.type)) {
        case Command::read: return tasks_.spawn(run_read(accepted));
        case Command::write: return tasks_.spawn(run_write(accepted, std::move(data)));
        case Command::trim:
        case Command::write_zeroes: return tasks_.spawn(run_zero(accepted));
        case Command::flush: return tasks_.spawn(run_flush(accepted));
        case Command::block_status: return tasks_.spawn(run_block_status(accepted));
        default: break;
    }
    Counters::add(counters_.others, 1);
    answer(accepted, Status{});  // cache: the page cache reads ahead by itself
}

Task<void> Session::run_read(Accepted accepted) {
    const Request& request = accepted.request;
    auto buffer = pool_->take(request.length);
    auto reading = export_->device().read(request.offset, buffer->span().first(request.length));
    const Status status = co_await std::move(reading);
    Counters::add(counters_.reads, 1);
    if (!status.ok()) {
        answer(accepted, status);
        co_return;
    }
    Counters::add(counters_.bytes_read, request.length);
    answer_data(accepted, std::move(buffer));
}

Task<void> Session::run_write(Accepted accepted, WriteData data) {
    const Request& request = accepted.request;
    auto writing = export_->write(request.offset, std::move(data), request.has(command_fua));
    const Status status = co_await std::move(writing);
    Counters::add(counters_.writes, 1);
    if (status.ok()) Counters::add(counters_.bytes_written, request.length);
    answer(accepted, status);
}

Task<void> Session::run_zero(Accepted accepted) {
    const Request& request = accepted.request;
    Counters::add(counters_.zeroes, 1);
    const ZeroMode mode = request.has(command_no_hole) ? ZeroMode::keep_allocated : ZeroMode::may_unmap;
    if (request.has(command_fast_zero) && !export_->zeroes_fast(mode)) {
        answer(accepted, Error(Code::unsupported, "zeroing is not faster than writing here"));
        co_return;
    }
    auto zeroing = export_->device().zero({request.offset, request.length}, mode);
    Status status = co_await std::move(zeroing);
    if (status.ok() && request.has(command_fua)) {
        auto flushing = export_->device().flush();
        status = co_await std::move(flushing);
    }
    answer(accepted, status);
}

Task<void> Session::run_flush(Accepted accepted) {
    Status status;
    if (!facts_.read_only) {
        auto flushing = export_->device().flush();
        status = co_await std::move(flushing);
    }
    Counters::add(counters_.flushes, 1);
    answer(accepted, status);
}

Task<void> Session::run_block_status(Accepted accepted) {
    const Request& request = accepted.request;
    Counters::add(counters_.others, 1);
    const std::size_t limit = request.has(command_req_one) ? 1 : most_extents;
    std::vector<std::vector<StatusExtent>> found;
    for (std::size_t i = 0; i < negotiated_.contexts.size(); ++i) {
        const std::string& name = negotiated_.contexts[i].name;
        const Range range{request.offset, request.length};
        auto asking =
            name == allocation_context ? allocation(range, limit) : export_->status(name, range, limit);
        auto extents = co_await std::move(asking);
        if (!extents.ok()) {
            answer(accepted, extents.error());
            co_return;
        }
        found.push_back(std::move(extents).value());
    }
    answer_status(accepted, found);
}

// Asks the device step by step, so that neither a long range nor a torn one holds the loop up (E34).
Task<Result<std::vector<StatusExtent>>> Session::allocation(Range range, std::size_t limit) {
    std::vector<StatusExtent> list;
    std::uint64_t step = first_extent_step;
    for (std::uint64_t at = range.offset; at < range.end() && list.size() <= limit;) {
        const Range part{at, std::min(step, range.end() - at)};
        auto asking = export_->device().extents(part);
        auto extents = co_await std::move(asking);
        if (!extents.ok()) co_return extents.error();
        for (const Extent& extent : *extents) {
            append(list, {extent.range.length, extent.zero ? status_hole | status_zero : 0U});
        }
        if (extents->size() <= few_extents) step = std::min(step * 2, last_extent_step);
        at = part.end();
        co_await loop_.yield();
    }
    if (list.size() > limit) list.resize(limit);
    co_return list;
}

}  // namespace exshadow::nbd
