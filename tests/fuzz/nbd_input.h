// What both NBD fuzzers share: a stream that says what the fuzzer made up, a device of two megabytes, and one
// loop for the whole run. The first input byte says in what pieces the stream hands the rest over.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "disk/memory_disk.h"
#include "nbd/export.h"
#include "runtime/socket.h"
#include "runtime/sync.h"

namespace exshadow::fuzz {

class InputStream final : public Stream {
public:
    InputStream(std::span<const std::byte> input, std::size_t piece) : input_(input), piece_(piece) {}
    void shutdown() override { ended_ = true; }
    void shutdown_receiving() override { ended_ = true; }

    std::vector<std::byte> said;

protected:
    bool start(SocketOperation& operation) override {
        operation.result =
            operation.kind == SocketOperation::Kind::send ? send(operation) : receive(operation);
        return true;
    }

private:
    std::int64_t receive(SocketOperation& operation) {
        if (ended_) return 0;
        std::size_t done = 0;
        for (const iovec& buffer : std::span(operation.message.msg_iov, operation.message.msg_iovlen)) {
            const std::size_t part = std::min({buffer.iov_len, input_.size(), piece_ - done});
            if (part != 0) std::memcpy(buffer.iov_base, input_.data(), part);
            input_ = input_.subspan(part);
            done += part;
        }
        return static_cast<std::int64_t>(done);
    }
    std::int64_t send(SocketOperation& operation) {
        if (ended_) return -EPIPE;
        std::size_t done = 0;
        for (const iovec& buffer : std::span(operation.message.msg_iov, operation.message.msg_iovlen)) {
            const std::size_t part = std::min(buffer.iov_len, 1024 * piece_ - done);
            const auto* const bytes = static_cast<const std::byte*>(buffer.iov_base);
            said.insert(said.end(), bytes, bytes + part);
            done += part;
        }
        return static_cast<std::int64_t>(done);
    }

    std::span<const std::byte> input_;
    const std::size_t piece_;
    bool ended_ = false;
};

class FuzzExport final : public nbd::Export {
public:
    explicit FuzzExport(Loop& loop, bool read_only) : loop_(loop), disk_({.size = 2 * MiB}) {
        facts_.name = "disk";
        facts_.size = disk_.size();
        facts_.read_only = read_only;
        facts_.contexts = {"exshadow:changed/one", "exshadow:changed/two"};
    }
    const nbd::ExportFacts& facts() const override { return facts_; }
    Loop& loop() override { return loop_; }
    BlockDevice& device() override { return disk_; }
    Task<Result<std::vector<nbd::StatusExtent>>> status(std::string, Range range, std::size_t) override {
        co_return std::vector<nbd::StatusExtent>{{range.length, 1}};
    }

private:
    Loop& loop_;
    MemoryDisk disk_;
    nbd::ExportFacts facts_;
};

inline Loop& the_loop() {
    static const std::unique_ptr<Loop> loop = std::move(*make_loop(LoopKind::pool));
    return *loop;
}

inline Task<void> stop_after(Task<void> task) {
    co_await std::move(task);
    the_loop().stop();
}

// Runs until the task has ended; a task that hangs is what the fuzzer's own time limit is for.
inline void run(Task<void> task) {
    Task<void> whole = stop_after(std::move(task));
    the_loop().post([&whole] { spawn(std::move(whole)); });
    the_loop().run();
}

}  // namespace exshadow::fuzz
