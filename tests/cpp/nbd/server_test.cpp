#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "cpp/nbd/client.h"
#include "disk/faulty_disk.h"

namespace exshadow::nbd {
namespace {

using test::Bytes;
using test::Client;
using test::LoopThread;
using test::on_both_loops;
using test::ServerFixture;

constexpr std::uint64_t size = ServerFixture::size;

void wait_for(const std::function<bool()>& condition) {
    for (int i = 0; i < 5000 && !condition(); ++i) ::usleep(1000);
    REQUIRE(condition());
}

TEST_CASE("F22_disconnect_in_mid_write_writes_nothing_of_it") {
    on_both_loops([](LoopKind kind) {
        for (const std::uint32_t length : {4096U, 1048576U}) {
            const ServerFixture fixture(kind);
            Client client = fixture.connect();
            client.negotiate();
            REQUIRE(client.say(Client::request(Command::write, 0, length)));
            REQUIRE(client.say(Bytes(length - 1, std::byte{7})));
            client.hang_up();
            wait_for([&] { return fixture.connections() == 0; });
            const Client other = fixture.connect();
            other.negotiate();
            CHECK(other.read(0, length) == Bytes(length));
        }
    });
}

TEST_CASE("E32_a_disconnect_cancels_no_write_that_was_accepted") {
    on_both_loops([](LoopKind kind) {
        ServerFixture fixture(kind);
        FaultyDiskOptions slow;
        slow.latency_least = slow.latency_most = 50 * millisecond_ns;
        fixture.add("disk", std::make_unique<FaultyDisk>(
                                *fixture.thread.loop,
                                std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = size}), slow));
        Client client = fixture.connect();
        client.negotiate();
        REQUIRE(client.say(Client::write_request(0, Bytes(4096, std::byte{7}))));
        client.hang_up();
        wait_for([&] { return fixture.connections() == 0; });
        const Client other = fixture.connect();
        other.negotiate();
        CHECK(other.read(0, 4096) == Bytes(4096, std::byte{7}));
    });
}

// Multi-conn is advertised because of this: what one connection flushed covers the writes answered on all.
TEST_CASE("a_flush_on_one_connection_covers_the_writes_of_another") {
    on_both_loops([](LoopKind kind) {
        ServerFixture fixture(kind);
        FaultyDiskOptions volatile_cache;
        volatile_cache.track_unflushed = true;
        auto disk = std::make_unique<FaultyDisk>(
            *fixture.thread.loop, std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = size}),
            volatile_cache);
        FaultyDisk& cache = *disk;
        fixture.add("disk", std::move(disk));
        const Client one = fixture.connect();
        const Client two = fixture.connect();
        one.negotiate();
        two.negotiate();
        CHECK(one.ask(Client::write_request(0, Bytes(4096, std::byte{1}))) == Errno::none);
        CHECK(two.ask(Client::request(Command::flush, 0, 0)) == Errno::none);
        CHECK(one.ask(Client::write_request(4096, Bytes(4096, std::byte{2}), command_fua)) == Errno::none);
        CHECK(two.ask(Client::write_request(8192, Bytes(4096, std::byte{3}))) == Errno::none);
        fixture.thread.run([&]() -> Task<void> {
            auto cut = cache.drop_unflushed();
            const Status status = co_await std::move(cut);
            CHECK(status.ok());
        });
        CHECK(one.read(0, 4096) == Bytes(4096, std::byte{1}));
        CHECK(one.read(4096, 4096) == Bytes(4096, std::byte{2}));
        CHECK(one.read(8192, 4096) == Bytes(4096));  // the cut was one: what nobody flushed is gone
    });
}

TEST_CASE("F22_connections_are_bounded_and_silent_ones_make_place") {
    on_both_loops([](LoopKind kind) {
        Limits limits;
        limits.connections = 8;
        const ServerFixture fixture(kind, limits);
        std::vector<Client> working;
        for (int i = 0; i < 7; ++i) {
            working.push_back(fixture.connect());
            working.back().negotiate();
        }
        std::vector<Client> silent;
        for (int i = 0; i < 200; ++i) silent.push_back(fixture.connect());
        wait_for([&] { return fixture.connections() <= 8; });
        const Client late = fixture.connect();
        late.negotiate();
        CHECK(fixture.connections() <= 16);
        CHECK(silent.front().is_let_go());
        const Client refused = fixture.connect();  // all places are taken by clients at work
        CHECK(refused.is_let_go());
        for (const Client& client : working) {
            CHECK(client.ask(Client::write_request(0, Bytes(10))) == Errno::none);
        }
    });
}

TEST_CASE("F22_a_client_that_takes_no_replies_is_not_read_from_and_harms_nobody") {
    on_both_loops([](LoopKind kind) {
        Limits limits;
        limits.connection_bytes = 4 * MiB;
        const ServerFixture fixture(kind, limits);
        const Client greedy = fixture.connect();
        greedy.negotiate();
        ::fcntl(greedy.fd(), F_SETFL, O_NONBLOCK);
        std::size_t said = 0;
        const Bytes read = Client::request(Command::read, 0, MiB);
        for (int quiet = 0; quiet < 50;) {
            const auto answer = ::send(greedy.fd(), read.data(), read.size(), MSG_NOSIGNAL);
            said += answer > 0 ? 1 : 0;
            quiet = answer > 0 ? 0 : quiet + 1;
            if (answer <= 0) ::usleep(1000);
            REQUIRE(said < 100000);  // 100 GiB of replies: it would have been read from without bound
        }
        const Client other = fixture.connect();
        other.negotiate();
        CHECK(other.ask(Client::write_request(0, Bytes(MiB, std::byte{4}))) == Errno::none);
        CHECK(other.read(0, MiB) == Bytes(MiB, std::byte{4}));
    });
}

// Has asked for many bytes and takes none of them.
Client stalled_client(const ServerFixture& fixture) {
    Client client = fixture.connect();
    client.negotiate();
    REQUIRE(client.say(Client::request(Command::read, 0, 20 * MiB)));
    pollfd answered{client.fd(), POLLIN, 0};
    REQUIRE(::poll(&answered, 1, 5000) == 1);
    return client;
}

TEST_CASE("F22_stalled_clients_are_let_go_when_others_want_their_memory_and_not_before") {
    on_both_loops([](LoopKind kind) {
        Limits limits;
        limits.handshake = 2 * second_ns;  // four looks for each
        limits.server_bytes = 128 * MiB;
        limits.stall = 100 * second_ns;
        limits.stall_wanted = 100 * millisecond_ns;
        const ServerFixture fixture(kind, limits);
        std::vector<Client> stalled;
        for (int i = 0; i < 4; ++i) stalled.push_back(stalled_client(fixture));
        ::usleep(1500 * 1000);
        CHECK(fixture.connections() == 4);  // more than half is theirs, but there is room for any request
        stalled.push_back(stalled_client(fixture));
        stalled.push_back(stalled_client(fixture));
        const Client other = fixture.connect();
        other.negotiate();
        CHECK(other.ask(Client::write_request(0, Bytes(20 * MiB, std::byte{4}))) == Errno::none);
        CHECK(other.read(0, 20 * MiB) == Bytes(20 * MiB, std::byte{4}));
        wait_for([&] { return fixture.connections() < 7; });
        CHECK(std::any_of(stalled.begin(), stalled.end(), [](const Client& one) { return one.is_let_go(); }));
        CHECK(other.ask(Client::write_request(0, Bytes(10))) == Errno::none);
    });
}

TEST_CASE("close_finishes_what_was_accepted_flushes_and_lets_go") {
    on_both_loops([](LoopKind kind) {
        ServerFixture fixture(kind);
        FaultyDiskOptions slow;
        slow.latency_least = slow.latency_most = 30 * millisecond_ns;
        slow.track_unflushed = true;
        auto disk = std::make_unique<FaultyDisk>(
            *fixture.thread.loop, std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = size}), slow);
        FaultyDisk& cache = *disk;
        const auto exported = fixture.add("disk", std::move(disk));
        const Client client = fixture.connect();
        client.negotiate();
        const Client idle = fixture.connect();
        idle.negotiate();
        const Client shaking = fixture.connect();
        REQUIRE(client.say(Client::write_request(0, Bytes(4096, std::byte{7}))));
        wait_for([&] {
            std::uint64_t at_work = 0;
            fixture.thread.call([&] { at_work = fixture.server->connections().size(); });
            return at_work == 3;
        });
        ::usleep(5000);
        fixture.close();
        CHECK(client.simple_answer().error == Errno::none);
        CHECK(client.is_let_go());
        CHECK(idle.is_let_go());
        CHECK(shaking.is_let_go());
        Bytes found(4096);
        fixture.thread.run([&]() -> Task<void> {
            auto cut = cache.drop_unflushed();
            const Status dropped = co_await std::move(cut);
            CHECK(dropped.ok());
            auto reading = cache.read(0, found);
            const Status status = co_await std::move(reading);
            CHECK(status.ok());
        });
        CHECK(found == Bytes(4096, std::byte{7}));
    });
}

TEST_CASE("close_does_not_wait_for_clients_that_take_no_replies") {
    on_both_loops([](LoopKind kind) {
        Limits limits;
        limits.drain = 100 * millisecond_ns;
        const ServerFixture fixture(kind, limits);
        const Client client = fixture.connect();
        client.negotiate();
        for (int i = 0; i < 8; ++i) REQUIRE(client.say(Client::request(Command::read, 0, MiB)));
        ::usleep(20000);
        fixture.close();
        CHECK(fixture.connections() == 0);
    });
}

TEST_CASE("an_export_may_live_on_another_loop") {
    on_both_loops([](LoopKind kind) {
        const ServerFixture fixture(kind, {}, true);
        const Client one = fixture.connect();
        const Client two = fixture.connect();
        one.negotiate();
        two.negotiate(true, {"base:allocation"});
        const Bytes data(300000, std::byte{9});
        CHECK(one.ask(Client::write_request(5, data)) == Errno::none);
        REQUIRE(two.say(Client::request(Command::read, 5, 300000)));
        const auto chunk = two.chunk();
        CHECK(Bytes(chunk.data.begin() + 8, chunk.data.end()) == data);
        fixture.close();
        CHECK(one.is_let_go());
        CHECK(two.is_let_go());
    });
}

TEST_CASE("dropping_an_export_leaves_the_others_alone") {
    ServerFixture fixture(LoopKind::pool);
    fixture.add("other", std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = MiB}));
    const Client one = fixture.connect();
    one.negotiate();
    const Client two = fixture.connect();
    two.greet();
    two.go("other");
    fixture.thread.run(
        [&] { return fixture.server->drop([](const std::string& name) { return name == "disk"; }); });
    CHECK(one.is_let_go());
    CHECK(two.ask(Client::request(Command::flush, 0, 0)) == Errno::none);
}

TEST_CASE("statistics_stay_when_clients_go") {
    ServerFixture fixture(LoopKind::pool);
    {
        const Client client = fixture.connect();
        client.negotiate();
        CHECK(client.ask(Client::write_request(0, Bytes(1000))) == Errno::none);
        CHECK(client.ask(Client::request(Command::read, size, 1)) == Errno::inval);
        CHECK(client.read(0, 10).size() == 10);
    }
    wait_for([&] { return fixture.connections() == 0; });
    std::map<std::string, Totals> totals;
    fixture.thread.call([&] { totals = fixture.server->totals(); });
    CHECK(totals["disk"].writes == 1);
    CHECK(totals["disk"].bytes_written == 1000);
    CHECK(totals["disk"].reads == 1);
    CHECK(totals["disk"].bytes_read == 10);
    CHECK(totals["disk"].errors == 1);
}

int connect_to(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
    ::close(fd);
    return -1;
}

TEST_CASE("a_socket_file_is_private_and_goes_with_its_server") {
    on_both_loops([](LoopKind kind) {
        const exshadow::test::ScratchFile scratch("/tmp");
        const std::string path = scratch.path() + ".sock";
        ServerFixture fixture(kind);
        auto listener = listen_unix(path);
        REQUIRE(listener.ok());
        struct stat info {};
        REQUIRE(::stat(path.c_str(), &info) == 0);
        CHECK((info.st_mode & 0777) == 0600);
        fixture.thread.call([&] { fixture.server->listen(std::move(*listener)); });
        const Client client(connect_to(path));
        client.negotiate();
        CHECK(listen_unix(path).error().code() == Code::busy);
        CHECK(client.ask(Client::request(Command::flush, 0, 0)) == Errno::none);
        fixture.close();
        CHECK(::stat(path.c_str(), &info) != 0);
    });
}

TEST_CASE("only_a_socket_nobody_listens_on_is_replaced") {
    const exshadow::test::ScratchFile scratch("/tmp");
    CHECK(listen_unix(scratch.path()).error().code() == Code::exists);
    const std::string path = scratch.path() + ".sock";
    {
        const auto left_behind = listen_unix(path);
        REQUIRE(left_behind.ok());
    }
    const auto next = listen_unix(path);
    REQUIRE(next.ok());
    CHECK(listen_unix(path).error().code() == Code::busy);
    remove_socket_file(*next);
    CHECK(listen_unix(std::string(200, 'x')).error().code() == Code::invalid);
    CHECK(listen_unix("/no/such/folder/s").error().code() == Code::not_found);
}

TEST_CASE("tcp_is_for_loopback_only") {
    for (const char* host : {"0.0.0.0", "192.168.1.1", "example.org", "::", "", "10.0.0.1", "fe80::1"}) {
        const auto refused = listen_tcp(host, 0);
        REQUIRE(!refused.ok());
        CHECK(refused.error().code() == Code::refused);
        CHECK(refused.error().message().find("no TLS yet") != std::string::npos);
    }
    const auto listener = listen_tcp("127.0.0.1", 0);
    REQUIRE(listener.ok());
    CHECK(listener->address.starts_with("127.0.0.1:"));
    const auto six = listen_tcp("::1", 0);  // a machine may have no IPv6
    CHECK((six.ok() ? six->address.starts_with("[::1]:") : six.error().code() != Code::refused));
}

TEST_CASE("F22_ten_thousand_connections_do_no_harm") {
    on_both_loops([](LoopKind kind) {
        const exshadow::test::ScratchFile scratch("/tmp");
        const std::string path = scratch.path() + ".sock";
        Limits limits;
        limits.connections = 32;
        ServerFixture fixture(kind, limits);
        auto listener = listen_unix(path);
        REQUIRE(listener.ok());
        fixture.thread.call([&] { fixture.server->listen(std::move(*listener)); });
        const Client client(connect_to(path));
        client.negotiate();
        // Many at a time are kept open as long as this process has descriptors for them.
        std::vector<Client> flood;
        for (int i = 0; i < 10000; ++i) {
            const int fd = connect_to(path);
            if (fd >= 0) flood.emplace_back(fd);
            if (flood.size() >= 400) flood.clear();
            if (i % 1000 == 0) CHECK(client.ask(Client::write_request(0, Bytes(512))) == Errno::none);
        }
        CHECK(fixture.connections() <= 2 * limits.connections);
        const Client late(connect_to(path));
        late.negotiate();
        CHECK(late.ask(Client::request(Command::flush, 0, 0)) == Errno::none);
    });
}

}  // namespace
}  // namespace exshadow::nbd
