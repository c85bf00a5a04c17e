// Answers: replies as bytes. Reads and block status are answered in chunks where structured replies were
// agreed on, and so are errors, with their reason; everything else fits a simple reply, which is shorter.
#include <algorithm>
#include <array>
#include <cstring>

#include "nbd/fields.h"
#include "nbd/session.h"

namespace exshadow::nbd {

namespace {

constexpr std::size_t longest_message = 256;

bool all_zero(std::span<const std::byte> bytes) {
    // The first bytes decide for nearly all data; comparing the rest with its neighbour is a vector loop.
    constexpr std::size_t head = 16;
    if (bytes.size() < head) return false;
    for (const std::byte byte : bytes.first(head)) {
        if (byte != std::byte{0}) return false;
    }
    return std::memcmp(bytes.data(), bytes.data() + head, bytes.size() - head) == 0;
}

}  // namespace

void Session::finish(const Accepted& accepted) {
    replies_.finish(accepted.cost);
    replies_.send_soon(tasks_);
}

void Session::answer(const Accepted& accepted, const Status& status) {
    if (!status.ok()) return answer_error(accepted, errno_of(status.error()), status.error().message());
    replies_.add_head(encode_simple_reply(accepted.request.cookie, Errno::none));
    finish(accepted);
}

void Session::answer_error(const Accepted& accepted, Errno error, std::string_view message) {
    Counters::add(counters_.errors, 1);
    const std::uint64_t cookie = accepted.request.cookie;
    if (negotiated_.structured) {
        message = message.substr(0, longest_message);
        std::vector<std::byte> body;
        append(body, static_cast<std::uint32_t>(error));
        append(body, static_cast<std::uint16_t>(message.size()));
        append_text(body, message);
        replies_.add_head(
            encode_chunk(Chunk::error, chunk_done, cookie, static_cast<std::uint32_t>(body.size())));
        replies_.add_head(body);
    } else {
        replies_.add_head(encode_simple_reply(cookie, error));
    }
    finish(accepted);
}

void Session::answer_data(const Accepted& accepted, BufferPool::Pointer buffer) {
    const Request& request = accepted.request;
    const auto bytes = std::as_const(*buffer).span().first(request.length);
    if (!negotiated_.structured) {
        replies_.add_head(encode_simple_reply(request.cookie, Errno::none));
        replies_.add_payload(std::move(buffer), bytes);
    } else if (bytes.empty()) {
        replies_.add_head(encode_chunk(Chunk::none, chunk_done, request.cookie, 0));
    } else {
        const std::uint64_t place = big_endian(request.offset);
        const bool hole = all_zero(bytes);
        const auto rest =
            static_cast<std::uint32_t>(sizeof(place) + (hole ? sizeof(std::uint32_t) : bytes.size()));
        replies_.add_head(
            encode_chunk(hole ? Chunk::offset_hole : Chunk::offset_data, chunk_done, request.cookie, rest));
        replies_.add_head(std::as_bytes(std::span(&place, 1)));
        if (hole) {
            const std::uint32_t length = big_endian(request.length);
            replies_.add_head(std::as_bytes(std::span(&length, 1)));
        } else {
            replies_.add_payload(std::move(buffer), bytes);
        }
    }
    finish(accepted);
}

void Session::answer_status(const Accepted& accepted, const std::vector<std::vector<StatusExtent>>& extents) {
    std::vector<std::byte> body;
    for (std::size_t i = 0; i < extents.size(); ++i) {
        body.clear();
        append(body, negotiated_.contexts[i].id);
        for (const StatusExtent& extent : extents[i]) {
            append(body, static_cast<std::uint32_t>(extent.length));  // at most the request's, 32 bits
            append(body, extent.flags);
        }
        const std::uint16_t flags = i + 1 == extents.size() ? chunk_done : std::uint16_t{0};
        replies_.add_head(encode_chunk(Chunk::block_status, flags, accepted.request.cookie,
                                       static_cast<std::uint32_t>(body.size())));
        replies_.add_head(body);
    }
    finish(accepted);
}

}  // namespace exshadow::nbd
