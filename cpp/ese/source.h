// Where the bytes of an ESE file come from. Only reads; the file is never locked or changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/error.h"

namespace exshadow::ese {

class Source {
public:
    Source() = default;
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;
    virtual ~Source() = default;

    // Fills `into` from byte `offset`; fewer bytes only at the end of the file. Any thread unless
    // forward_only().
    virtual Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> into) = 0;
    [[nodiscard]] virtual std::optional<std::uint64_t> size() const = 0;  // none: a stream
    // The first byte from `offset` on that may be other than zero; behind the end when only holes follow.
    [[nodiscard]] virtual std::uint64_t next_data(std::uint64_t offset) const { return offset; }
    // Code::io when the file became shorter than it was when it was opened: what was not there to be read
    // must not count as read, or as a hole.
    [[nodiscard]] virtual Status still_whole() const { return {}; }
    // Bytes come in order and once; one thread.
    [[nodiscard]] virtual bool forward_only() const { return !size().has_value(); }
};

// A regular file or block device, by path (UTF-8).
[[nodiscard]] Result<std::unique_ptr<Source>> open_file(const std::string& path);
// A pipe or other stream by its descriptor, which stays the caller's. Reads may go back over the first 64
// KiB. `go_on` is asked on the reading thread every 100 ms of waiting; false ends it with Code::cancelled.
[[nodiscard]] std::unique_ptr<Source> from_stream(int descriptor, std::function<bool()> go_on = {});
// How fast a source may be read, and who hears of it: `progress` gets the bytes read so far on the reading
// thread every 100 ms or so; false ends the reading with Code::cancelled.
struct Pace {
    std::uint64_t bytes_per_second = 0;  // 0: no limit
    std::function<bool(std::uint64_t)> progress;
};
// The same bytes, read at that pace by one thread. `source` must outlive it.
[[nodiscard]] std::unique_ptr<Source> paced(Source& source, Pace pace);
// Bytes in memory; they must outlive the source.
[[nodiscard]] std::unique_ptr<Source> from_memory(std::span<const std::byte> bytes);

}  // namespace exshadow::ese
