// Session: one connection after its handshake. Reads requests in batches, validates each at the door, runs
// them side by side on the export's device and answers as they end, many replies in one send.
//
// The way of a write's bytes: they are received once, into a buffer that the write then owns (E13): a small
// payload stays where it was received, in a block shared with its neighbours; a large one gets a buffer of
// its own that the rest is received into. Only the part of it that came along with the header is copied, and
// a small payload that the device wants at an aligned address.
//
// A client that leaves cancels nothing (E32): run() returns when every request has ended. A payload that
// never came complete is not written at all. Loop thread of the export only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nbd/buffers.h"
#include "nbd/export.h"
#include "nbd/limits.h"
#include "nbd/protocol.h"
#include "nbd/replies.h"
#include "runtime/socket.h"
#include "runtime/sync.h"

namespace exshadow::nbd {

struct SelectedContext {
    std::uint32_t id = 0;
    std::string name;
};

// What client and server agreed on.
struct Negotiated {
    bool structured = false;
    std::vector<SelectedContext> contexts;
};

// Written by one session, read by any thread.
struct Counters {
    std::atomic<std::uint64_t> reads{0}, writes{0}, zeroes{0}, flushes{0}, others{0}, errors{0};
    std::atomic<std::uint64_t> bytes_read{0}, bytes_written{0};
    static void add(std::atomic<std::uint64_t>& counter, std::uint64_t count) {
        counter.store(counter.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
    }
};

class Session {
public:
    // `shared_bytes` and `counters` outlive the session.
    Session(std::unique_ptr<Stream> stream, ExportPointer exported, Negotiated negotiated, Limits limits,
            Semaphore& shared_bytes, Counters& counters);

    // Until the client leaves, breaks the protocol, or drain(). `received`: bytes behind the handshake.
    [[nodiscard]] Task<void> run(std::vector<std::byte> received);
    // Read no more; what was accepted is finished, answered and flushed.
    void drain();
    // The client is let go at once; what was accepted is finished all the same.
    void abandon() { stream_->shutdown(); }
    // The client has kept the server waiting, with bytes in hand, since then; 0: it does not.
    [[nodiscard]] Nanoseconds stalled_since() const;
    // Nothing more is read: only the replies are still to be taken by the client.
    [[nodiscard]] bool ended() const { return ended_; }

private:
    struct Accepted {
        Request request;
        Cost cost;
    };

    // session.cpp: from bytes to requests
    [[nodiscard]] std::size_t available() const { return end_ - begin_; }
    [[nodiscard]] std::span<const std::byte> received() const;
    void make_room(std::size_t wanted);
    [[nodiscard]] Task<bool> fill(std::size_t wanted);
    [[nodiscard]] Task<void> read_requests();
    [[nodiscard]] Task<Cost> admit(Request request);
    [[nodiscard]] bool payload_is_here(const Request& request) const;
    [[nodiscard]] WriteData take_payload(const Request& request);
    [[nodiscard]] Task<bool> receive_payload(std::uint32_t length, WriteData& data);

    // requests.cpp: from requests to replies
    [[nodiscard]] Errno check(const Request& request) const;
    [[nodiscard]] Errno check_range(const Request& request) const;
    void start(Accepted accepted, WriteData data);
    [[nodiscard]] Task<void> run_read(Accepted accepted);
    [[nodiscard]] Task<void> run_write(Accepted accepted, WriteData data);
    [[nodiscard]] Task<void> run_zero(Accepted accepted);
    [[nodiscard]] Task<void> run_flush(Accepted accepted);
    [[nodiscard]] Task<void> run_block_status(Accepted accepted);
    [[nodiscard]] Task<Result<std::vector<StatusExtent>>> allocation(Range range, std::size_t limit);

    // answers.cpp: replies as bytes
    void answer(const Accepted& accepted, const Status& status);
    void answer_error(const Accepted& accepted, Errno error, std::string_view message);
    void answer_data(const Accepted& accepted, BufferPool::Pointer buffer);
    void answer_status(const Accepted& accepted, const std::vector<std::vector<StatusExtent>>& extents);
    void finish(const Accepted& accepted);

    const std::unique_ptr<Stream> stream_;
    ExportPointer export_;
    const ExportFacts& facts_;
    const Negotiated negotiated_;
    const Limits limits_;
    Loop& loop_;
    Counters& counters_;

    const std::shared_ptr<BufferPool> pool_;
    BufferPool::Pointer block_;  // received and not yet taken: [begin_, end_)
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    bool expects_large_ = false;  // the last payload was: do not receive much of the next one here
    bool stopping_ = false;
    bool ended_ = false;
    Nanoseconds payload_since_ = 0;

    Semaphore requests_;
    Semaphore bytes_;
    Semaphore& shared_bytes_;
    Replies replies_;
    TaskGroup tasks_;
};

}  // namespace exshadow::nbd
