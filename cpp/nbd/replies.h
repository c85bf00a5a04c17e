// Replies: what one connection still has to send. Replies gathered while one send is under way, or while the
// session reads a batch of requests, go out together in the next: heads side by side in one buffer, payloads
// where they are. Loop thread only; borrows the stream; send tasks belong to the caller's group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/loop.h"
#include "runtime/socket.h"
#include "runtime/sync.h"

namespace exshadow::nbd {

// What an accepted request takes until its reply is sent.
struct Cost {
    std::uint64_t bytes = 0;         // of the connection's
    std::uint64_t shared_bytes = 0;  // of all connections'
};

// The budgets that costs go back to.
struct Budget {
    Semaphore& requests;
    Semaphore& bytes;
    Semaphore& shared_bytes;
    void release(const Cost& cost);
};

class Replies {
public:
    Replies(Loop& loop, Stream& stream, Budget budget)
        : loop_(loop), stream_(stream), budget_(budget), sent_(loop) {}

    // One reply: its head, perhaps a payload, and what becomes free when it was sent.
    void add_head(std::span<const std::byte> bytes);
    void add_payload(std::shared_ptr<const void> owner, std::span<const std::byte> bytes);
    void finish(Cost cost);

    // Between these, finish() does not send.
    void hold_back() { held_ = true; }
    void let_go(TaskGroup& tasks);

    // For replies that are finished outside a batch: send at the end of this turn of the loop.
    void send_soon(TaskGroup& tasks);
    [[nodiscard]] bool held_back() const { return held_; }

    [[nodiscard]] Task<void> wait_until_sent();
    [[nodiscard]] bool broken() const { return broken_; }
    // Since when a send waits for the client; 0: none does.
    [[nodiscard]] Nanoseconds waiting_since() const { return waiting_since_; }

private:
    struct Piece {
        std::size_t length;
        const std::byte* payload;  // null: the next bytes of `heads`
        std::shared_ptr<const void> owner;
    };
    struct Batch {
        std::vector<std::byte> heads;
        std::vector<Piece> pieces;
        std::vector<Cost> costs;
        void clear();
    };

    [[nodiscard]] Task<void> send();
    [[nodiscard]] Task<void> send_later();
    [[nodiscard]] Task<bool> send_batch();

    Loop& loop_;
    Stream& stream_;
    Budget budget_;
    Batch queued_;
    Batch sending_batch_;
    Signal sent_;
    bool held_ = false;
    bool sending_ = false;
    bool scheduled_ = false;
    bool broken_ = false;
    Nanoseconds waiting_since_ = 0;
};

}  // namespace exshadow::nbd
