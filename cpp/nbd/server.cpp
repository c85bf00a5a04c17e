#include "nbd/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace exshadow::nbd {

namespace {

constexpr Nanoseconds accept_pause = 100 * millisecond_ns;  // after an error, e.g. no descriptor left
constexpr Nanoseconds longest_tick = second_ns;

}  // namespace

void Totals::add(const Counters& counters) {
    const auto take = [](std::uint64_t& total, const std::atomic<std::uint64_t>& counter) {
        total += counter.load(std::memory_order_relaxed);
    };
    take(reads, counters.reads);
    take(writes, counters.writes);
    take(zeroes, counters.zeroes);
    take(flushes, counters.flushes);
    take(others, counters.others);
    take(errors, counters.errors);
    take(bytes_read, counters.bytes_read);
    take(bytes_written, counters.bytes_written);
}

Server::Server(Loop& loop, std::shared_ptr<Exports> exports, Limits limits)
    : loop_(loop), exports_(std::move(exports)), limits_(limits), left_(loop), tasks_(loop) {}

Server::~Server() {
    EXSHADOW_CHECK(connections_.empty() && listening_.empty());
}

void Server::listen(Listener listener) {
    auto listening = std::make_shared<Listening>();
    listening->socket = std::make_unique<Socket>(loop_, std::move(listener.socket));
    listening->listener = std::move(listener);
    listening_.push_back(listening);
    tasks_.spawn(accept_all(shared_from_this(), std::move(listening)));
}

Task<void> Server::accept_all(std::shared_ptr<Server> self, std::shared_ptr<Listening> listening) {
    while (!self->closing_) {
        const std::int64_t answer = co_await listening->socket->accept();
        if (answer >= 0) {
            self->serve(Descriptor(static_cast<int>(answer)));
            co_await self->loop_.yield();  // a flood of connections must not keep the loop
        } else if (!self->closing_ && answer != -ECONNABORTED) {
            co_await self->loop_.sleep(accept_pause);
        }
    }
    remove_socket_file(listening->listener);
    listening->socket.reset();
    std::erase(self->listening_, listening);
}

void Server::serve(Descriptor descriptor) {
    if (closing_) return;
    if (!make_place()) {
        ++refused_;
        return;
    }
    const int on = 1;
    ::setsockopt(descriptor.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // fails on Unix sockets
    const auto connection = std::make_shared<Connection>(peer_of(descriptor.get()));
    connection->since = loop_.now();
    connections_.push_back(connection);
    auto socket = std::make_unique<Socket>(loop_, std::move(descriptor));
    connection->handshaking = socket.get();
    tasks_.spawn(shake_hands(shared_from_this(), connection, std::move(socket)));
    if (watching_) return;
    watching_ = true;
    tasks_.spawn(watch(shared_from_this()));
}

// True when one more may come. Who has not finished its handshake makes place, the oldest first: a flood of
// connections that say nothing keeps nobody out.
bool Server::make_place() {
    if (connections_.size() - evicted_ < limits_.connections) return true;
    if (evicted_ >= limits_.connections) return false;
    for (const auto& connection : connections_) {
        if (connection->handshaking == nullptr || connection->evicted) continue;
        connection->evicted = true;
        ++evicted_;
        connection->handshaking->shutdown();
        return true;
    }
    return false;
}

Task<void> Server::shake_hands(std::shared_ptr<Server> self, ConnectionPointer connection,
                               std::unique_ptr<Socket> socket) {
    std::optional<Agreement> agreement;
    {
        Handshake handshake(*socket, *self->exports_, self->limits_);
        auto shaking = handshake.run();
        agreement = co_await std::move(shaking);
    }
    connection->handshaking = nullptr;
    if (agreement && !self->closing_ && !connection->evicted) {
        const ExportFacts& facts = agreement->exported->facts();
        connection->export_name = facts.name;
        connection->writable = !facts.read_only;
        connection->home = &agreement->exported->loop();
        const auto shared_bytes = self->shared_bytes_of(*connection->home);
        auto running = connection->home == &self->loop_
                           ? run_session(connection, std::move(socket), std::move(*agreement), self->limits_,
                                         shared_bytes)
                           : run_elsewhere(self, connection, std::move(socket), std::move(*agreement));
        co_await std::move(running);
    }
    socket.reset();
    self->remove(connection);
}

Task<void> Server::run_session(ConnectionPointer connection, std::unique_ptr<Socket> socket,
                               Agreement agreement, Limits limits, std::shared_ptr<Semaphore> shared_bytes) {
    Session session(std::move(socket), std::move(agreement.exported), std::move(agreement.negotiated), limits,
                    *shared_bytes, connection->counters);
    connection->session = &session;
    if (connection->leave) session.drain();
    auto running = session.run(std::move(agreement.received));
    co_await std::move(running);
    connection->session = nullptr;
}

// What goes to another loop and back; shared, because functions that are posted must be copyable.
struct Server::Crossing {
    explicit Crossing(Loop& server_loop) : here(server_loop), changed(server_loop) {}
    Loop& here;
    Descriptor descriptor;
    Agreement agreement;
    Limits limits;
    std::shared_ptr<Semaphore> shared_bytes;
    Signal changed;  // here's, like `ended`
    bool ended = false;
};

// The socket leaves this loop, with what was received already; this task waits for the session's end.
Task<void> Server::run_elsewhere(std::shared_ptr<Server> self, ConnectionPointer connection,
                                 std::unique_ptr<Socket> socket, Agreement agreement) {
    const auto crossing = std::make_shared<Crossing>(self->loop_);
    crossing->descriptor = socket->release();
    crossing->agreement = std::move(agreement);
    crossing->limits = self->limits_;
    crossing->shared_bytes = self->shared_bytes_of(*connection->home);
    connection->home->post([connection, crossing] { spawn(run_there(connection, crossing)); });
    while (!crossing->ended) co_await crossing->changed.wait();
}

Task<void> Server::run_there(ConnectionPointer connection, std::shared_ptr<Crossing> crossing) {
    auto socket = std::make_unique<Socket>(*connection->home, std::move(crossing->descriptor));
    auto running = run_session(connection, std::move(socket), std::move(crossing->agreement),
                               crossing->limits, crossing->shared_bytes);
    co_await std::move(running);
    crossing->here.post([crossing] {
        crossing->ended = true;
        crossing->changed.notify();
    });
}

std::shared_ptr<Semaphore> Server::shared_bytes_of(Loop& home) {
    auto& found = shared_bytes_[&home];
    if (!found) found = std::make_shared<Semaphore>(home, limits_.server_bytes);
    return found;
}

void Server::remove(const ConnectionPointer& connection) {
    if (connection->evicted) --evicted_;
    if (!connection->export_name.empty()) ended_[connection->export_name].add(connection->counters);
    std::erase(connections_, connection);
    left_.notify();
}

void Server::ask_to_leave(const ConnectionPointer& connection) {
    if (connection->handshaking != nullptr) return connection->handshaking->shutdown();
    const auto leave = [connection] {
        connection->leave = true;
        if (connection->session != nullptr) connection->session->drain();
    };
    if (connection->home == &loop_) return leave();
    connection->home->post(leave);
}

void Server::abandon(const ConnectionPointer& connection) {
    if (connection->handshaking != nullptr) return connection->handshaking->shutdown();
    const auto leave = [connection] {
        if (connection->session != nullptr) connection->session->abandon();
    };
    if (connection->home == &loop_) return leave();
    connection->home->post(leave);
}

// While there are connections: time limits.
Task<void> Server::watch(std::shared_ptr<Server> self) {
    const Nanoseconds tick = std::min({self->limits_.handshake / 4, self->limits_.stall / 4, longest_tick});
    while (!self->connections_.empty() && !self->closing_) {
        co_await self->loop_.sleep(tick);
        const auto connections = self->connections_;
        for (const auto& connection : connections) self->look_after(connection);
    }
    self->watching_ = false;
}

void Server::look_after(const ConnectionPointer& connection) {
    if (connection->handshaking != nullptr) {
        if (loop_.now() - connection->since >= limits_.handshake) connection->handshaking->shutdown();
        return;
    }
    if (connection->home == nullptr) return;
    const auto look = [connection, limits = limits_, bytes = shared_bytes_of(*connection->home)] {
        Session* const session = connection->session;
        if (session == nullptr) return;
        const bool in_the_way = session->ended() || bytes->available() < limits.server_bytes / 2;
        const bool wanted = bytes->available() < longest_payload;  // a large request has to wait
        const Nanoseconds patience = wanted ? std::min(limits.stall, limits.stall_wanted) : limits.stall;
        const Nanoseconds since = session->stalled_since();
        if (in_the_way && since != 0 && connection->home->now() - since >= patience) session->abandon();
    };
    if (connection->home == &loop_) return look();
    connection->home->post(look);
}

bool Server::any_left(const Choice& choice) const {
    return std::any_of(connections_.begin(), connections_.end(),
                       [&](const auto& connection) { return choice(connection->export_name); });
}

Task<void> Server::let_go_of_late(Choice choice, Nanoseconds deadline) {
    while (any_left(choice) && loop_.now() < deadline) {
        co_await loop_.sleep(std::min(deadline - loop_.now(), longest_tick / 20));
    }
    const auto connections = connections_;
    for (const auto& connection : connections) {
        if (choice(connection->export_name)) abandon(connection);
    }
}

Task<void> Server::wait_until_left(Choice choice) {
    const Nanoseconds deadline = loop_.now() + limits_.drain;
    TaskGroup waiting(loop_);
    waiting.spawn(let_go_of_late(choice, deadline));
    while (any_left(choice)) co_await left_.wait();
    loop_.wake_sleepers();
    auto ended = waiting.wait();
    co_await std::move(ended);
}

Task<void> Server::drop(Choice choice) {
    const auto connections = connections_;
    for (const auto& connection : connections) {
        if (choice(connection->export_name)) ask_to_leave(connection);
    }
    auto waiting = wait_until_left(std::move(choice));
    co_await std::move(waiting);
}

Task<void> Server::close() {
    const auto self = shared_from_this();
    closing_ = true;
    for (const auto& listening : listening_) listening->socket->shutdown();
    const auto connections = connections_;
    for (const auto& connection : connections) ask_to_leave(connection);
    auto waiting = wait_until_left([](const std::string&) { return true; });
    co_await std::move(waiting);
    loop_.wake_sleepers();
    auto ending = tasks_.wait();
    co_await std::move(ending);
}

std::vector<ConnectionFacts> Server::connections() const {
    std::vector<ConnectionFacts> list;
    for (const auto& connection : connections_) {
        ConnectionFacts facts{connection->export_name, connection->peer, connection->writable, {}};
        facts.totals.add(connection->counters);
        list.push_back(std::move(facts));
    }
    return list;
}

std::map<std::string, Totals> Server::totals() const {
    std::map<std::string, Totals> all = ended_;
    for (const auto& connection : connections_) {
        if (!connection->export_name.empty()) all[connection->export_name].add(connection->counters);
    }
    return all;
}

}  // namespace exshadow::nbd
