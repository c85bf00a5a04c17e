// What Python holds of a server, and how Engine.serve() makes one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/handles.h"

namespace exshadow::python {

struct ServerHandle {
    std::shared_ptr<EngineHost> host;
    EngineHost::ServerPointer server;
    std::vector<std::string> addresses;
};

struct ServeArguments {
    std::optional<std::pair<std::string, std::uint16_t>> tcp;
    std::optional<Path> views;
    ByteCount view_limit;
    std::size_t connections;
};

// Listens on a Unix socket, and on loopback where asked for. The engine keeps the server until it is closed.
[[nodiscard]] std::shared_ptr<ServerHandle> serve(const std::shared_ptr<EngineHost>& host, const Path& path,
                                                  const ServeArguments& arguments);

}  // namespace exshadow::python
