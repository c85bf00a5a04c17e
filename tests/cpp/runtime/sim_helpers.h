// One operation at a time on a simulated file, for the tests of the simulator.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/sim_loop.h"
#include "runtime/sim_world.h"

namespace exshadow::sim_helpers {

using Bytes = std::vector<std::byte>;
using Kind = FileOperation::Kind;

inline Bytes filled(std::size_t length, int value) {
    return Bytes(length, static_cast<std::byte>(value));
}

// No chance but the scheduler's: answers after a random latency, never short, never failing.
inline SimOptions calm() {
    SimOptions options;
    options.behaviour.slow = options.behaviour.inline_answer = 0;
    options.behaviour.short_transfer = options.behaviour.interrupted = 0;
    return options;
}

inline std::unique_ptr<File> open_file(Loop& loop, const std::string& path, FileLock lock = FileLock::none) {
    OpenOptions options;
    options.writable = true;
    options.lock = lock;
    auto file = loop.open(path, options);
    REQUIRE(file.ok());
    return std::move(*file);
}

inline Task<void> write_once(File* file, std::uint64_t offset, Bytes data, std::int64_t* result) {
    *result = co_await file->write(offset, data);
}
inline Task<void> read_once(File* file, std::uint64_t offset, Bytes* data, std::int64_t* result) {
    *result = co_await file->read(offset, *data);
}
inline Task<void> flush_once(File* file, std::int64_t* result) {
    *result = co_await file->flush();
}
inline Task<void> zero_once(File* file, Range range, bool punch, std::int64_t* result) {
    *result = punch ? 1 : 0;
    if (punch) {
        *result = co_await file->punch(range.offset, range.length);
    } else {
        *result = co_await file->zero(range.offset, range.length);
    }
}

inline std::int64_t do_write(SimLoop& loop, File& file, std::uint64_t offset, const Bytes& data) {
    std::int64_t result = -1;
    REQUIRE(loop.run_task(write_once(&file, offset, data, &result)));
    return result;
}
inline std::int64_t do_read(SimLoop& loop, File& file, std::uint64_t offset, Bytes& data) {
    std::int64_t result = -1;
    REQUIRE(loop.run_task(read_once(&file, offset, &data, &result)));
    return result;
}
inline std::int64_t do_flush(SimLoop& loop, File& file) {
    std::int64_t result = -1;
    REQUIRE(loop.run_task(flush_once(&file, &result)));
    return result;
}
inline std::int64_t do_zero(SimLoop& loop, File& file, Range range, bool punch) {
    std::int64_t result = -1;
    REQUIRE(loop.run_task(zero_once(&file, range, punch, &result)));
    return result;
}

}  // namespace exshadow::sim_helpers
