#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "cpp/runtime/run_on.h"

namespace exshadow {
namespace {

using test::run_on;
using test::ScratchFile;

constexpr OpenOptions to_write{.writable = true};
constexpr OpenOptions to_own{.writable = true, .lock = FileLock::exclusive};

template <class Test>
void on_both_loops(Test test) {
    for (const LoopKind kind : {LoopKind::uring, LoopKind::pool}) {
        const auto loop = test::loop_or_skip(kind);
        if (!loop) continue;
        CAPTURE(loop->name());
        test(*loop);
    }
}

Code code_of_opening(Loop& loop, const std::string& path, const OpenOptions& options) {
    const auto file = loop.open(path, options);
    REQUIRE(!file.ok());
    CHECK(!file.error().message().empty());
    CHECK(file.error().message().find(path) != std::string::npos);
    return file.error().code();
}

TEST_CASE("opening_says_what_is_wrong") {
    on_both_loops([](Loop& loop) {
        CHECK(code_of_opening(loop, "./no-such-file", to_write) == Code::not_found);
        CHECK(code_of_opening(loop, ".", to_write) == Code::invalid);
        CHECK(code_of_opening(loop, "/dev/null", to_write) == Code::invalid);
        const ScratchFile scratch(".");
        CHECK(code_of_opening(loop, scratch.path(), {.writable = true, .exclusive_create = true}) ==
              Code::exists);
        REQUIRE(::chmod(scratch.path().c_str(), 0444) == 0);
        CHECK(code_of_opening(loop, scratch.path(), to_write) == Code::permission);
        CHECK(loop.open(scratch.path(), {}).ok());
    });
}

TEST_CASE("E8_a_file_has_one_owner") {
    on_both_loops([](Loop& loop) {
        const ScratchFile scratch("/dev/shm");
        auto owner = loop.open(scratch.path(), to_own);
        REQUIRE(owner.ok());
        const auto second = loop.open(scratch.path(), to_own);
        REQUIRE(!second.ok());
        CHECK(second.error().code() == Code::busy);
        CHECK(second.error().message().find(scratch.path()) != std::string::npos);
        CHECK(second.error().hint() == "another exshadow process or volume uses it");
        (*owner).reset();
        CHECK(loop.open(scratch.path(), to_own).ok());
    });
}

TEST_CASE("a_held_lock_is_waited_for_as_long_as_asked") {
    on_both_loops([](Loop& loop) {
        const ScratchFile scratch("/dev/shm");
        const int holder = ::open(scratch.path().c_str(), O_RDWR | O_CLOEXEC);
        REQUIRE(::flock(holder, LOCK_EX) == 0);
        std::thread releaser([holder] {
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
            ::close(holder);
        });
        OpenOptions patient = to_own;
        patient.lock_wait_ns = 10 * second_ns;
        CHECK(loop.open(scratch.path(), patient).ok());
        releaser.join();
    });
}

TEST_CASE("memory_backed_files_are_never_direct") {
    on_both_loops([](Loop& loop) {
        const ScratchFile scratch("/dev/shm");
        const auto file = loop.open(scratch.path(), {.writable = true, .direct = true});
        REQUIRE(file.ok());
        CHECK((*file)->info().backing == Backing::memory);
        CHECK(!(*file)->info().direct);
        CHECK((*file)->info().alignment == 1);
    });
}

TEST_CASE("a_file_of_odd_size_is_not_opened_direct") {
    on_both_loops([](Loop& loop) {
        const ScratchFile scratch(".");
        REQUIRE(::truncate(scratch.path().c_str(), 1000) == 0);
        const auto file = loop.open(scratch.path(), {.writable = true, .direct = true});
        REQUIRE(file.ok());
        CHECK(!(*file)->info().direct);
        CHECK((*file)->info().size == 1000);
    });
}

TEST_CASE("identity_changes_with_contents_and_attributes_come_back") {
    on_both_loops([](Loop& loop) {
        const ScratchFile scratch(".");
        auto file = loop.open(scratch.path(), to_write);
        REQUIRE(file.ok());
        const auto before = (*file)->identity();
        REQUIRE(before.ok());
        CHECK(*before == *(*file)->identity());
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        REQUIRE((*file)->resize(8192).ok());
        CHECK((*file)->info().size == 8192);
        CHECK(!(*before == *(*file)->identity()));
        CHECK((*file)->allocate({0, 8192}).ok());

        const auto none = (*file)->attribute("user.exshadow");
        REQUIRE(none.ok());
        CHECK(!none.value().has_value());
        REQUIRE((*file)->set_attribute("user.exshadow", "volume 1").ok());
        CHECK((*file)->attribute("user.exshadow").value() == "volume 1");
    });
}

TEST_CASE("extents_tell_data_from_holes") {
    on_both_loops([](Loop& loop) {
        const ScratchFile scratch("/dev/shm");
        auto file = loop.open(scratch.path(), to_write);
        REQUIRE(file.ok());
        REQUIRE((*file)->resize(1 * MiB).ok());
        const int fd = ::open(scratch.path().c_str(), O_RDWR | O_CLOEXEC);
        const std::vector<char> data(64 * KiB, 'x');
        REQUIRE(::pwrite(fd, data.data(), data.size(), 256 * KiB) == static_cast<ssize_t>(data.size()));
        ::close(fd);
        const std::vector<Extent> expected{
            {{0, 256 * KiB}, true}, {{256 * KiB, 64 * KiB}, false}, {{320 * KiB, 704 * KiB}, true}};
        CHECK((*file)->extents({0, 1 * MiB}).value() == expected);
        const std::vector<Extent> middle{{{260 * KiB, 10 * KiB}, false}};
        CHECK((*file)->extents({260 * KiB, 10 * KiB}).value() == middle);
        CHECK((*file)->extents({4096, 0}).value().empty());
    });
}

Task<void> write_block(File& file, std::uint64_t index, std::span<const std::byte> data, int& written) {
    const std::int64_t result = co_await file.write(index * data.size(), data);
    if (result == static_cast<std::int64_t>(data.size())) ++written;
}

Task<void> write_many(Loop& loop, File& file, int count, std::span<const std::byte> data, int& written) {
    TaskGroup group(loop);
    for (int i = 0; i < count; ++i) {
        group.spawn(write_block(file, static_cast<std::uint64_t>(i), data, written));
    }
    co_await group.wait();
    CHECK(co_await file.flush() == 0);
}

TEST_CASE("E33_more_operations_than_the_completion_queue_holds_all_complete") {
    on_both_loops([](Loop& loop) {
        const ScratchFile scratch(".");
        constexpr int count = 6000;
        REQUIRE(::truncate(scratch.path().c_str(), count * 4096) == 0);
        auto file = loop.open(scratch.path(), {.writable = true, .direct = true});
        REQUIRE(file.ok());
        const AlignedBuffer buffer = AlignedBuffer::zeroed(4096);
        int written = 0;
        run_on(loop, write_many(loop, **file, count, buffer.span(), written));
        CHECK(written == count);
    });
}

Task<void> write_then_note(File& file, std::span<const std::byte> data, bool& done) {
    const std::int64_t result = co_await file.write(0, data);
    done = result == static_cast<std::int64_t>(data.size());
}

TEST_CASE("E32_operations_in_flight_end_before_run_returns") {
    on_both_loops([](Loop& loop) {
        const ScratchFile scratch(".");
        REQUIRE(::truncate(scratch.path().c_str(), 4 * MiB) == 0);
        auto file = loop.open(scratch.path(), {.writable = true, .direct = true});
        REQUIRE(file.ok());
        const AlignedBuffer buffer = AlignedBuffer::zeroed(4 * MiB);
        bool done = false;
        TaskGroup group(loop);
        loop.post([&] {
            group.spawn(write_then_note(**file, buffer.span(), done));
            loop.stop();
        });
        loop.run();
        CHECK(done);
    });
}

}  // namespace
}  // namespace exshadow
