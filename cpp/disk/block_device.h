// BlockDevice: everything a client can read or write. File, memory, faulty, copy-on-write view, volume
// and snapshot share these verbs, so layers stack and no layer knows what is below it.
//
// Contract, proved by tests/cpp/disk/conformance for every implementation:
//  * Offsets and lengths are bytes, any alignment; a request outside [0, size()) is Code::invalid and
//    moves nothing. Length 0 is answered at once.
//  * A verb answers when the whole transfer is done or has failed; after a failed write the range holds
//    old or new bytes. Buffers belong to the device until the answer (E32).
//  * write/zero are durable only after a flush() that was started after they were answered.
//  * A request not aligned to block_size() is read-modify-write: the caller keeps requests that overlap
//    once rounded to block_size() apart (volume's range lock does; E9, E33).
//  * After a failed flush every later write and flush fails (E33): the dirty data may be gone.
//  * Loop thread only. The device outlives its requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "runtime/file.h"
#include "runtime/task.h"

namespace exshadow {

enum class ZeroMode : std::uint8_t {
    keep_allocated,
    may_unmap,  // give the space back where the device can and still read as zeroes (TRIM)
};

class BlockDevice {
public:
    BlockDevice() = default;
    BlockDevice(const BlockDevice&) = delete;
    BlockDevice& operator=(const BlockDevice&) = delete;
    virtual ~BlockDevice() = default;

    [[nodiscard]] virtual std::uint64_t size() const = 0;        // bytes
    [[nodiscard]] virtual std::uint32_t block_size() const = 0;  // alignment served without bounce
    [[nodiscard]] virtual std::string describe() const = 0;      // for messages

    [[nodiscard]] virtual Task<Status> read(std::uint64_t offset, std::span<std::byte> buffer) = 0;
    [[nodiscard]] virtual Task<Status> write(std::uint64_t offset, std::span<const std::byte> data) = 0;
    [[nodiscard]] virtual Task<Status> zero(Range range, ZeroMode mode) = 0;
    [[nodiscard]] virtual Task<Status> flush() = 0;
    // Data and zero extents of `range`, in order, without gaps. "zero" is a promise, data is not.
    [[nodiscard]] virtual Task<Result<std::vector<Extent>>> extents(Range range) = 0;

protected:
    // Code::invalid when [offset, offset+length) is not inside the device.
    [[nodiscard]] Status check_range(std::uint64_t offset, std::uint64_t length) const;
};

}  // namespace exshadow
