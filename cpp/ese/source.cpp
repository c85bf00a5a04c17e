#include "ese/source.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

namespace exshadow::ese {

namespace {

class FileSource final : public Source {
public:
    FileSource(int descriptor, std::uint64_t size, std::string path)
        : descriptor_(descriptor), size_(size), path_(std::move(path)) {}
    ~FileSource() override { ::close(descriptor_); }

    Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> into) override {
        std::size_t done = 0;
        while (done < into.size()) {
            const auto got = ::pread(descriptor_, into.data() + done, into.size() - done,
                                     static_cast<off_t>(offset + done));
            if (got == 0) break;
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return os_error(errno, "read", path_);
            done += static_cast<std::size_t>(got);
        }
        return done;
    }
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
    [[nodiscard]] std::uint64_t next_data(std::uint64_t offset) const override {
        const auto at = ::lseek(descriptor_, static_cast<off_t>(offset), SEEK_DATA);
        if (at >= 0) return static_cast<std::uint64_t>(at);
        // Where holes are not known (block devices) everything may be data.
        return errno == ENXIO ? std::numeric_limits<std::uint64_t>::max() : offset;
    }
    [[nodiscard]] Status still_whole() const override {
        const auto end = ::lseek(descriptor_, 0, SEEK_END);
        if (end < 0) return os_error(errno, "look at", path_);
        if (static_cast<std::uint64_t>(end) >= size_) return {};
        return Error(Code::io, "the file became shorter while it was read",
                     "check a snapshot of it, not the file in use");
    }

private:
    int descriptor_;
    std::uint64_t size_;
    std::string path_;
};

// Keeps the first bytes, so that the header can be looked at before the pages are read in order.
class StreamSource final : public Source {
public:
    StreamSource(int descriptor, std::function<bool()> go_on)
        : descriptor_(descriptor), go_on_(std::move(go_on)) {}

    Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> into) override {
        EXSHADOW_TRY(fill_start(std::min<std::uint64_t>(offset + into.size(), kept_limit)));
        std::size_t done = 0;
        if (offset < start_.size()) {
            done = std::min<std::size_t>(into.size(), start_.size() - static_cast<std::size_t>(offset));
            std::memcpy(into.data(), start_.data() + offset, done);
        }
        if (done == into.size() || at_ < kept_limit) return done;
        if (offset + done != at_) return Error(Code::internal, "a stream was read out of order");
        const auto got = receive(into.subspan(done));
        if (!got.ok()) return got.error();
        at_ += *got;
        return done + *got;
    }
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return std::nullopt; }

private:
    static constexpr std::size_t kept_limit = 64 << 10;

    Status fill_start(std::uint64_t wanted) {
        if (start_.size() >= wanted || ended_) return {};
        const auto have = start_.size();
        start_.resize(static_cast<std::size_t>(wanted));
        const auto got = receive(std::span(start_).subspan(have));
        start_.resize(have + (got.ok() ? *got : 0));
        at_ = start_.size();
        if (!got.ok()) return got.error();
        ended_ = start_.size() < wanted;
        return {};
    }
    Result<std::size_t> receive(std::span<std::byte> into) const {
        std::size_t done = 0;
        while (done < into.size()) {
            EXSHADOW_TRY(wait_for_bytes());
            const auto got = ::read(descriptor_, into.data() + done, into.size() - done);
            if (got == 0) break;
            if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
            if (got < 0) return os_error(errno, "read", "the stream");
            done += static_cast<std::size_t>(got);
        }
        return done;
    }

    // Whoever writes the stream may take any time, and the reader must be able to give up.
    Status wait_for_bytes() const {
        pollfd waiting{descriptor_, POLLIN, 0};
        while (::poll(&waiting, 1, 100) <= 0) {
            if (go_on_ && !go_on_()) return Error(Code::cancelled, "reading the stream was stopped");
        }
        return {};
    }

    int descriptor_;
    std::function<bool()> go_on_;
    std::vector<std::byte> start_;
    std::uint64_t at_ = 0;
    bool ended_ = false;
};

class PacedSource final : public Source {
public:
    PacedSource(Source& source, Pace pace) : source_(source), pace_(std::move(pace)) {}

    Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> into) override {
        auto got = source_.read(offset, into);
        if (!got.ok()) return got;
        done_ += *got;
        EXSHADOW_TRY(hold());
        return got;
    }
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return source_.size(); }
    [[nodiscard]] std::uint64_t next_data(std::uint64_t offset) const override {
        return source_.next_data(offset);
    }
    [[nodiscard]] Status still_whole() const override { return source_.still_whole(); }
    [[nodiscard]] bool forward_only() const override { return source_.forward_only(); }

private:
    using Clock = std::chrono::steady_clock;
    using Seconds = std::chrono::duration<double>;

    Status hold() {
        while (true) {
            EXSHADOW_TRY(tell());
            if (pace_.bytes_per_second == 0) return {};
            const Seconds due(static_cast<double>(done_) / static_cast<double>(pace_.bytes_per_second));
            const auto ahead = due - (Clock::now() - started_);
            if (ahead <= Seconds::zero()) return {};
            std::this_thread::sleep_for(std::min<Seconds>(ahead, std::chrono::milliseconds(100)));
        }
    }
    Status tell() {
        if (!pace_.progress || Clock::now() - told_ < std::chrono::milliseconds(100)) return {};
        told_ = Clock::now();
        if (pace_.progress(done_)) return {};
        return Error(Code::cancelled, "the check was stopped", "run it again: it changes nothing");
    }

    Source& source_;
    Pace pace_;
    const Clock::time_point started_ = Clock::now();
    Clock::time_point told_ = started_;
    std::uint64_t done_ = 0;
};

class MemorySource final : public Source {
public:
    explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes) {}
    Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> into) override {
        if (offset >= bytes_.size()) return std::size_t{0};
        const auto count =
            std::min<std::size_t>(into.size(), bytes_.size() - static_cast<std::size_t>(offset));
        std::memcpy(into.data(), bytes_.data() + offset, count);
        return count;
    }
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return bytes_.size(); }

private:
    std::span<const std::byte> bytes_;
};

Error no_file(const std::string& path) {
    return {Code::invalid, path + " is neither a file nor a block device", "pipe it in and name it '-'"};
}

}  // namespace

Result<std::unique_ptr<Source>> open_file(const std::string& path) {
    // Not to wait for the writer of a named pipe.
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0 && errno == ENXIO) return no_file(path);  // a socket
    if (descriptor < 0) return os_error(errno, "open", path);
    struct stat facts {};
    if (::fstat(descriptor, &facts) != 0) {
        const int problem = errno;
        ::close(descriptor);
        return os_error(problem, "look at", path);
    }
    if (S_ISREG(facts.st_mode) || S_ISBLK(facts.st_mode)) {
        const auto end = ::lseek(descriptor, 0, SEEK_END);
        if (end >= 0) {
            ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL);
            return std::unique_ptr<Source>(
                std::make_unique<FileSource>(descriptor, static_cast<std::uint64_t>(end), path));
        }
    }
    ::close(descriptor);
    return no_file(path);
}

std::unique_ptr<Source> from_stream(int descriptor, std::function<bool()> go_on) {
    return std::make_unique<StreamSource>(descriptor, std::move(go_on));
}

std::unique_ptr<Source> paced(Source& source, Pace pace) {
    return std::make_unique<PacedSource>(source, std::move(pace));
}

std::unique_ptr<Source> from_memory(std::span<const std::byte> bytes) {
    return std::make_unique<MemorySource>(bytes);
}

}  // namespace exshadow::ese
