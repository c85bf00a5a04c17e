#include "nbd/protocol.h"

namespace exshadow::nbd {

namespace {

template <class Wire>
std::array<std::byte, sizeof(Wire)> bytes_of(const Wire& wire) {
    return std::bit_cast<std::array<std::byte, sizeof(Wire)>>(wire);
}

}  // namespace

Errno errno_of(const Error& error) {
    switch (error.code()) {
        case Code::invalid: return Errno::inval;
        case Code::permission: return Errno::perm;
        case Code::no_space: return Errno::nospc;
        case Code::unsupported: return Errno::notsup;
        case Code::closed:
        case Code::not_found: return Errno::shutdown;  // the volume or snapshot behind the export has gone
        default: return Errno::io;
    }
}

bool decode(std::span<const std::byte> bytes, Request& request) {
    WireRequest wire{};
    std::memcpy(&wire, bytes.first(sizeof(wire)).data(), sizeof(wire));
    request.flags = big_endian(wire.flags);
    request.type = big_endian(wire.type);
    request.cookie = big_endian(wire.cookie);
    request.offset = big_endian(wire.offset);
    request.length = big_endian(wire.length);
    return big_endian(wire.magic) == request_magic;
}

SimpleReplyBytes encode_simple_reply(std::uint64_t cookie, Errno error) {
    return bytes_of(WireSimpleReply{big_endian(simple_reply_magic),
                                    big_endian(static_cast<std::uint32_t>(error)), big_endian(cookie)});
}

ChunkBytes encode_chunk(Chunk type, std::uint16_t flags, std::uint64_t cookie, std::uint32_t length) {
    return bytes_of(WireChunk{big_endian(structured_reply_magic), big_endian(flags),
                              big_endian(static_cast<std::uint16_t>(type)), big_endian(cookie),
                              big_endian(length)});
}

}  // namespace exshadow::nbd
