// Test support: run one task on a loop to its end, on this thread.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "runtime/loop.h"
#include "runtime/sync.h"

namespace exshadow::test {

inline Task<void> stop_after(Loop& loop, Task<void> task) {
    co_await std::move(task);
    loop.stop();
}

inline void run_on(Loop& loop, Task<void> task) {
    TaskGroup group(loop);
    Task<void> whole = stop_after(loop, std::move(task));
    loop.post([&group, &whole] { group.spawn(std::move(whole)); });
    loop.run();
    REQUIRE(group.running() == 0);
}

// The loop of one kind, or null where this system forbids it (said aloud).
inline std::unique_ptr<Loop> loop_or_skip(LoopKind kind) {
    auto loop = make_loop(kind);
    if (loop.ok()) return std::move(*loop);
    MESSAGE("SKIPPED: " << loop.error().message());
    return nullptr;
}

// A path of its own, removed at the end.
class ScratchFile {
public:
    explicit ScratchFile(const std::string& directory) : path_(directory + "/exshadow-test-XXXXXX") {
        const int fd = ::mkstemp(path_.data());
        REQUIRE(fd >= 0);
        ::close(fd);
    }
    ScratchFile(const ScratchFile&) = delete;
    ScratchFile& operator=(const ScratchFile&) = delete;
    ~ScratchFile() { ::unlink(path_.c_str()); }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

}  // namespace exshadow::test
