// The words of the NBD protocol that this server speaks (fixed newstyle, simple and structured replies), and
// how they are laid out. All integers are big-endian; the structs give sizes and offsets, the functions below
// the only way bytes become values and back. Names follow the public protocol document.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/error.h"

namespace exshadow::nbd {

// --- handshake ---
inline constexpr std::uint64_t init_magic = 0x4E42444D41474943;    // "NBDMAGIC"
inline constexpr std::uint64_t option_magic = 0x49484156454F5054;  // "IHAVEOPT"
inline constexpr std::uint64_t option_reply_magic = 0x0003E889045565A9;

inline constexpr std::uint16_t flag_fixed_newstyle = 1 << 0;  // server and client alike
inline constexpr std::uint16_t flag_no_zeroes = 1 << 1;

enum class Option : std::uint32_t {
    export_name = 1,
    abort = 2,
    list = 3,
    starttls = 5,
    info = 6,
    go = 7,
    structured_reply = 8,
    list_meta_context = 9,
    set_meta_context = 10,
    extended_headers = 11,
};

enum class OptionReply : std::uint32_t {
    ack = 1,
    server = 2,
    info = 3,
    meta_context = 4,
    err_unsup = 0x80000001,
    err_policy = 0x80000002,
    err_invalid = 0x80000003,
    err_unknown = 0x80000006,
    err_shutdown = 0x80000007,
    err_too_big = 0x80000009,
};

enum class Info : std::uint16_t { exported = 0, name = 1, description = 2, block_size = 3 };

inline constexpr std::size_t longest_name = 4096;  // of an export, a context or a query

// --- transmission ---
inline constexpr std::uint32_t request_magic = 0x25609513;
inline constexpr std::uint32_t simple_reply_magic = 0x67446698;
inline constexpr std::uint32_t structured_reply_magic = 0x668E33EF;

// Facts of an export, sent with it.
inline constexpr std::uint16_t transmits_flags = 1 << 0;
inline constexpr std::uint16_t transmits_read_only = 1 << 1;
inline constexpr std::uint16_t transmits_flush = 1 << 2;
inline constexpr std::uint16_t transmits_fua = 1 << 3;
inline constexpr std::uint16_t transmits_trim = 1 << 5;
inline constexpr std::uint16_t transmits_write_zeroes = 1 << 6;
inline constexpr std::uint16_t transmits_df = 1 << 7;
inline constexpr std::uint16_t transmits_multi_conn = 1 << 8;
inline constexpr std::uint16_t transmits_cache = 1 << 10;
inline constexpr std::uint16_t transmits_fast_zero = 1 << 11;

enum class Command : std::uint16_t {
    read = 0,
    write = 1,
    disc = 2,
    flush = 3,
    trim = 4,
    cache = 5,
    write_zeroes = 6,
    block_status = 7,
    resize = 8,
};

inline constexpr std::uint16_t command_fua = 1 << 0;
inline constexpr std::uint16_t command_no_hole = 1 << 1;
inline constexpr std::uint16_t command_df = 1 << 2;
inline constexpr std::uint16_t command_req_one = 1 << 3;
inline constexpr std::uint16_t command_fast_zero = 1 << 4;

enum class Chunk : std::uint16_t {
    none = 0,
    offset_data = 1,
    offset_hole = 2,
    block_status = 5,
    error = 0x8001,
};
inline constexpr std::uint16_t chunk_done = 1 << 0;

inline constexpr std::uint32_t status_hole = 1 << 0;  // base:allocation
inline constexpr std::uint32_t status_zero = 1 << 1;

enum class Errno : std::uint32_t {
    none = 0,
    perm = 1,
    io = 5,
    nomem = 12,
    inval = 22,
    nospc = 28,
    overflow = 75,
    notsup = 95,
    shutdown = 108,
};
// What a failure of the engine is called on the wire.
[[nodiscard]] Errno errno_of(const Error& error);

// --- layout ---
#pragma pack(push, 1)
struct WireGreeting {
    std::uint64_t magic, option_magic;
    std::uint16_t flags;
};
struct WireOption {
    std::uint64_t magic;
    std::uint32_t option, length;
};
struct WireOptionReply {
    std::uint64_t magic;
    std::uint32_t option, type, length;
};
struct WireRequest {
    std::uint32_t magic;
    std::uint16_t flags, type;
    std::uint64_t cookie, offset;
    std::uint32_t length;
};
struct WireSimpleReply {
    std::uint32_t magic, error;
    std::uint64_t cookie;
};
struct WireChunk {
    std::uint32_t magic;
    std::uint16_t flags, type;
    std::uint64_t cookie;
    std::uint32_t length;
};
struct WireExtent {
    std::uint32_t length, flags;
};
#pragma pack(pop)
static_assert(sizeof(WireGreeting) == 18);
static_assert(sizeof(WireOption) == 16 && offsetof(WireOption, length) == 12);
static_assert(sizeof(WireOptionReply) == 20 && offsetof(WireOptionReply, length) == 16);
static_assert(sizeof(WireRequest) == 28 && offsetof(WireRequest, cookie) == 8);
static_assert(offsetof(WireRequest, offset) == 16 && offsetof(WireRequest, length) == 24);
static_assert(sizeof(WireSimpleReply) == 16 && offsetof(WireSimpleReply, cookie) == 8);
static_assert(sizeof(WireChunk) == 20 && offsetof(WireChunk, cookie) == 8);
static_assert(sizeof(WireExtent) == 8);

// An unsigned integer between host and wire order; its own inverse.
template <class T>
[[nodiscard]] constexpr T big_endian(T value) {
    if constexpr (std::endian::native == std::endian::big || sizeof(T) == 1) return value;
    if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
    if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
    if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

template <class T>
[[nodiscard]] T load(std::span<const std::byte> bytes) {
    T value{};
    std::memcpy(&value, bytes.first(sizeof(T)).data(), sizeof(T));
    return big_endian(value);
}

struct Request {
    std::uint16_t flags = 0;
    std::uint16_t type = 0;  // a Command, or anything a client makes up
    std::uint64_t cookie = 0;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;

    [[nodiscard]] bool has(std::uint16_t flag) const { return (flags & flag) != 0; }
};

// False when the magic is wrong: the stream cannot be followed any more. `bytes` holds a whole header.
[[nodiscard]] bool decode(std::span<const std::byte> bytes, Request& request);

using SimpleReplyBytes = std::array<std::byte, sizeof(WireSimpleReply)>;
using ChunkBytes = std::array<std::byte, sizeof(WireChunk)>;
[[nodiscard]] SimpleReplyBytes encode_simple_reply(std::uint64_t cookie, Errno error);
[[nodiscard]] ChunkBytes encode_chunk(Chunk type, std::uint16_t flags, std::uint64_t cookie,
                                      std::uint32_t length);

}  // namespace exshadow::nbd
