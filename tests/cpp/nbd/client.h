// Test support: a server on a loop of its own thread with devices of the test's choice, and a client that
// says exactly the bytes it is told to. The client blocks, with a time limit, so a test never hangs.
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cpp/runtime/run_on.h"
#include "disk/memory_disk.h"
#include "nbd/fields.h"
#include "nbd/server.h"

namespace exshadow::nbd::test {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::string_view text) {
    Bytes bytes;
    append_text(bytes, text);
    return bytes;
}

class TestExport final : public Export {
public:
    TestExport(Loop& loop, std::string name, std::unique_ptr<BlockDevice> disk, bool read_only = false)
        : loop_(loop), disk_(std::move(disk)) {
        facts_.name = std::move(name);
        facts_.description = "made for a test";
        facts_.size = disk_->size();
        facts_.read_only = read_only;
        facts_.contexts = {"exshadow:changed/one", "exshadow:changed/two"};
    }
    [[nodiscard]] const ExportFacts& facts() const override { return facts_; }
    [[nodiscard]] Loop& loop() override { return loop_; }
    [[nodiscard]] BlockDevice& device() override { return *disk_; }
    [[nodiscard]] std::uint32_t memory_alignment() override { return alignment; }
    [[nodiscard]] bool zeroes_fast(ZeroMode mode) override { return mode == ZeroMode::may_unmap; }
    [[nodiscard]] Task<Result<std::vector<StatusExtent>>> status(std::string context, Range range,
                                                                 std::size_t limit) override {
        if (context != "exshadow:changed/one") co_return Error(Code::not_found, "it has gone");
        std::vector<StatusExtent> list{{range.length / 2, 1}, {range.length - range.length / 2, 0}};
        if (list.size() > limit) list.resize(limit);
        co_return list;
    }

    std::uint32_t alignment = 1;

private:
    Loop& loop_;
    std::unique_ptr<BlockDevice> disk_;
    ExportFacts facts_;
};

class TestExports final : public Exports {
public:
    [[nodiscard]] Task<std::vector<ExportName>> list() override {
        std::vector<ExportName> names;
        for (const auto& [name, found] : exports) names.push_back({name, found->facts().description});
        co_return names;
    }
    [[nodiscard]] Task<Result<ExportPointer>> find(std::string name, Purpose purpose) override {
        if (purpose == Purpose::serve) ++served;
        if (name.empty()) name = "disk";
        const auto found = exports.find(name);
        if (found == exports.end()) co_return Error(Code::not_found, "no export is named '" + name + "'");
        co_return ExportPointer(found->second);
    }
    std::map<std::string, std::shared_ptr<TestExport>> exports;
    std::atomic<int> served{0};
};

// A loop with a thread.
class LoopThread {
public:
    explicit LoopThread(LoopKind kind)
        : loop(std::move(*make_loop(kind))), thread_([this] { loop->run(); }) {}
    LoopThread(const LoopThread&) = delete;
    LoopThread& operator=(const LoopThread&) = delete;
    ~LoopThread() {
        loop->stop();
        thread_.join();
    }
    // Run on the loop and wait for it.
    void call(const std::function<void()>& function) const {
        std::promise<void> done;
        loop->post([&] {
            function();
            done.set_value();
        });
        done.get_future().wait();
    }
    void run(const std::function<Task<void>()>& make) const {
        std::promise<void> done;
        loop->post([&] { spawn(finish(make, done)); });
        done.get_future().wait();
    }

    const std::unique_ptr<Loop> loop;

private:
    static Task<void> finish(const std::function<Task<void>()>& make, std::promise<void>& done) {
        auto task = make();
        co_await std::move(task);
        done.set_value();
    }
    std::thread thread_;
};

// With a time limit on the socket, a call is interrupted by what other threads' rings do.
template <class Call>
ssize_t retried(Call call) {
    for (;;) {
        const ssize_t answer = call();
        if (answer >= 0 || errno != EINTR) return answer;
    }
}

class Client {
public:
    explicit Client(int fd) : fd_(fd) {
        const timeval limit{5, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    }
    Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    Client& operator=(Client&&) = delete;
    ~Client() { hang_up(); }
    void hang_up() {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }
    [[nodiscard]] int fd() const { return fd_; }

    // --- bytes ---
    bool say(const Bytes& bytes) const {
        for (std::size_t done = 0; done < bytes.size();) {
            const auto answer =
                retried([&] { return ::send(fd_, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL); });
            if (answer <= 0) return false;
            done += static_cast<std::size_t>(answer);
        }
        return true;
    }
    [[nodiscard]] Bytes hear(std::size_t count) const {
        Bytes bytes(count);
        for (std::size_t done = 0; done < count;) {
            const auto answer = retried([&] { return ::recv(fd_, bytes.data() + done, count - done, 0); });
            if (answer <= 0) {
                bytes.resize(done);
                return bytes;
            }
            done += static_cast<std::size_t>(answer);
        }
        return bytes;
    }
    template <class T>
    [[nodiscard]] T hear_number() const {
        const Bytes bytes = hear(sizeof(T));
        REQUIRE(bytes.size() == sizeof(T));
        return load<T>(bytes);
    }
    // The server has hung up: everything it said is heard, and then the end (not a time-out).
    [[nodiscard]] bool is_let_go() const {
        std::array<std::byte, 4096> bytes;
        for (;;) {
            const auto answer = retried([&] { return ::recv(fd_, bytes.data(), bytes.size(), 0); });
            if (answer == 0) return true;
            if (answer < 0) return errno == ECONNRESET;
        }
    }

    // --- handshake ---
    void greet(std::uint32_t flags = flag_fixed_newstyle | flag_no_zeroes) const {
        CHECK(hear_number<std::uint64_t>() == init_magic);
        CHECK(hear_number<std::uint64_t>() == option_magic);
        CHECK(hear_number<std::uint16_t>() == (flag_fixed_newstyle | flag_no_zeroes));
        Bytes bytes;
        append(bytes, flags);
        REQUIRE(say(bytes));
    }
    void option(std::uint32_t number, const Bytes& data = {}) const {
        option_head(number, static_cast<std::uint32_t>(data.size()));
        say(data);
    }
    void option(Option number, const Bytes& data = {}) const {
        option(static_cast<std::uint32_t>(number), data);
    }
    void option_head(std::uint32_t number, std::uint32_t length) const {
        Bytes bytes;
        append(bytes, option_magic);
        append(bytes, number);
        append(bytes, length);
        say(bytes);
    }
    struct OptionAnswer {
        std::uint32_t option = 0;
        OptionReply type{};
        Bytes data;
    };
    [[nodiscard]] OptionAnswer option_answer() const {
        CHECK(hear_number<std::uint64_t>() == option_reply_magic);
        OptionAnswer answer;
        answer.option = hear_number<std::uint32_t>();
        answer.type = static_cast<OptionReply>(hear_number<std::uint32_t>());
        const auto length = hear_number<std::uint32_t>();
        REQUIRE(length <= 64 * KiB);
        answer.data = hear(length);
        REQUIRE(answer.data.size() == length);
        return answer;
    }
    // All replies up to the final one.
    [[nodiscard]] std::vector<OptionAnswer> answers() const {
        std::vector<OptionAnswer> list;
        do list.push_back(option_answer());
        while (list.back().type != OptionReply::ack &&
               (static_cast<std::uint32_t>(list.back().type) >> 31) == 0);
        return list;
    }
    [[nodiscard]] OptionReply last_answer() const { return answers().back().type; }
    [[nodiscard]] static Bytes name_option(std::string_view name,
                                           const std::vector<std::uint16_t>& infos = {}) {
        Bytes data;
        append(data, static_cast<std::uint32_t>(name.size()));
        append_text(data, name);
        append(data, static_cast<std::uint16_t>(infos.size()));
        for (const std::uint16_t info : infos) append(data, info);
        return data;
    }
    [[nodiscard]] static Bytes context_option(std::string_view name,
                                              const std::vector<std::string>& queries) {
        Bytes data;
        append(data, static_cast<std::uint32_t>(name.size()));
        append_text(data, name);
        append(data, static_cast<std::uint32_t>(queries.size()));
        for (const auto& query : queries) {
            append(data, static_cast<std::uint32_t>(query.size()));
            append_text(data, query);
        }
        return data;
    }
    void go(std::string_view name = "disk") const {
        option(Option::go, name_option(name));
        REQUIRE(last_answer() == OptionReply::ack);
    }
    void negotiate(bool structured = false, const std::vector<std::string>& contexts = {}) const {
        greet();
        if (structured) {
            option(Option::structured_reply);
            REQUIRE(last_answer() == OptionReply::ack);
        }
        if (!contexts.empty()) {
            option(Option::set_meta_context, context_option("disk", contexts));
            REQUIRE(last_answer() == OptionReply::ack);
        }
        go();
    }

    // --- transmission ---
    [[nodiscard]] static Bytes request(Command command, std::uint64_t offset, std::uint32_t length,
                                       std::uint16_t flags = 0, std::uint64_t cookie = 1) {
        Bytes bytes;
        append(bytes, request_magic);
        append(bytes, flags);
        append(bytes, static_cast<std::uint16_t>(command));
        append(bytes, cookie);
        append(bytes, offset);
        append(bytes, length);
        return bytes;
    }
    [[nodiscard]] static Bytes write_request(std::uint64_t offset, const Bytes& data, std::uint16_t flags = 0,
                                             std::uint64_t cookie = 1) {
        Bytes bytes = request(Command::write, offset, static_cast<std::uint32_t>(data.size()), flags, cookie);
        bytes.insert(bytes.end(), data.begin(), data.end());
        return bytes;
    }
    struct SimpleAnswer {
        Errno error{};
        std::uint64_t cookie = 0;
    };
    [[nodiscard]] SimpleAnswer simple_answer() const {
        REQUIRE(hear_number<std::uint32_t>() == simple_reply_magic);
        const auto error = static_cast<Errno>(hear_number<std::uint32_t>());
        return {error, hear_number<std::uint64_t>()};
    }
    [[nodiscard]] Errno ask(const Bytes& whole_request) const {
        REQUIRE(say(whole_request));
        return simple_answer().error;
    }
    [[nodiscard]] Bytes read(std::uint64_t offset, std::uint32_t length) const {
        REQUIRE(ask(request(Command::read, offset, length)) == Errno::none);
        return hear(length);
    }
    struct ChunkAnswer {
        std::uint16_t flags = 0;
        Chunk type{};
        std::uint64_t cookie = 0;
        Bytes data;
        [[nodiscard]] Errno error() const { return static_cast<Errno>(load<std::uint32_t>(data)); }
    };
    [[nodiscard]] ChunkAnswer chunk() const {
        REQUIRE(hear_number<std::uint32_t>() == structured_reply_magic);
        ChunkAnswer answer;
        answer.flags = hear_number<std::uint16_t>();
        answer.type = static_cast<Chunk>(hear_number<std::uint16_t>());
        answer.cookie = hear_number<std::uint64_t>();
        const auto length = hear_number<std::uint32_t>();
        REQUIRE(length <= 64 * MiB);
        answer.data = hear(length);
        REQUIRE(answer.data.size() == length);
        return answer;
    }

private:
    int fd_;
};

class ServerFixture {
public:
    static constexpr std::uint64_t size = 64 * MiB;

    explicit ServerFixture(LoopKind kind, Limits limits = {}, bool elsewhere = false) : thread(kind) {
        if (elsewhere) other = std::make_unique<LoopThread>(kind);
        exports = std::make_shared<TestExports>();
        add("disk", std::make_unique<MemoryDisk>(MemoryDiskOptions{.size = size}));
        server = std::make_shared<Server>(*thread.loop, exports, limits);
    }
    ServerFixture(const ServerFixture&) = delete;
    ServerFixture& operator=(const ServerFixture&) = delete;
    ~ServerFixture() {
        close();
        thread.call([this] { server.reset(); });
    }
    std::shared_ptr<TestExport> add(const std::string& name, std::unique_ptr<BlockDevice> disk,
                                    bool read_only = false) {
        auto made = std::make_shared<TestExport>(other ? *other->loop : *thread.loop, name, std::move(disk),
                                                 read_only);
        exports->exports[name] = made;
        return made;
    }
    [[nodiscard]] Client connect() const {
        std::array<int, 2> ends{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
        thread.call([&] { server->serve(Descriptor(ends[0])); });
        return Client(ends[1]);
    }
    void close() const {
        thread.run([this] { return server->close(); });
    }
    [[nodiscard]] std::size_t connections() const {
        std::size_t count = 0;
        thread.call([&] { count = server->connections().size(); });
        return count;
    }

    std::unique_ptr<LoopThread> other;
    LoopThread thread;
    std::shared_ptr<TestExports> exports;
    std::shared_ptr<Server> server;
};

// A task on the loop of a fixture that answers something.
template <class Test>
void on_both_loops(Test test) {
    for (const LoopKind kind : {LoopKind::uring, LoopKind::pool}) {
        if (!exshadow::test::loop_or_skip(kind)) continue;
        CAPTURE(static_cast<int>(kind));
        test(kind);
    }
}

}  // namespace exshadow::nbd::test
