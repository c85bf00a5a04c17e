// How much one client, and all clients together, may take. Bytes and requests count from their acceptance
// until their reply is sent, so a client that does not read its replies is not read from either.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/units.h"
#include "runtime/loop.h"

namespace exshadow::nbd {

struct Limits {
    std::size_t connections = 256;              // a server's; more are refused at once
    Nanoseconds handshake = 10 * second_ns;     // to the end of the handshake
    Nanoseconds drain = 5 * second_ns;          // for replies to be taken by the client at close
    std::uint64_t connection_bytes = 16 * MiB;  // payloads under way; one larger request is served alone
    std::uint64_t connection_requests = 256;
    std::uint64_t server_bytes = 512 * MiB;    // payloads of large requests, all connections of a loop
    Nanoseconds stall = 30 * second_ns;        // a client that keeps the server's bytes while others wait
    Nanoseconds stall_wanted = 2 * second_ns;  // likewise, while a request waits for those very bytes
    std::size_t option_bytes = 64 * KiB;       // longer options are refused
    std::size_t options = 1024;                // a handshake's
    std::size_t contexts = 64;                 // selected by one client
};

}  // namespace exshadow::nbd
