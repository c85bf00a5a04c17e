#include "disk/memory_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "disk/pieces.h"

namespace exshadow {

std::byte* MemoryDisk::find(std::uint64_t index) {
    const auto found = chunks_.find(index);
    return found == chunks_.end() ? nullptr : found->second.data();
}

std::byte* MemoryDisk::find_or_add(std::uint64_t index) {
    if (std::byte* const chunk = find(index)) return chunk;
    if (options_.capacity - allocated_bytes() < chunk_bytes) return nullptr;
    return chunks_.emplace(index, AlignedBuffer::zeroed(chunk_bytes)).first->second.data();
}

Task<Status> MemoryDisk::read(std::uint64_t offset, std::span<std::byte> buffer) {
    EXSHADOW_CO_TRY(check_range(offset, buffer.size()));
    for (const Piece piece : pieces_of({offset, buffer.size()}, chunk_bytes)) {
        std::byte* const to = buffer.data() + piece.done;
        if (const std::byte* const chunk = find(piece.index)) {
            std::memcpy(to, chunk + piece.within, piece.length);
        } else {
            std::memset(to, 0, piece.length);
        }
    }
    co_return Status{};
}

Task<Status> MemoryDisk::write(std::uint64_t offset, std::span<const std::byte> data) {
    EXSHADOW_CO_TRY(check_range(offset, data.size()));
    for (const Piece piece : pieces_of({offset, data.size()}, chunk_bytes)) {
        std::byte* const chunk = find_or_add(piece.index);
        if (chunk == nullptr) co_return os_error(ENOSPC, "write", describe());
        std::memcpy(chunk + piece.within, data.data() + piece.done, piece.length);
    }
    co_return Status{};
}

Task<Status> MemoryDisk::zero(Range range, ZeroMode mode) {
    EXSHADOW_CO_TRY(check_range(range.offset, range.length));
    for (const Piece piece : pieces_of(range, chunk_bytes)) {
        std::byte* const chunk = find(piece.index);
        if (chunk == nullptr) continue;  // zero already
        if (mode == ZeroMode::may_unmap && piece.length == chunk_bytes) {
            chunks_.erase(piece.index);
        } else {
            std::memset(chunk + piece.within, 0, piece.length);
        }
    }
    co_return Status{};
}

Task<Status> MemoryDisk::flush() {
    co_return Status{};
}

Task<Result<std::vector<Extent>>> MemoryDisk::extents(Range range) {
    EXSHADOW_CO_TRY(check_range(range.offset, range.length));
    std::vector<Extent> found;
    for (const Piece piece : pieces_of(range, chunk_bytes)) {
        append_extent(found, {{range.offset + piece.done, piece.length}, find(piece.index) == nullptr});
    }
    co_return std::move(found);
}

}  // namespace exshadow
