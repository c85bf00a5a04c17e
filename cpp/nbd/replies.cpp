#include "nbd/replies.h"

#include <algorithm>
#include <array>

namespace exshadow::nbd {

namespace {

constexpr std::size_t most_buffers = 128;  // of one send; the kernel takes 1,024

void* mutable_address(const std::byte* bytes) {
    // iovec is shared between both directions; a send never modifies the bytes.
    return const_cast<std::byte*>(bytes);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

}  // namespace

void Budget::release(const Cost& cost) {
    requests.release();
    if (cost.bytes != 0) bytes.release(cost.bytes);
    if (cost.shared_bytes != 0) shared_bytes.release(cost.shared_bytes);
}

void Replies::Batch::clear() {
    heads.clear();
    pieces.clear();
    costs.clear();
}

void Replies::add_head(std::span<const std::byte> bytes) {
    queued_.heads.insert(queued_.heads.end(), bytes.begin(), bytes.end());
    if (!queued_.pieces.empty() && queued_.pieces.back().payload == nullptr) {
        queued_.pieces.back().length += bytes.size();
    } else {
        queued_.pieces.push_back({bytes.size(), nullptr, nullptr});
    }
}

void Replies::add_payload(std::shared_ptr<const void> owner, std::span<const std::byte> bytes) {
    if (!bytes.empty()) queued_.pieces.push_back({bytes.size(), bytes.data(), std::move(owner)});
}

void Replies::finish(Cost cost) {
    queued_.costs.push_back(cost);
}

void Replies::let_go(TaskGroup& tasks) {
    held_ = false;
    if (!sending_ && !queued_.costs.empty()) tasks.spawn(send());
}

void Replies::send_soon(TaskGroup& tasks) {
    if (held_ || sending_ || scheduled_) return;
    scheduled_ = true;
    tasks.spawn(send_later());
}

Task<void> Replies::send_later() {
    co_await loop_.yield();
    scheduled_ = false;
    auto sending = send();
    co_await std::move(sending);
}

Task<void> Replies::send() {
    if (sending_) co_return;  // who sends already takes these along
    sending_ = true;
    while (!queued_.costs.empty()) {
        std::swap(queued_, sending_batch_);
        if (!broken_) {
            auto sending = send_batch();
            broken_ = !co_await std::move(sending);
            if (broken_) stream_.shutdown();  // so that the session's receive ends
        }
        for (const Cost& cost : sending_batch_.costs) budget_.release(cost);
        sending_batch_.clear();
    }
    sending_ = false;
    if (sent_.has_waiters()) sent_.notify();
}

Task<bool> Replies::send_batch() {
    std::array<iovec, most_buffers> buffers;
    const Batch& batch = sending_batch_;
    std::size_t next = 0;       // piece
    std::size_t done = 0;       // bytes of it
    std::size_t head_done = 0;  // bytes of heads in pieces before it
    while (next < batch.pieces.size()) {
        std::size_t count = 0;
        std::size_t head_at = head_done;
        for (std::size_t i = next; i < batch.pieces.size() && count < buffers.size(); ++i, ++count) {
            const Piece& piece = batch.pieces[i];
            const std::byte* const from =
                piece.payload != nullptr ? piece.payload : batch.heads.data() + head_at;
            const std::size_t skip = i == next ? done : 0;
            buffers[count] = {mutable_address(from + skip), piece.length - skip};
            if (piece.payload == nullptr) head_at += piece.length;
        }
        waiting_since_ = loop_.now();
        const std::int64_t answer = co_await stream_.send(std::span(buffers).first(count));
        waiting_since_ = 0;
        if (answer <= 0) co_return false;
        for (auto rest = static_cast<std::size_t>(answer); rest != 0;) {
            const Piece& piece = batch.pieces[next];
            const std::size_t part = std::min(rest, piece.length - done);
            rest -= part;
            done += part;
            if (done < piece.length) break;
            if (piece.payload == nullptr) head_done += piece.length;
            done = 0;
            ++next;
        }
    }
    co_return true;
}

Task<void> Replies::wait_until_sent() {
    while (sending_ || scheduled_) co_await sent_.wait();
}

}  // namespace exshadow::nbd
