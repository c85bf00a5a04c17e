#include "ese/header.h"

#include <doctest/doctest.h>

#include <array>

#include "cpp/ese/make.h"

using namespace exshadow;
using namespace exshadow::ese;

TEST_CASE("ese: the better of two header copies, of every page size") {
    for (const std::uint32_t size : {2048U, 4096U, 8192U, 16384U, 32768U}) {
        const auto copy = make::database_header(size, DatabaseState::dirty_shutdown);
        auto file = copy;
        make::append(file, copy);
        auto chosen = choose_header(file);
        REQUIRE(chosen.ok());
        CHECK((chosen->first_good && chosen->second_good && chosen->equal));
        CHECK(chosen->header.page_size == size);
        CHECK(name(chosen->header.state) == "DirtyShutdown");

        make::flip(file, 8 * 300);
        chosen = choose_header(file);
        REQUIRE(chosen.ok());
        CHECK((!chosen->first_good && chosen->second_good));
        make::flip(file, 8 * (size + 300));
        CHECK(choose_header(file).error().code() == Code::corrupt);
        make::flip(file, 8 * 300);
        chosen = choose_header(file);
        REQUIRE(chosen.ok());
        CHECK((chosen->first_good && !chosen->second_good));
        // Only the first copy is there.
        file.resize(size);
        CHECK(choose_header(file).ok());
        file.resize(size - 1);
        CHECK(!choose_header(file).ok());
    }
    CHECK(choose_header({}).error().code() == Code::mismatch);
    CHECK(choose_header(make::Bytes(65536)).error().code() == Code::mismatch);
}

TEST_CASE("ese: every flipped bit of a header is found") {
    for (const std::uint32_t size : {2048U, 4096U, 8192U, 16384U, 32768U}) {
        auto file = make::database_header(size);
        make::append(file, make::Bytes(file));
        for (std::size_t bit = 0; bit<8 * std::size_t{size}; bit += size> 4096 ? 7 : 1) {
            make::flip(file, bit);
            const auto chosen = choose_header(file);
            CHECK((chosen.ok() && !chosen->first_good && chosen->second_good));
            make::flip(file, bit);
        }
    }
}

TEST_CASE("ese: a stated page size of 0 is 4096") {
    auto file = make::database_header(4096);
    make::put(file, 236, std::uint32_t{0});
    make::seal_header(file, 4096);
    const auto chosen = choose_header(file);
    REQUIRE(chosen.ok());
    CHECK(chosen->header.page_size == 4096);
    make::put(file, 236, std::uint32_t{8192});
    make::seal_header(file, 4096);
    CHECK(!choose_header(file).ok());
}

TEST_CASE("ese: states and their names") {
    CHECK(name(DatabaseState::none) == "None");
    CHECK(name(DatabaseState::revert_in_progress) == "RevertInProgress");
    CHECK(name(static_cast<DatabaseState>(9)) == "unknown");
    auto file = make::database_header(4096, DatabaseState::just_created);
    make::append(file, make::Bytes(file));
    CHECK(!choose_header(file)->header.temporary());
    file[208] = std::byte{1};
    make::seal_header(file, 4096);
    CHECK(choose_header(file)->header.temporary());
}

TEST_CASE("ese: log headers, checkpoints and flush maps lose no flipped bit") {
    auto log = make::log_header(5, 8, 4096, 16);
    REQUIRE(read_log_header(log).ok());
    CHECK(read_log_header(log)->size() == 65536);
    make::Bytes checkpoint(checkpoint_copy_size);
    make::put(checkpoint, 16, std::uint32_t{77});
    make::seal_header(checkpoint, checkpoint_copy_size);
    make::append(checkpoint, make::Bytes(checkpoint));
    REQUIRE(read_checkpoint(checkpoint).ok());
    CHECK(read_checkpoint(checkpoint)->position.generation == 77);
    make::Bytes map(flush_map_page_size);
    make::put(map, 36, std::uint32_t{1});
    make::put(map, 667, std::uint32_t{7});
    make::seal_header(map, flush_map_page_size);
    REQUIRE(read_flush_map_header(map).ok());
    CHECK(read_flush_map_header(map)->clean);
    for (std::size_t bit = 0; bit < 8 * log_header_size; ++bit) {
        make::flip(log, bit);
        make::flip(checkpoint, bit);
        make::flip(map, 2 * bit);
        CHECK(!read_log_header(log).ok());
        CHECK(!read_checkpoint(checkpoint)->first_good);
        CHECK(!read_flush_map_header(map).ok());
        make::flip(log, bit);
        make::flip(checkpoint, bit);
        make::flip(map, 2 * bit);
    }
    for (const std::uint32_t other : {1, 2, 3, 5, 7}) {  // a database, a log ... under its name
        auto copy = checkpoint;
        make::put(copy, 667, other);
        make::seal_header(copy, checkpoint_copy_size);
        CHECK(!read_checkpoint(copy).ok());
    }
    make::put(map, 667, std::uint32_t{1});
    make::seal_header(map, flush_map_page_size);
    CHECK(!read_flush_map_header(map).ok());
    CHECK(!read_log_header(std::span(log).first(4095)).ok());
    CHECK(read_checkpoint(std::span(checkpoint).first(4096)).ok());
    CHECK(!read_checkpoint(std::span(checkpoint).first(4095)).ok());
}

TEST_CASE("ese: a log header of impossible sizes is refused") {
    for (const auto at : {8U, 10U, 12U}) {
        for (const auto value : std::array<std::uint16_t, 4>{0, 1, 3, 65535}) {
            auto log = make::log_header(5, 8, 4096, 16);
            make::put(log, at, value);
            make::seal_header(log, log_header_size);
            const auto header = read_log_header(log);
            if (!header.ok()) continue;
            CHECK(header->body() >= log_header_size);
            CHECK(header->size() > header->body());
        }
    }
}
