#include <doctest/doctest.h>

#include <map>
#include <random>

#include "cpp/nbd/client.h"
#include "disk/faulty_disk.h"

namespace exshadow::nbd {
namespace {

using test::Bytes;
using test::Client;
using test::on_both_loops;
using test::ServerFixture;

constexpr std::uint64_t size = ServerFixture::size;

Bytes noise(std::size_t length, unsigned seed) {
    std::mt19937 random(seed);
    Bytes bytes(length);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random() | 1);
    return bytes;
}

TEST_CASE("what_is_written_is_read") {
    on_both_loops([](LoopKind kind) {
        for (const std::uint32_t alignment : {1U, 512U}) {
            ServerFixture fixture(kind);
            fixture.exports->exports["disk"]->alignment = alignment;
            const Client client = fixture.connect();
            client.negotiate();
            unsigned seed = 1;
            // Small ones stay in their block, large ones get a buffer; some straddle the block's end.
            for (const std::size_t length : {1, 511, 512, 4096, 65536, 65537, 262144, 300001, 2097152}) {
                CAPTURE(length);
                const Bytes data = noise(length, ++seed);
                CHECK(client.ask(Client::write_request(1000, data)) == Errno::none);
                CHECK(client.read(1000, static_cast<std::uint32_t>(length)) == data);
            }
            const Bytes longest = noise(longest_payload, 99);
            CHECK(client.ask(Client::write_request(0, longest, command_fua)) == Errno::none);
            CHECK(client.read(0, longest_payload) == longest);
            CHECK(client.ask(Client::write_request(size, {})) == Errno::none);
        }
    });
}

TEST_CASE("many_requests_in_one_go_are_all_answered") {
    on_both_loops([](LoopKind kind) {
        const ServerFixture fixture(kind);
        const Client client = fixture.connect();
        client.negotiate();
        Bytes bytes;
        Bytes expected;
        for (std::uint64_t i = 0; i < 500; ++i) {
            const Bytes data = noise(1 + i * 7, static_cast<unsigned>(i));
            const Bytes one = Client::write_request(i * 4096, data, 0, 1000 + i);
            bytes.insert(bytes.end(), one.begin(), one.end());
        }
        std::thread speaker([&] { client.say(bytes); });
        std::map<std::uint64_t, int> answered;
        for (int i = 0; i < 500; ++i) {
            const auto answer = client.simple_answer();
            CHECK(answer.error == Errno::none);
            ++answered[answer.cookie];
        }
        speaker.join();
        CHECK(answered.size() == 500);
        for (std::uint64_t i = 0; i < 500; i += 37) {
            const Bytes data = noise(1 + i * 7, static_cast<unsigned>(i));
            const Bytes found =
                client.read(i * 4096, static_cast<std::uint32_t>(std::min<std::size_t>(data.size(), 4096)));
            CHECK(std::equal(found.begin(), found.end(), data.begin()));
        }
    });
}

TEST_CASE("errors_are_the_ones_the_protocol_wants") {
    on_both_loops([](LoopKind kind) {
        ServerFixture fixture(kind);
        const Client client = fixture.connect();
        client.negotiate();
        const Bytes data(512, std::byte{1});
        CHECK(client.ask(Client::request(Command::read, size, 1)) == Errno::inval);
        CHECK(client.ask(Client::request(Command::read, size - 1, 2)) == Errno::inval);
        CHECK(client.ask(Client::request(Command::read, ~0ULL, 512)) == Errno::inval);
        CHECK(client.ask(Client::request(Command::read, 0, longest_payload + 1)) == Errno::inval);
        CHECK(client.ask(Client::request(Command::read, 0, 512, command_df)) == Errno::inval);
        CHECK(client.ask(Client::request(Command::read, 0, 512, command_no_hole)) == Errno::inval);
        CHECK(client.ask(Client::write_request(size - 511, data)) == Errno::nospc);
        CHECK(client.ask(Client::write_request(~0ULL - 100, data)) == Errno::nospc);
        CHECK(client.ask(Client::write_request(0, data, command_req_one)) == Errno::inval);
        CHECK(client.ask(Client::request(Command::write_zeroes, size, 1)) == Errno::nospc);
        CHECK(client.ask(Client::request(Command::trim, size, 1)) == Errno::inval);
        CHECK(client.ask(Client::request(Command::cache, size, 1)) == Errno::inval);
        CHECK(client.ask(Client::request(Command::cache, 0, 4096)) == Errno::none);
        CHECK(client.ask(Client::request(Command::block_status, 0, 512)) == Errno::inval);
        CHECK(client.ask(Client::request(Command::resize, 0, 512)) == Errno::notsup);
        CHECK(client.ask(Client::request(static_cast<Command>(77), 0, 0)) == Errno::inval);
        CHECK(client.ask(Client::request(Command::flush, 0, 0, 0x8000)) == Errno::inval);
        CHECK(client.read(0, 512) == Bytes(512));  // none of this did anything
    });
}

TEST_CASE("zeroing_is_fast_or_refused") {
    on_both_loops([](LoopKind kind) {
        const ServerFixture fixture(kind);
        const Client client = fixture.connect();
        client.negotiate();
        CHECK(client.ask(Client::write_request(0, noise(8192, 3))) == Errno::none);
        CHECK(client.ask(Client::request(Command::write_zeroes, 0, 512, command_fast_zero)) == Errno::none);
        CHECK(client.ask(Client::request(Command::write_zeroes, 0, 4096,
                                         command_fast_zero | command_no_hole)) == Errno::notsup);
        CHECK(client.ask(Client::request(Command::write_zeroes, 1024, 512, command_no_hole)) == Errno::none);
        CHECK(client.ask(Client::request(Command::trim, 4096, 4096, command_fua)) == Errno::none);
        Bytes expected = noise(8192, 3);
        std::fill_n(expected.begin(), 512, std::byte{0});
        std::fill_n(expected.begin() + 1024, 512, std::byte{0});
        std::fill_n(expected.begin() + 4096, 4096, std::byte{0});
        CHECK(client.read(0, 8192) == expected);
        CHECK(client.ask(Client::request(Command::write_zeroes, 0, size)) == Errno::none);
        CHECK(client.read(512, 512) == Bytes(512));
    });
}

TEST_CASE("structured_reads_are_data_or_hole") {
    on_both_loops([](LoopKind kind) {
        const ServerFixture fixture(kind);
        const Client client = fixture.connect();
        client.negotiate(true);
        const Bytes data = noise(5000, 5);
        REQUIRE(client.ask(Client::write_request(100, data)) == Errno::none);
        for (const std::uint16_t flags : {std::uint16_t{0}, command_df}) {
            REQUIRE(client.say(Client::request(Command::read, 100, 5000, flags, 9)));
            const auto chunk = client.chunk();
            CHECK(chunk.type == Chunk::offset_data);
            CHECK(chunk.flags == chunk_done);
            CHECK(chunk.cookie == 9);
            CHECK(load<std::uint64_t>(chunk.data) == 100);
            CHECK(Bytes(chunk.data.begin() + 8, chunk.data.end()) == data);
        }
        REQUIRE(client.say(Client::request(Command::read, MiB, 4096)));
        const auto hole = client.chunk();
        CHECK(hole.type == Chunk::offset_hole);
        CHECK(load<std::uint64_t>(hole.data) == MiB);
        CHECK(load<std::uint32_t>(std::span(hole.data).subspan(8)) == 4096);
        REQUIRE(client.say(Client::request(Command::read, 0, 0)));
        CHECK(client.chunk().type == Chunk::none);
        REQUIRE(client.say(Client::request(Command::read, size, 1)));
        const auto error = client.chunk();
        CHECK(error.type == Chunk::error);
        CHECK(error.error() == Errno::inval);
        CHECK(load<std::uint16_t>(std::span(error.data).subspan(4)) == error.data.size() - 6);
    });
}

TEST_CASE("block_status_of_several_contexts") {
    on_both_loops([](LoopKind kind) {
        const ServerFixture fixture(kind);
        const Client client = fixture.connect();
        client.negotiate(true, {"base:allocation", "exshadow:changed/one"});
        REQUIRE(client.ask(Client::write_request(MiB, noise(64 * KiB, 5))) == Errno::none);
        REQUIRE(client.say(Client::request(Command::block_status, 0, 4 * MiB)));
        const auto first = client.chunk();
        const auto second = client.chunk();
        CHECK(first.type == Chunk::block_status);
        CHECK(first.flags == 0);
        CHECK(second.flags == chunk_done);
        CHECK(load<std::uint32_t>(first.data) == 1);
        CHECK(load<std::uint32_t>(second.data) == 2);
        REQUIRE(first.data.size() == 4 + 3 * 8);
        const auto number = [&](std::size_t index) {
            return load<std::uint32_t>(std::span(first.data).subspan(4 + 4 * index));
        };
        CHECK(number(0) == MiB);
        CHECK(number(1) == (status_hole | status_zero));
        CHECK(number(2) == 64 * KiB);
        CHECK(number(3) == 0);
        CHECK(number(4) == 3 * MiB - 64 * KiB);
        REQUIRE(client.say(Client::request(Command::block_status, 0, 4 * MiB, command_req_one)));
        CHECK(client.chunk().data.size() == 12);
        CHECK(client.chunk().data.size() == 12);
        REQUIRE(client.say(Client::request(Command::block_status, 0, 0)));
        CHECK(client.chunk().error() == Errno::inval);
    });
}

TEST_CASE("a_context_that_goes_away_is_an_error_not_an_answer") {
    const ServerFixture fixture(LoopKind::pool);
    const Client client = fixture.connect();
    client.negotiate(true, {"exshadow:changed/two"});
    REQUIRE(client.say(Client::request(Command::block_status, 0, MiB)));
    const auto chunk = client.chunk();
    CHECK(chunk.type == Chunk::error);
    CHECK(chunk.error() == Errno::shutdown);
}

TEST_CASE("device_errors_reach_the_client_and_the_next_request_goes_on") {
    on_both_loops([](LoopKind kind) {
        ServerFixture fixture(kind);
        auto faulty = std::make_unique<FaultyDisk>(
            *fixture.thread.loop, std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = size}));
        faulty->add({.verb = DiskVerb::read, .error = EIO});
        faulty->add({.verb = DiskVerb::write, .error = ENOSPC});
        faulty->add({.verb = DiskVerb::zero, .error = EIO});
        fixture.add("disk", std::move(faulty));
        const Client client = fixture.connect();
        client.negotiate();
        CHECK(client.ask(Client::request(Command::read, 0, 512)) == Errno::io);
        CHECK(client.ask(Client::write_request(0, Bytes(512))) == Errno::nospc);
        CHECK(client.ask(Client::request(Command::write_zeroes, 0, 512)) == Errno::io);
        CHECK(client.read(0, 512) == Bytes(512));
        CHECK(client.ask(Client::write_request(0, noise(512, 1))) == Errno::none);
    });
}

TEST_CASE("a_write_that_is_too_long_ends_the_connection") {
    const ServerFixture fixture(LoopKind::pool);
    const Client client = fixture.connect();
    client.negotiate();
    client.say(Client::request(Command::write, 0, longest_payload + 1));
    CHECK(client.is_let_go());
    const Client huge = fixture.connect();
    huge.negotiate();
    huge.say(Client::request(Command::write, 0, 0xFFFFFFFF));
    CHECK(huge.is_let_go());
}

TEST_CASE("disc_is_obeyed_after_what_came_before_it") {
    on_both_loops([](LoopKind kind) {
        const ServerFixture fixture(kind);
        const Client client = fixture.connect();
        client.negotiate();
        Bytes bytes = Client::write_request(0, noise(4096, 1));
        const Bytes disc = Client::request(Command::disc, 0, 0);
        bytes.insert(bytes.end(), disc.begin(), disc.end());
        REQUIRE(client.say(bytes));
        CHECK(client.simple_answer().error == Errno::none);
        CHECK(client.is_let_go());
    });
}

}  // namespace
}  // namespace exshadow::nbd
