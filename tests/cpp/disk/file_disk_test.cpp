#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <vector>

#include "base/buffer.h"
#include "cpp/runtime/run_on.h"
#include "disk/file_disk.h"

namespace exshadow {
namespace {

using test::run_on;
using test::ScratchFile;
using Bytes = std::vector<std::byte>;

// A file in memory that answers what the script says (0: move everything) and notes what was asked.
class ScriptedFile final : public File {
public:
    ScriptedFile(std::uint64_t size, std::uint32_t alignment) : bytes(size) {
        info_.size = size;
        info_.alignment = alignment;
        info_.direct = alignment > 1;
        info_.can_punch = true;
        info_.path = "scripted";
    }
    Result<FileIdentity> identity() override { return FileIdentity{}; }
    Result<std::optional<std::string>> attribute(const std::string&) override {
        return std::optional<std::string>{};
    }
    Status set_attribute(const std::string&, const std::string&) override { return {}; }
    Status allocate(Range) override { return {}; }
    Status resize(std::uint64_t) override { return {}; }
    Result<std::vector<Extent>> extents(Range range) override { return std::vector<Extent>{{range, false}}; }

    static constexpr std::int64_t everything_moved = 1'000'000'000;

    bool start(FileOperation& operation) override {
        ++operations;
        if (operation.kind == FileOperation::Kind::read || operation.kind == FileOperation::Kind::write) {
            CHECK(operation.offset % info_.alignment == 0);
            CHECK(operation.length % info_.alignment == 0);
            CHECK(reinterpret_cast<std::uintptr_t>(operation.data) % info_.alignment == 0);
        }
        operation.result = next_answer(operation);
        if (operation.result > 0) move(operation);
        return true;
    }

    Bytes bytes;
    std::deque<std::int64_t> script;
    int operations = 0;

private:
    std::int64_t next_answer(const FileOperation& operation) {
        const auto everything = static_cast<std::int64_t>(operation.data == nullptr ? 0 : operation.length);
        if (script.empty()) return everything;
        const std::int64_t answer = script.front();
        script.pop_front();
        return answer == everything_moved ? everything : std::min(answer, everything);
    }
    void move(const FileOperation& operation) {
        const auto length = static_cast<std::size_t>(operation.result);
        std::byte* const at = bytes.data() + operation.offset;
        if (operation.kind == FileOperation::Kind::read) std::memcpy(operation.data, at, length);
        if (operation.kind == FileOperation::Kind::write) std::memcpy(at, operation.data, length);
    }
};

struct Scripted {
    explicit Scripted(std::uint32_t alignment = 1) : loop(std::move(*make_loop())) {
        auto owned = std::make_unique<ScriptedFile>(64 * KiB, alignment);
        file = owned.get();
        disk = std::make_unique<FileDisk>(*loop, std::move(owned));
    }
    std::unique_ptr<Loop> loop;
    ScriptedFile* file = nullptr;
    std::unique_ptr<FileDisk> disk;
};

Task<void> write_to(BlockDevice& disk, std::uint64_t offset, Bytes data, Status& status) {
    status = co_await disk.write(offset, data);
}
Task<void> read_from(BlockDevice& disk, std::uint64_t offset, Bytes& data, Status& status) {
    status = co_await disk.read(offset, data);
}
Task<void> flush_of(BlockDevice& disk, Status& status) {
    status = co_await disk.flush();
}
Task<void> zero_of(BlockDevice& disk, Range range, ZeroMode mode, Status& status) {
    status = co_await disk.zero(range, mode);
}

Bytes pattern(std::size_t length) {
    Bytes bytes(length);
    for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(i % 251 + 1);
    return bytes;
}

TEST_CASE("E33_short_transfers_and_interruptions_continue") {
    Scripted scripted;
    scripted.file->script = {1, -EINTR, 5000, -EAGAIN, 3, -EINTR};
    const Bytes data = pattern(20'000);
    Status status;
    run_on(*scripted.loop, write_to(*scripted.disk, 7, data, status));
    REQUIRE(status.ok());
    scripted.file->script = {3, -EAGAIN, 4096, -EINTR};
    Bytes found(data.size());
    run_on(*scripted.loop, read_from(*scripted.disk, 7, found, status));
    REQUIRE(status.ok());
    CHECK(found == data);
}

TEST_CASE("E33_short_direct_transfers_continue_at_a_whole_block") {
    Scripted scripted(4096);
    scripted.file->script = {4096 + 512, 100, -EINTR};
    const Bytes data = pattern(20'000);
    Status status;
    run_on(*scripted.loop, write_to(*scripted.disk, 0, data, status));
    REQUIRE(status.ok());
    scripted.file->script = {8192 + 1, 512};
    Bytes found(data.size());
    run_on(*scripted.loop, read_from(*scripted.disk, 0, found, status));
    REQUIRE(status.ok());
    CHECK(found == data);
}

TEST_CASE("E33_interruptions_are_retried_a_bounded_number_of_times") {
    Scripted scripted;
    for (int i = 0; i < 1000; ++i) scripted.file->script.push_back(-EINTR);
    Status status;
    run_on(*scripted.loop, write_to(*scripted.disk, 0, pattern(10), status));
    REQUIRE(!status.ok());
    CHECK(status.error().code() == Code::io);
    CHECK(scripted.file->operations < 100);
}

TEST_CASE("E33_the_end_of_the_file_inside_the_disk_is_a_truncated_file") {
    Scripted scripted;
    scripted.file->script = {100, 0};
    Bytes found(1000);
    Status status;
    run_on(*scripted.loop, read_from(*scripted.disk, 0, found, status));
    REQUIRE(!status.ok());
    CHECK(status.error().code() == Code::io);
    CHECK(status.error().message() == "cannot read scripted at 100: the file was truncated");
}

TEST_CASE("a_real_file_cut_short_is_noticed") {
    for (const LoopKind kind : {LoopKind::uring, LoopKind::pool}) {
        const auto loop = test::loop_or_skip(kind);
        if (!loop) continue;
        for (const bool direct : {false, true}) {
            const ScratchFile scratch(".");
            REQUIRE(::truncate(scratch.path().c_str(), 64 * KiB) == 0);
            auto disk = FileDisk::open(*loop, scratch.path(), {.writable = true, .direct = direct});
            REQUIRE(disk.ok());
            REQUIRE(::truncate(scratch.path().c_str(), 20'000) == 0);
            Bytes found(64 * KiB);
            Status status;
            run_on(*loop, read_from(**disk, 0, found, status));
            REQUIRE(!status.ok());
            CHECK(status.error().message().find("truncated") != std::string::npos);
        }
    }
}

TEST_CASE("E33_one_failed_flush_is_final") {
    Scripted scripted;
    Status status;
    scripted.file->script = {-EIO};
    run_on(*scripted.loop, flush_of(*scripted.disk, status));
    REQUIRE(!status.ok());
    CHECK(status.error().code() == Code::io);
    const int operations = scripted.file->operations;
    run_on(*scripted.loop, flush_of(*scripted.disk, status));
    CHECK(!status.ok());
    run_on(*scripted.loop, write_to(*scripted.disk, 0, pattern(10), status));
    CHECK(!status.ok());
    run_on(*scripted.loop, zero_of(*scripted.disk, {0, 10}, ZeroMode::may_unmap, status));
    CHECK(!status.ok());
    CHECK(scripted.file->operations == operations);
    Bytes found(10);
    run_on(*scripted.loop, read_from(*scripted.disk, 0, found, status));
    CHECK(status.ok());
}

TEST_CASE("zeroes_are_written_where_the_file_system_cannot_zero") {
    for (const ZeroMode mode : {ZeroMode::keep_allocated, ZeroMode::may_unmap}) {
        Scripted scripted(512);
        scripted.file->bytes = pattern(64 * KiB);
        const Bytes before = scripted.file->bytes;
        // The first block is read and written back; then the file system is asked, and cannot.
        constexpr auto all = ScriptedFile::everything_moved;
        scripted.file->script = {all, all, -EOPNOTSUPP};
        if (mode == ZeroMode::may_unmap) scripted.file->script.push_back(-EOPNOTSUPP);
        Status status;
        run_on(*scripted.loop, zero_of(*scripted.disk, {1000, 30'000}, mode, status));
        REQUIRE(status.ok());
        const Bytes& after = scripted.file->bytes;
        for (std::size_t i = 0; i < after.size(); ++i) {
            const bool inside = i >= 1000 && i < 31'000;
            if (after[i] != (inside ? std::byte{0} : before[i])) FAIL("byte " << i << " is wrong");
        }
    }
}

TEST_CASE("an_error_names_the_file_the_place_and_the_cause") {
    Scripted scripted;
    scripted.file->script = {-ENOSPC, -EIO, -EINVAL};
    Status status;
    run_on(*scripted.loop, write_to(*scripted.disk, 4096, pattern(10), status));
    CHECK(status.error().code() == Code::no_space);
    CHECK(status.error().message() == "cannot write scripted at 4096: No space left on device");
    run_on(*scripted.loop, write_to(*scripted.disk, 4096, pattern(10), status));
    CHECK(status.error().code() == Code::io);
    run_on(*scripted.loop, write_to(*scripted.disk, 4096, pattern(10), status));
    CHECK(status.error().code() == Code::io);
    CHECK(status.error().os_error() == EINVAL);
}

TEST_CASE("punching_gives_space_back") {
    const auto loop = std::move(*make_loop());
    const ScratchFile scratch("/dev/shm");
    REQUIRE(::truncate(scratch.path().c_str(), 4 * MiB) == 0);
    auto disk = FileDisk::open(*loop, scratch.path(), {.writable = true});
    REQUIRE(disk.ok());
    Status status;
    run_on(*loop, write_to(**disk, 0, pattern(4 * MiB), status));
    REQUIRE(status.ok());
    run_on(*loop, zero_of(**disk, {0, 4 * MiB}, ZeroMode::may_unmap, status));
    REQUIRE(status.ok());
    struct stat found {};
    REQUIRE(::stat(scratch.path().c_str(), &found) == 0);
    CHECK(found.st_blocks == 0);
    CHECK(found.st_size == 4 * MiB);
}

}  // namespace
}  // namespace exshadow
