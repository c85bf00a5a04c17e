#include <doctest/doctest.h>

#include <chrono>

#include "cpp/nbd/client.h"

namespace exshadow::nbd {
namespace {

using test::Bytes;
using test::bytes_of;
using test::Client;
using test::on_both_loops;
using test::ServerFixture;

constexpr std::uint32_t starttls = 5;
constexpr std::uint32_t extended_headers = 11;

TEST_CASE("go_tells_what_was_asked_for") {
    on_both_loops([](LoopKind kind) {
        const ServerFixture fixture(kind);
        const Client client = fixture.connect();
        client.greet();
        client.option(Option::go, Client::name_option("disk", {0, 1, 2, 3, 77}));
        const auto answers = client.answers();
        REQUIRE(answers.size() == 5);
        CHECK(answers.back().type == OptionReply::ack);
        CHECK(load<std::uint64_t>(std::span(answers[0].data).subspan(2)) == ServerFixture::size);
        const auto flags = load<std::uint16_t>(std::span(answers[0].data).subspan(10));
        CHECK(flags ==
              (transmits_flags | transmits_flush | transmits_fua | transmits_trim | transmits_write_zeroes |
               transmits_multi_conn | transmits_cache | transmits_fast_zero));
        CHECK(load<std::uint16_t>(answers[3].data) == 3);
        CHECK(load<std::uint32_t>(std::span(answers[3].data).subspan(2)) == 1);
        CHECK(load<std::uint32_t>(std::span(answers[3].data).subspan(6)) == 4096);
        CHECK(load<std::uint32_t>(std::span(answers[3].data).subspan(10)) == 32 * MiB);
        CHECK(client.ask(Client::request(Command::flush, 0, 0)) == Errno::none);
    });
}

TEST_CASE("info_may_be_asked_again_and_again_and_opens_nothing") {
    const ServerFixture fixture(LoopKind::pool);
    const Client client = fixture.connect();
    client.greet();
    for (int i = 0; i < 3; ++i) {
        client.option(Option::info, Client::name_option("disk", {2}));
        const auto answers = client.answers();
        REQUIRE(answers.size() == 3);
        CHECK(answers[1].data.size() == 2 + std::string("made for a test").size());
    }
    client.option(Option::info, Client::name_option("nothing"));
    CHECK(client.last_answer() == OptionReply::err_unknown);
    CHECK(fixture.exports->served == 0);
    client.go();
    CHECK(fixture.exports->served == 1);
}

TEST_CASE("old_clients_name_their_export") {
    on_both_loops([](LoopKind kind) {
        const ServerFixture fixture(kind);
        for (const std::uint32_t flags : {0U, 1U, 3U}) {
            CAPTURE(flags);
            const Client client = fixture.connect();
            client.greet(flags);
            client.option(Option::export_name, bytes_of("disk"));
            CHECK(client.hear_number<std::uint64_t>() == ServerFixture::size);
            CHECK((client.hear_number<std::uint16_t>() & transmits_flags) != 0);
            if ((flags & flag_no_zeroes) == 0) CHECK(client.hear(124) == Bytes(124));
            CHECK(client.ask(Client::write_request(0, Bytes(10, std::byte{7}))) == Errno::none);
        }
        const Client client = fixture.connect();
        client.greet();
        client.option(Option::export_name, bytes_of("nothing"));
        CHECK(client.is_let_go());
    });
}

TEST_CASE("exports_are_listed") {
    ServerFixture fixture(LoopKind::pool);
    fixture.add("archive", std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = MiB}), true);
    const Client client = fixture.connect();
    client.greet();
    client.option(Option::list);
    const auto answers = client.answers();
    REQUIRE(answers.size() == 3);
    CHECK(answers[0].type == OptionReply::server);
    CHECK(load<std::uint32_t>(answers[0].data) == 7);
    client.option(Option::list, bytes_of("x"));
    CHECK(client.last_answer() == OptionReply::err_invalid);
    client.go("archive");
    CHECK(client.ask(Client::write_request(0, Bytes(10))) == Errno::perm);
}

TEST_CASE("metadata_contexts_are_listed_and_selected") {
    const ServerFixture fixture(LoopKind::pool);
    const Client client = fixture.connect();
    client.greet();
    client.option(Option::set_meta_context, Client::context_option("disk", {"base:allocation"}));
    CHECK(client.last_answer() == OptionReply::err_invalid);  // structured replies come first
    client.option(Option::structured_reply);
    CHECK(client.last_answer() == OptionReply::ack);
    const auto list = [&](const std::vector<std::string>& queries) {
        client.option(Option::list_meta_context, Client::context_option("disk", queries));
        const auto answers = client.answers();
        CHECK(answers.back().type == OptionReply::ack);
        return answers.size() - 1;
    };
    CHECK(list({}) == 3);
    CHECK(list({"base:"}) == 1);
    CHECK(list({"exshadow:"}) == 2);
    CHECK(list({"exshadow:changed/"}) == 2);
    CHECK(list({"exshadow:changed/two", "qemu:dirty-bitmap:x"}) == 1);
    CHECK(list({"base"}) == 0);
    client.option(Option::set_meta_context, Client::context_option("disk", {"base:", "exshadow:"}));
    CHECK(client.answers().size() == 1);  // a selection has no wildcards
    client.option(Option::set_meta_context,
                  Client::context_option("disk", {"exshadow:changed/one", "base:allocation"}));
    const auto answers = client.answers();
    REQUIRE(answers.size() == 3);
    CHECK(load<std::uint32_t>(answers[0].data) != load<std::uint32_t>(answers[1].data));
    client.option(Option::set_meta_context, Client::context_option("nothing", {"base:allocation"}));
    CHECK(client.last_answer() == OptionReply::err_unknown);
}

TEST_CASE("contexts_belong_to_the_export_they_were_selected_for") {
    ServerFixture fixture(LoopKind::pool);
    fixture.add("other", std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = MiB}));
    const Client client = fixture.connect();
    client.greet();
    client.option(Option::structured_reply);
    REQUIRE(client.last_answer() == OptionReply::ack);
    client.option(Option::set_meta_context, Client::context_option("disk", {"base:allocation"}));
    REQUIRE(client.last_answer() == OptionReply::ack);
    client.go("other");
    REQUIRE(client.say(Client::request(Command::block_status, 0, 512)));
    CHECK(client.chunk().error() == Errno::inval);
}

TEST_CASE("what_the_server_does_not_have_is_refused_and_goes_on") {
    on_both_loops([](LoopKind kind) {
        const ServerFixture fixture(kind);
        const Client client = fixture.connect();
        client.greet();
        for (const std::uint32_t option : {starttls, extended_headers, 4U, 0U, 999U, 0xFFFFFFFFU}) {
            client.option(option);
            CHECK(client.last_answer() == OptionReply::err_unsup);
        }
        client.option(starttls, Bytes(100));
        CHECK(client.last_answer() == OptionReply::err_unsup);
        client.go();
    });
}

TEST_CASE("abort_is_acknowledged") {
    const ServerFixture fixture(LoopKind::pool);
    const Client client = fixture.connect();
    client.greet();
    client.option(Option::abort);
    CHECK(client.last_answer() == OptionReply::ack);
    CHECK(client.is_let_go());
}

TEST_CASE("wrong_lengths_inside_an_option_are_refused") {
    on_both_loops([](LoopKind kind) {
        const ServerFixture fixture(kind);
        const Client client = fixture.connect();
        client.greet();
        client.option(Option::structured_reply);
        REQUIRE(client.last_answer() == OptionReply::ack);
        Bytes too_long = Client::name_option("disk");
        too_long.push_back(std::byte{0});
        Bytes lies;
        append(lies, std::uint32_t{0xFFFFFFFF});
        Bytes many_infos = Client::name_option("disk");
        many_infos.back() = std::byte{9};
        Bytes many_queries;
        append(many_queries, std::uint32_t{0});
        append(many_queries, std::uint32_t{0xFFFFFFFF});
        for (const Bytes& data : {Bytes{}, Bytes(3), too_long, lies, many_infos}) {
            client.option(Option::go, data);
            CHECK(client.last_answer() == OptionReply::err_invalid);
            client.option(Option::info, data);
            CHECK(client.last_answer() == OptionReply::err_invalid);
        }
        for (const Bytes& data : {Bytes{}, Bytes(3), lies, many_queries}) {
            client.option(Option::set_meta_context, data);
            CHECK(client.last_answer() == OptionReply::err_invalid);
        }
        client.option(Option::structured_reply, Bytes(1));
        CHECK(client.last_answer() == OptionReply::err_invalid);
        client.go();  // after all of this
    });
}

TEST_CASE("F22_hostile_lengths_take_no_memory_and_no_time") {
    on_both_loops([](LoopKind kind) {
        const ServerFixture fixture(kind);
        for (const auto option : {Option::go, Option::export_name, Option::list, Option::set_meta_context}) {
            const Client client = fixture.connect();
            client.greet();
            client.option_head(static_cast<std::uint32_t>(option), 0xFFFFFFFF);
            CHECK(client.is_let_go());
        }
        const Client client = fixture.connect();
        client.greet();
        client.option(Option::go, Bytes(200 * KiB));  // long, but not hostile: skipped and refused
        CHECK(client.last_answer() == OptionReply::err_too_big);
        client.option(Option::go, Client::name_option(std::string(5000, 'x')));
        CHECK(client.last_answer() == OptionReply::err_invalid);
        client.go();
    });
}

TEST_CASE("F22_who_speaks_another_language_is_let_go") {
    on_both_loops([](LoopKind kind) {
        const ServerFixture fixture(kind);
        const Client unknown_flags = fixture.connect();
        unknown_flags.greet(0x80000001);
        CHECK(unknown_flags.is_let_go());
        const Client http = fixture.connect();
        http.greet();
        http.say(bytes_of("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        CHECK(http.is_let_go());
        const Client old = fixture.connect();
        old.greet(0);
        old.option(Option::list);  // which old clients do not have
        CHECK(old.is_let_go());
    });
}

TEST_CASE("F22_half_a_handshake_has_a_time_limit") {
    on_both_loops([](LoopKind kind) {
        Limits limits;
        limits.handshake = 200 * millisecond_ns;
        const ServerFixture fixture(kind, limits);
        const Client silent = fixture.connect();
        const Client half = fixture.connect();
        half.greet();
        half.option_head(7, 100);
        const Client done = fixture.connect();
        done.negotiate();
        const auto begin = std::chrono::steady_clock::now();
        CHECK(silent.is_let_go());
        CHECK(half.is_let_go());
        CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
        CHECK(done.ask(Client::request(Command::flush, 0, 0)) == Errno::none);  // has all the time it wants
    });
}

TEST_CASE("requests_that_come_with_the_handshake_are_not_lost") {
    on_both_loops([](LoopKind kind) {
        for (const bool elsewhere : {false, true}) {
            const ServerFixture fixture(kind, {}, elsewhere);
            const Client client = fixture.connect();
            client.greet();
            Bytes bytes;
            append(bytes, option_magic);
            append(bytes, static_cast<std::uint32_t>(Option::go));
            const Bytes data = Client::name_option("disk");
            append(bytes, static_cast<std::uint32_t>(data.size()));
            bytes.insert(bytes.end(), data.begin(), data.end());
            const Bytes write = Client::write_request(4096, Bytes(3000, std::byte{5}), 0, 42);
            bytes.insert(bytes.end(), write.begin(), write.end());
            REQUIRE(client.say(bytes));
            REQUIRE(client.last_answer() == OptionReply::ack);
            const auto answer = client.simple_answer();
            CHECK(answer.error == Errno::none);
            CHECK(answer.cookie == 42);
            CHECK(client.read(4096, 3000) == Bytes(3000, std::byte{5}));
        }
    });
}

}  // namespace
}  // namespace exshadow::nbd
