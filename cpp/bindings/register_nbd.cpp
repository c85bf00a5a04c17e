#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include "bindings/handles.h"
#include "bindings/serving.h"
#include "nbd/listen.h"

namespace exshadow::python {

namespace {

constexpr std::size_t most_connections = 1024;  // far below what a loop has under way at a time

py::dict to_dict(const nbd::Totals& totals) {
    py::dict dict;
    dict["requests"] = totals.requests();
    dict["reads"] = totals.reads;
    dict["writes"] = totals.writes;
    dict["zeroes"] = totals.zeroes;
    dict["flushes"] = totals.flushes;
    dict["errors"] = totals.errors;
    dict["bytes_read"] = totals.bytes_read;
    dict["bytes_written"] = totals.bytes_written;
    return dict;
}

py::list connections(const ServerHandle& self) {
    py::list list;
    for (const auto& one : result_of(self.host->facts_of(self.server)).connections) {
        py::dict dict;
        dict["export"] = text(one.export_name);
        dict["peer"] = text(one.peer);
        dict["writable"] = one.writable;
        dict["requests"] = one.totals.requests();
        dict["bytes"] = one.totals.bytes_read + one.totals.bytes_written;
        list.append(dict);
    }
    return list;
}

py::dict exports(const ServerHandle& self) {
    py::dict dict;
    for (const auto& [name, totals] : result_of(self.host->facts_of(self.server)).exports) {
        dict[text(name)] = to_dict(totals);
    }
    return dict;
}

void close(const ServerHandle& self) {
    if (!self.host->check().ok()) return;  // the engine closes its servers
    finish(self.host->close(self.server));
}

Result<std::vector<nbd::Listener>> listen(const std::string& path, const ServeArguments& arguments) {
    std::vector<nbd::Listener> listeners;
    if (arguments.tcp) {
        auto listener = nbd::listen_tcp(arguments.tcp->first, arguments.tcp->second);
        if (!listener.ok()) return listener.error();
        listeners.push_back(std::move(listener).value());
    }
    auto listener = nbd::listen_unix(path);
    if (!listener.ok()) return listener.error();
    listeners.push_back(std::move(listener).value());
    return listeners;
}

// What is left of a listener that found no server: its file.
std::vector<nbd::Listener> files_of(const std::vector<nbd::Listener>& listeners) {
    std::vector<nbd::Listener> files;
    for (const auto& one : listeners) files.push_back({{}, one.address, one.path, one.device, one.inode});
    return files;
}

}  // namespace

std::shared_ptr<ServerHandle> serve(const std::shared_ptr<EngineHost>& host, const Path& path,
                                    const ServeArguments& arguments) {
    raise_if(host->check());
    if (arguments.connections == 0 || arguments.connections > most_connections)
        raise(Error(Code::invalid, "a server has 1 to " + std::to_string(most_connections) + " connections"));
    EngineHost::ServeWish wish;
    wish.listeners = value_or_raise(listen(absolute_path(path), arguments));
    wish.view_folder = absolute_path_or_empty(arguments.views);
    wish.view_limit = round_up(arguments.view_limit.value, 64 * KiB);
    wish.limits.connections = arguments.connections;
    const auto files = files_of(wish.listeners);
    auto handle = std::make_shared<ServerHandle>();
    handle->host = host;
    for (const auto& one : files) handle->addresses.push_back(one.address);
    try {
        handle->server = result_of(host->serve(std::move(wish)));
    } catch (...) {
        for (const auto& one : files) nbd::remove_socket_file(one);
        throw;
    }
    return handle;
}

void register_nbd(py::module_& module) {
    py::class_<ServerHandle, std::shared_ptr<ServerHandle>>(
        module, "Server", "An NBD server of an engine: every volume and snapshot is an export.",
        plain_metaclass())
        .def(py::init(&not_constructible<ServerHandle>))
        .def_property_readonly("addresses", [](const ServerHandle& self) { return self.addresses; })
        .def_property_readonly("connections", &connections)
        .def("exports", &exports, "Exports by name, with what was done with each so far.")
        .def("close", &close,
             "Stop accepting, finish what was accepted, flush, and let the clients go. Closing the engine "
             "does "
             "the same.")
        .def("__enter__", [](const std::shared_ptr<ServerHandle>& self) { return self; })
        .def(
            "__exit__",
            [](const ServerHandle& self, const py::object&, const py::object&, const py::object&) {
                close(self);
            },
            py::arg("exc_type").none(true), py::arg("exc").none(true), py::arg("traceback").none(true));
}

}  // namespace exshadow::python
