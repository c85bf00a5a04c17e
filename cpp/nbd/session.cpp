#include "nbd/session.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace exshadow::nbd {

namespace {

constexpr std::size_t block_bytes = 256 * KiB;
constexpr std::uint32_t small_payload = 64 * KiB;  // and below: stays in its block
constexpr std::uint64_t free_payload = 256 * KiB;  // and below: not counted among all clients' bytes
constexpr std::size_t beside_large = 4 * KiB;      // received together with the end of a large payload
constexpr std::uint32_t requests_a_turn = 64;      // then others get theirs (E34)

bool is_write(const Request& request) {
    return request.type == static_cast<std::uint16_t>(Command::write);
}

// Bytes of memory that a request needs for its payload, in either direction.
std::uint64_t payload_of(const Request& request) {
    const bool carries = is_write(request) || request.type == static_cast<std::uint16_t>(Command::read);
    return carries && request.length <= longest_payload ? request.length : 0;
}

}  // namespace

Session::Session(std::unique_ptr<Stream> stream, ExportPointer exported, Negotiated negotiated, Limits limits,
                 Semaphore& shared_bytes, Counters& counters)
    : stream_(std::move(stream)),
      export_(std::move(exported)),
      facts_(export_->facts()),
      negotiated_(std::move(negotiated)),
      limits_(limits),
      loop_(export_->loop()),
      counters_(counters),
      pool_(std::make_shared<BufferPool>()),
      block_(pool_->take(block_bytes)),
      requests_(loop_, limits.connection_requests),
      bytes_(loop_, limits.connection_bytes),
      shared_bytes_(shared_bytes),
      replies_(loop_, *stream_, {requests_, bytes_, shared_bytes_}),
      tasks_(loop_) {}

Task<void> Session::run(std::vector<std::byte> received) {
    EXSHADOW_CHECK(received.size() <= block_bytes);
    std::copy(received.begin(), received.end(), block_->data());
    end_ = received.size();
    auto reading = read_requests();
    co_await std::move(reading);
    ended_ = true;
    replies_.let_go(tasks_);
    auto ending = tasks_.wait();  // requests, and the sending of their replies
    co_await std::move(ending);
    if (stopping_ && !facts_.read_only) {
        auto flushing = export_->device().flush();
        static_cast<void>(co_await std::move(flushing));
    }
    stream_->shutdown();
}

void Session::drain() {
    stopping_ = true;
    stream_->shutdown_receiving();
}

Nanoseconds Session::stalled_since() const {
    if (payload_since_ != 0) return payload_since_;
    return replies_.waiting_since();
}

std::span<const std::byte> Session::received() const {
    return std::as_const(*block_).span().subspan(begin_, available());
}

// Room for `wanted` bytes from begin_ on. Bytes that a write still owns stay where they are.
void Session::make_room(std::size_t wanted) {
    if (available() == 0 && block_.use_count() == 1) {
        begin_ = end_ = 0;
    } else if (block_bytes - begin_ < wanted || end_ == block_bytes) {
        auto next = pool_->take(block_bytes);
        std::memcpy(next->data(), block_->data() + begin_, available());
        end_ = available();
        begin_ = 0;
        block_ = std::move(next);
    }
}

// Receive until `wanted` bytes are here. False: the client has left, or the session is to end.
Task<bool> Session::fill(std::size_t wanted) {
    make_room(wanted);
    while (available() < wanted) {
        const std::size_t room = block_bytes - end_;
        iovec buffer{block_->data() + end_, expects_large_ ? std::min(room, beside_large) : room};
        const std::int64_t answer = co_await stream_->receive(std::span(&buffer, 1));
        if (answer <= 0 || stopping_) co_return false;
        end_ += static_cast<std::size_t>(answer);
    }
    co_return true;
}

bool Session::payload_is_here(const Request& request) const {
    return !is_write(request) || request.length > small_payload ||
           available() >= sizeof(WireRequest) + request.length;
}

Task<void> Session::read_requests() {
    for (std::uint32_t turn = 1;; ++turn) {
        Request request;
        std::size_t wanted = sizeof(WireRequest);
        if (available() >= wanted) {
            if (!decode(received(), request)) co_return;
            if (payload_is_here(request)) wanted = 0;
            if (wanted != 0) wanted += request.length;
        }
        if (wanted != 0) {
            replies_.let_go(tasks_);
            auto filling = fill(wanted);
            if (!co_await std::move(filling)) co_return;
            replies_.hold_back();
            continue;
        }
        if (request.type == static_cast<std::uint16_t>(Command::disc)) co_return;
        if (is_write(request) && request.length > longest_payload) co_return;
        begin_ += sizeof(WireRequest);
        auto admitting = admit(request);
        Accepted accepted{request, {}};
        accepted.cost = co_await std::move(admitting);
        WriteData data;
        expects_large_ = is_write(request) && request.length > small_payload;
        if (is_write(request) && request.length <= small_payload) {
            data = take_payload(request);
        } else if (is_write(request)) {
            auto receiving = receive_payload(request.length, data);
            if (!co_await std::move(receiving)) {
                Budget{requests_, bytes_, shared_bytes_}.release(accepted.cost);
                co_return;
            }
        }
        start(accepted, std::move(data));
        if (stopping_) co_return;
        if (turn % requests_a_turn != 0) continue;
        replies_.let_go(tasks_);
        co_await loop_.yield();
        replies_.hold_back();
    }
}

// Wait until there is room for the request. Replies go out first: they are what makes room.
Task<Cost> Session::admit(Request request) {
    Cost cost;
    cost.bytes = payload_of(request);
    if (cost.bytes > free_payload) cost.shared_bytes = cost.bytes;
    if (requests_.available() == 0 || bytes_.available() < cost.bytes ||
        shared_bytes_.available() < cost.shared_bytes) {
        replies_.let_go(tasks_);
    }
    co_await requests_.acquire();
    if (cost.bytes != 0) co_await bytes_.acquire(cost.bytes);
    if (cost.shared_bytes != 0) co_await shared_bytes_.acquire(cost.shared_bytes);
    replies_.hold_back();
    co_return cost;
}

WriteData Session::take_payload(const Request& request) {
    const auto bytes = received().first(request.length);
    begin_ += request.length;
    const std::uint32_t alignment = export_->memory_alignment();
    const bool aligned_request = (request.offset | request.length) % alignment == 0;
    if (aligned_request && reinterpret_cast<std::uintptr_t>(bytes.data()) % alignment != 0) {
        auto buffer = pool_->take(request.length);
        std::memcpy(buffer->data(), bytes.data(), bytes.size());
        const auto copied = std::as_const(*buffer).span().first(bytes.size());
        return {std::move(buffer), copied};
    }
    return {block_, bytes};
}

Task<bool> Session::receive_payload(std::uint32_t length, WriteData& data) {
    auto buffer = pool_->take(length);
    std::size_t done = std::min<std::size_t>(available(), length);
    std::memcpy(buffer->data(), received().data(), done);
    begin_ += done;
    while (done < length) {
        make_room(beside_large);  // nothing is in the block: it takes what follows the payload
        std::array<iovec, 2> buffers{
            iovec{buffer->data() + done, length - done},
            iovec{block_->data() + end_, std::min(beside_large, block_bytes - end_)}};
        replies_.let_go(tasks_);
        payload_since_ = loop_.now();
        const std::int64_t answer = co_await stream_->receive(buffers);
        payload_since_ = 0;
        replies_.hold_back();
        if (answer <= 0 || stopping_) co_return false;
        const auto count = static_cast<std::size_t>(answer);
        const std::size_t part = std::min(count, length - done);
        done += part;
        end_ += count - part;
    }
    const auto bytes = std::as_const(*buffer).span().first(length);
    data = {std::move(buffer), bytes};
    co_return true;
}

}  // namespace exshadow::nbd
