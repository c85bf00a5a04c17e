// Server: accepts connections, shakes hands, and runs a Session for each on the loop of its export.
//
// Nobody harms anybody else: connections are bounded (when all are taken, one that is still shaking hands
// makes place for the next, else the next is let go at once), handshakes have a time limit, and a client that
// keeps the server's memory by not taking its replies is let go when others wait for it.
//
// Loop thread of the server, but for what says otherwise. Held by shared pointers; await close() before the
// last one goes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nbd/export.h"
#include "nbd/handshake.h"
#include "nbd/limits.h"
#include "nbd/listen.h"
#include "nbd/session.h"
#include "runtime/socket.h"
#include "runtime/sync.h"

namespace exshadow::nbd {

// Requests answered and bytes moved.
struct Totals {
    std::uint64_t reads = 0, writes = 0, zeroes = 0, flushes = 0, others = 0, errors = 0;
    std::uint64_t bytes_read = 0, bytes_written = 0;
    void add(const Counters& counters);
    [[nodiscard]] std::uint64_t requests() const { return reads + writes + zeroes + flushes + others; }
};

struct ConnectionFacts {
    std::string export_name;  // empty while the client shakes hands
    std::string peer;
    bool writable = false;
    Totals totals;
};

class Server : public std::enable_shared_from_this<Server> {
public:
    Server(Loop& loop, std::shared_ptr<Exports> exports, Limits limits = {});
    ~Server();

    void listen(Listener listener);
    // Serve a connection that is there already.
    void serve(Descriptor connection);
    // Let go of the clients of some exports, as close() does; answers when they are gone. Who finds the
    // exports refuses them meanwhile.
    using Choice = std::function<bool(const std::string& export_name)>;
    [[nodiscard]] Task<void> drop(Choice choice);
    // Stop accepting, finish what was accepted, answer, flush, close. Clients that do not take their replies
    // have limits.drain for it; device I/O is waited for however long it takes (E32).
    [[nodiscard]] Task<void> close();

    [[nodiscard]] std::vector<ConnectionFacts> connections() const;
    // By export, those that have gone included.
    [[nodiscard]] std::map<std::string, Totals> totals() const;
    [[nodiscard]] std::uint64_t refused() const { return refused_; }  // connections
    [[nodiscard]] Task<std::vector<ExportName>> exports() { return exports_->list(); }

private:
    struct Connection {
        explicit Connection(std::string who) : peer(std::move(who)) {}
        const std::string peer;
        Counters counters;
        Nanoseconds since = 0;
        Stream* handshaking = nullptr;  // until the session
        bool evicted = false;
        std::string export_name;
        bool writable = false;
        Loop* home = nullptr;        // the session's loop
        Session* session = nullptr;  // home's
        bool leave = false;          // home's: drain as soon as there is a session
    };
    using ConnectionPointer = std::shared_ptr<Connection>;
    struct Listening {
        Listener listener;
        std::unique_ptr<Socket> socket;
    };

    static Task<void> accept_all(std::shared_ptr<Server> self, std::shared_ptr<Listening> listening);
    static Task<void> shake_hands(std::shared_ptr<Server> self, ConnectionPointer connection,
                                  std::unique_ptr<Socket> socket);
    static Task<void> run_session(ConnectionPointer connection, std::unique_ptr<Socket> socket,
                                  Agreement agreement, Limits limits,
                                  std::shared_ptr<Semaphore> shared_bytes);
    static Task<void> run_elsewhere(std::shared_ptr<Server> self, ConnectionPointer connection,
                                    std::unique_ptr<Socket> socket, Agreement agreement);
    struct Crossing;
    static Task<void> run_there(ConnectionPointer connection, std::shared_ptr<Crossing> crossing);
    static Task<void> watch(std::shared_ptr<Server> self);
    [[nodiscard]] Task<void> let_go_of_late(Choice choice, Nanoseconds deadline);

    [[nodiscard]] bool make_place();
    void ask_to_leave(const ConnectionPointer& connection);
    void abandon(const ConnectionPointer& connection);
    void look_after(const ConnectionPointer& connection);
    void remove(const ConnectionPointer& connection);
    [[nodiscard]] bool any_left(const Choice& choice) const;
    [[nodiscard]] Task<void> wait_until_left(Choice choice);
    [[nodiscard]] std::shared_ptr<Semaphore> shared_bytes_of(Loop& home);

    Loop& loop_;
    const std::shared_ptr<Exports> exports_;
    const Limits limits_;
    std::vector<std::shared_ptr<Listening>> listening_;
    std::vector<ConnectionPointer> connections_;  // oldest first
    std::map<Loop*, std::shared_ptr<Semaphore>> shared_bytes_;
    std::map<std::string, Totals> ended_;
    std::size_t evicted_ = 0;
    std::uint64_t refused_ = 0;
    bool closing_ = false;
    bool watching_ = false;
    Signal left_;
    TaskGroup tasks_;
};

}  // namespace exshadow::nbd
