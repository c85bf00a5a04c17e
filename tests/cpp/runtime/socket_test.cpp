#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "cpp/runtime/run_on.h"
#include "runtime/socket.h"

namespace exshadow {
namespace {

using test::run_on;

template <class Test>
void on_both_loops(Test test) {
    for (const LoopKind kind : {LoopKind::uring, LoopKind::pool}) {
        const auto loop = test::loop_or_skip(kind);
        if (!loop) continue;
        CAPTURE(loop->name());
        test(*loop);
    }
}

struct Pair {
    explicit Pair(Loop& loop) {
        std::array<int, 2> ends{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
        left = std::make_unique<Socket>(loop, Descriptor(ends[0]));
        right = std::make_unique<Socket>(loop, Descriptor(ends[1]));
    }
    std::unique_ptr<Socket> left;
    std::unique_ptr<Socket> right;
};

Task<void> send_all(Stream& stream, std::vector<std::byte> bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
        // In two parts, to see that buffers are gathered in order.
        const std::size_t middle = done + (bytes.size() - done) / 2;
        std::array<iovec, 2> buffers{iovec{bytes.data() + done, middle - done},
                                     iovec{bytes.data() + middle, bytes.size() - middle}};
        const std::int64_t answer = co_await stream.send(buffers);
        REQUIRE(answer > 0);
        done += static_cast<std::size_t>(answer);
    }
}

Task<void> receive_all(Stream& stream, std::vector<std::byte>& bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
        iovec buffer{bytes.data() + done, bytes.size() - done};
        const std::int64_t answer = co_await stream.receive(std::span(&buffer, 1));
        REQUIRE(answer > 0);
        done += static_cast<std::size_t>(answer);
    }
}

Task<void> receive_once(Stream& stream, std::int64_t& result) {
    std::array<std::byte, 16> bytes{};
    iovec buffer{bytes.data(), bytes.size()};
    result = co_await stream.receive(std::span(&buffer, 1));
}

Task<void> accept_once(Stream& stream, std::int64_t& result) {
    result = co_await stream.accept();
}

Task<void> exchange(Loop& loop) {
    Pair pair(loop);
    std::vector<std::byte> sent(3 * MiB);
    for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<std::byte>(i * 7 + i / 251);
    std::vector<std::byte> there(sent.size());
    std::vector<std::byte> back(sent.size());
    TaskGroup group(loop);  // both directions at once: a receive and a send are under way on each end
    group.spawn(receive_all(*pair.left, back));
    group.spawn(receive_all(*pair.right, there));
    group.spawn(send_all(*pair.left, sent));
    group.spawn(send_all(*pair.right, sent));
    co_await group.wait();
    CHECK(there == sent);
    CHECK(back == sent);
}

TEST_CASE("sockets_carry_bytes_both_ways_at_once") {
    on_both_loops([](Loop& loop) { run_on(loop, exchange(loop)); });
}

Task<void> end_a_receive(Loop& loop) {
    Pair pair(loop);
    std::int64_t result = -1;
    TaskGroup group(loop);
    group.spawn(receive_once(*pair.left, result));
    co_await loop.sleep(millisecond_ns);
    CHECK(group.running() == 1);
    pair.left->shutdown();
    co_await group.wait();
    CHECK(result <= 0);
    group.spawn(receive_once(*pair.right, result));  // the peer sees the end
    co_await group.wait();
    CHECK(result == 0);
    iovec nothing{&result, sizeof(result)};
    const std::int64_t refused = co_await pair.right->send(std::span(&nothing, 1));
    CHECK(refused == -EPIPE);  // and no signal
}

TEST_CASE("E32_shutdown_ends_a_receive_that_waits") {
    on_both_loops([](Loop& loop) { run_on(loop, end_a_receive(loop)); });
}

Task<void> drain_a_receive(Loop& loop) {
    Pair pair(loop);
    std::int64_t result = -1;
    TaskGroup group(loop);
    group.spawn(receive_once(*pair.left, result));
    co_await loop.sleep(millisecond_ns);
    pair.left->shutdown_receiving();
    co_await group.wait();
    CHECK(result == 0);
    std::vector<std::byte> word(4, std::byte{9});
    std::vector<std::byte> heard(4);
    group.spawn(send_all(*pair.left, word));  // the other direction goes on
    group.spawn(receive_all(*pair.right, heard));
    co_await group.wait();
    CHECK(heard == word);
}

TEST_CASE("receiving_can_be_ended_alone") {
    on_both_loops([](Loop& loop) { run_on(loop, drain_a_receive(loop)); });
}

Task<void> accept_and_end(Loop& loop) {
    const test::ScratchFile scratch("/tmp");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = scratch.path() + ".sock";
    std::memcpy(address.sun_path, path.data(), path.size());
    const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
    Descriptor listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listening.get(), generic, sizeof(address)) == 0);
    REQUIRE(::listen(listening.get(), 8) == 0);
    Socket socket(loop, std::move(listening));
    std::int64_t result = -1;
    TaskGroup group(loop);
    group.spawn(accept_once(socket, result));
    const Descriptor client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(client.get(), generic, sizeof(address)) == 0);
    co_await group.wait();
    REQUIRE(result >= 0);
    const Socket accepted(loop, Descriptor(static_cast<int>(result)));
    group.spawn(accept_once(socket, result));
    co_await loop.sleep(millisecond_ns);
    CHECK(group.running() == 1);
    socket.shutdown();
    co_await group.wait();
    CHECK(result < 0);
    group.spawn(accept_once(socket, result));
    co_await group.wait();
    CHECK(result == -EINVAL);
    ::unlink(path.c_str());
}

TEST_CASE("E32_shutdown_ends_an_accept_that_waits") {
    on_both_loops([](Loop& loop) { run_on(loop, accept_and_end(loop)); });
}

}  // namespace
}  // namespace exshadow
