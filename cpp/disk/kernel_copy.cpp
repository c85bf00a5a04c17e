#include "disk/kernel_copy.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "base/crc32c.h"

namespace exshadow {

namespace {

constexpr std::uint64_t shortest_run = 512 * KiB;  // less does not repay a mapping
constexpr std::uint64_t smallest_unit = 16 * KiB;  // less costs too many looks
constexpr std::uint64_t page_bytes = 4 * KiB;
constexpr int pipe_bytes = 1 * static_cast<int>(MiB);
constexpr std::size_t sample_bytes = 32;
constexpr std::size_t samples_a_call = 64;              // a pipe of the default size holds them
constexpr std::uint64_t fault_around_bytes = 64 * KiB;  // what the kernel maps at one read fault

using Sample = std::array<std::byte, sample_bytes>;

// One for each worker thread. A transfer that fails in the middle leaves bytes in it: then it is renewed.
class Pipe {
public:
    Pipe() = default;
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() { close(); }

    [[nodiscard]] bool open() {
        if (ends_[0] >= 0) return true;
        if (::pipe2(ends_.data(), O_CLOEXEC) != 0) return false;
        static_cast<void>(::fcntl(ends_[0], F_SETPIPE_SZ, pipe_bytes));  // smaller ones work as well
        return true;
    }
    void close() {
        for (int& end : ends_) {
            if (end >= 0) ::close(end);
            end = -1;
        }
    }
    [[nodiscard]] int out() const { return ends_[0]; }
    [[nodiscard]] int in() const { return ends_[1]; }

private:
    std::array<int, 2> ends_{-1, -1};
};

Pipe& thread_pipe() {
    thread_local Pipe pipe;
    return pipe;
}

ssize_t splice_some(int from, loff_t* from_at, int to, loff_t* to_at, std::size_t length) {
    for (;;) {
        const ssize_t moved = ::splice(from, from_at, to, to_at, length, 0);
        if (moved >= 0 || errno != EINTR) return moved;
    }
}

bool splice_through(const Pipe& pipe, int source, int target, const Range& range) {
    auto from = static_cast<loff_t>(range.offset);
    auto to = from;
    const auto end = static_cast<loff_t>(range.end());
    while (from < end) {
        const auto most = std::min<loff_t>(end - from, pipe_bytes);
        const ssize_t lent = splice_some(source, &from, pipe.in(), nullptr, static_cast<std::size_t>(most));
        if (lent <= 0) return false;
        while (to < from) {
            const auto left = static_cast<std::size_t>(from - to);
            if (splice_some(pipe.out(), nullptr, target, &to, left) <= 0) return false;
        }
    }
    return true;
}

bool is_zero(const Sample& sample) {
    return all_zero(sample);
}

// The end of the volume may cut the last unit short.
std::size_t sample_size(const Range& range, std::uint64_t at) {
    return static_cast<std::size_t>(std::min<std::uint64_t>(sample_bytes, range.end() - at));
}

bool may_hold_zeroes(int source, const Range& range, std::uint64_t unit) {
    for (std::uint64_t at = range.offset; at < range.end(); at += unit) {
        Sample sample{};
        const std::size_t size = sample_size(range, at);
        if (::pread(source, sample.data(), size, static_cast<off_t>(at)) < 0 || is_zero(sample)) return true;
    }
    return false;
}

KernelCopy copy_by_splice(CopyLanes& lanes, int source, int target, const Range& range, std::uint64_t unit) {
    if (may_hold_zeroes(source, range, unit)) return KernelCopy::may_be_zero;
    Pipe& pipe = thread_pipe();
    if (!pipe.open()) return KernelCopy::not_done;
    if (splice_through(pipe, source, target, range)) return KernelCopy::done;
    pipe.close();
    lanes.refused = true;
    return KernelCopy::not_done;
}

// A mapping that only the kernel reads and writes: a file that is full or was cut short is then an error
// of the call, where touching it here would be a SIGBUS.
class TargetView {
public:
    TargetView(int target, const Range& range) : range_(range) {
        void* const mapped = ::mmap(nullptr, range.length, PROT_READ | PROT_WRITE, MAP_SHARED, target,
                                    static_cast<off_t>(range.offset));
        if (mapped != MAP_FAILED) bytes_ = static_cast<std::byte*>(mapped);
    }
    TargetView(const TargetView&) = delete;
    TargetView& operator=(const TargetView&) = delete;
    ~TargetView() {
        if (bytes_ != nullptr) ::munmap(bytes_, range_.length);
    }

    [[nodiscard]] bool mapped() const { return bytes_ != nullptr; }

    // The first bytes at every `step`, copied out by way of the pipe. False when they cannot be read. The
    // kernel maps the pages around each place meanwhile, sixteen at a fault.
    template <class Look>
    [[nodiscard]] bool visit(const Pipe& pipe, std::uint64_t step, std::size_t bytes, Look look) const {
        std::vector<iovec> places;
        std::vector<Sample> samples(samples_a_call);
        for (std::uint64_t at = 0; at < range_.length;) {
            places.clear();
            std::vector<iovec> found;
            ssize_t total = 0;
            for (; at < range_.length && places.size() < samples_a_call; at += step) {
                const std::size_t size = std::min(bytes, sample_size(range_, range_.offset + at));
                samples[places.size()] = {};
                found.push_back({samples[places.size()].data(), size});
                places.push_back({bytes_ + at, size});
                total += static_cast<ssize_t>(size);
            }
            const int count = static_cast<int>(places.size());
            if (::writev(pipe.in(), places.data(), count) != total) return false;
            if (::readv(pipe.out(), found.data(), count) != total) return false;
            for (int i = 0; i < count; ++i) look(samples[static_cast<std::size_t>(i)]);
        }
        return true;
    }

    [[nodiscard]] bool fill(int source) const {
        for (std::uint64_t at = 0; at < range_.length;) {
            const ssize_t got =
                ::pread(source, bytes_ + at, range_.length - at, static_cast<off_t>(range_.offset + at));
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) return false;
            at += static_cast<std::uint64_t>(got);
        }
        return true;
    }

private:
    const Range range_;
    std::byte* bytes_ = nullptr;
};

KernelCopy copy_by_mapping(int source, int target, const Range& range, std::uint64_t unit) {
    Pipe& pipe = thread_pipe();
    if (!pipe.open()) return KernelCopy::not_done;
    const TargetView view(target, range);
    bool zero = false;
    const bool copied = view.mapped() && view.visit(pipe, fault_around_bytes, 1, [](const Sample&) {}) &&
                        view.fill(source) &&
                        view.visit(pipe, unit, sample_bytes,
                                   [&zero](const Sample& sample) { zero = zero || is_zero(sample); });
    if (!copied) {
        pipe.close();
        return KernelCopy::not_done;
    }
    return zero ? KernelCopy::may_be_zero : KernelCopy::done;
}

bool in_memory_file_system(const FileDisk& disk) {
    return disk.descriptor() >= 0 && disk.backing() == Backing::memory;
}

}  // namespace

bool can_copy_in_kernel(const FileDisk& source, const FileDisk& target) {
    return in_memory_file_system(source) && in_memory_file_system(target);
}

KernelCopy copy_in_kernel(CopyLanes& lanes, int source, int target, const Range& range, std::uint64_t unit) {
    const bool fits = range.length >= shortest_run && range.offset % page_bytes == 0 && unit >= smallest_unit;
    if (!fits || lanes.refused) return KernelCopy::not_done;
    if (lanes.writing.exchange(true)) return copy_by_mapping(source, target, range, unit);
    const KernelCopy result = copy_by_splice(lanes, source, target, range, unit);
    lanes.writing = false;
    return result;
}

}  // namespace exshadow
