// What the server serves: an Export is a BlockDevice with a name and facts; Exports finds them. NBD knows
// nothing of volumes: who has devices implements these two.
//
// Thread rule: Exports is called on the server's loop; an Export's facts are constant and may be read by any
// thread, everything else happens on Export::loop(). The last owner may let go of it on the server's loop or
// its own: who makes it sees to it that it ends well there. A session holds its export until every request of
// it has ended.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "disk/block_device.h"
#include "runtime/loop.h"

namespace exshadow::nbd {

inline constexpr std::uint32_t longest_payload = 32 * MiB;

struct ExportFacts {
    std::string name;
    std::string description;  // for people; may be empty
    std::uint64_t size = 0;   // bytes, constant
    bool read_only = false;
    bool multi_conn = true;                // flush on one connection covers the writes answered on all
    std::uint32_t preferred_block = 4096;  // bytes, a power of two from 512 on
    std::vector<std::string> contexts;     // metadata contexts beside base:allocation
};

// Bytes to write with what keeps them alive; nobody changes them while it is held (E13).
struct WriteData {
    std::shared_ptr<const void> owner;
    std::span<const std::byte> bytes;
};

inline constexpr const char* allocation_context = "base:allocation";  // every export has it

// A stretch of one metadata context.
struct StatusExtent {
    std::uint64_t length = 0;
    std::uint32_t flags = 0;
    friend bool operator==(const StatusExtent&, const StatusExtent&) = default;
};

class Export {
public:
    Export() = default;
    Export(const Export&) = delete;
    Export& operator=(const Export&) = delete;
    virtual ~Export() = default;

    [[nodiscard]] virtual const ExportFacts& facts() const = 0;
    [[nodiscard]] virtual Loop& loop() = 0;
    [[nodiscard]] virtual BlockDevice& device() = 0;

    // As BlockDevice::write; with `fua` durable on return. The default copies nothing either.
    [[nodiscard]] virtual Task<Status> write(std::uint64_t offset, WriteData data, bool fua);
    // Bytes are best handed over at addresses that are a multiple of this (1: any address will do).
    [[nodiscard]] virtual std::uint32_t memory_alignment() { return device().block_size(); }
    // True when zeroing that way is faster than writing zeroes.
    [[nodiscard]] virtual bool zeroes_fast(ZeroMode) { return false; }
    // Extents of one of facts().contexts from range.offset on, in order and without gaps; at most `limit` of
    // them, covering the range or a beginning of it, never nothing. Code::invalid when there is none such.
    [[nodiscard]] virtual Task<Result<std::vector<StatusExtent>>> status(std::string context, Range range,
                                                                         std::size_t limit);
};

using ExportPointer = std::shared_ptr<Export>;

// Why a client asks for an export.
enum class Purpose : std::uint8_t {
    inform,  // only its facts
    serve,   // it will be read and written
};

struct ExportName {
    std::string name;
    std::string description;
};

class Exports {
public:
    Exports() = default;
    Exports(const Exports&) = delete;
    Exports& operator=(const Exports&) = delete;
    virtual ~Exports() = default;

    [[nodiscard]] virtual Task<std::vector<ExportName>> list() = 0;
    // The empty name asks for the default export. Code::not_found when there is none of that name.
    [[nodiscard]] virtual Task<Result<ExportPointer>> find(std::string name, Purpose purpose) = 0;
};

}  // namespace exshadow::nbd
