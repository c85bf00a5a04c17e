#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>
#include <map>
#include <set>
#include <vector>

#include "bindings/handles.h"
#include "bindings/serving.h"

namespace exshadow::python {

namespace {

using HostPointer = std::shared_ptr<EngineHost>;

// Engines that are to be closed before the interpreter goes.
std::vector<std::weak_ptr<EngineHost>>& living() {
    static auto* const list = new std::vector<std::weak_ptr<EngineHost>>;  // outlives the interpreter
    return *list;
}

void end(EngineHost* host) {
    if (PyGILState_Check() == 0) {
        delete host;
        return;
    }
    const py::gil_scoped_release release;
    delete host;
}

HostPointer make_engine(const std::string& loop, double latency_limit) {
    // Below it a busy disk would be taken for a dead one.
    if (!(latency_limit >= 1 && latency_limit < 1e9))
        raise(Error(Code::invalid, "latency_limit is a number of seconds from 1 on"));
    const auto limit = static_cast<Nanoseconds>(latency_limit * 1e9);
    HostPointer host(value_or_raise(EngineHost::make(loop_kind(loop), limit)).release(), &end);
    std::erase_if(living(), [](const std::weak_ptr<EngineHost>& gone) { return gone.expired(); });
    living().push_back(host);
    return host;
}

void join(EngineHost& host) {
    const py::gil_scoped_release release;
    host.finish_close();
}

void close(EngineHost& host) {
    release_parked();
    const auto ended = [&host] {
        const py::gil_scoped_release release;  // writers of a coordinator may be Python's
        return host.begin_close();
    }();
    wait(*ended);
    join(host);
    release_parked();
    raise_if(ended->result());
}

void close_all() {
    for (const auto& weak : living()) {
        const HostPointer host = weak.lock();
        if (host == nullptr || !host->usable()) continue;
        const py::gil_scoped_release release;
        const auto ended = host->begin_close();
        while (!ended->wait_for(std::chrono::seconds(1))) continue;
        host->finish_close();
    }
}

VolumePointer opened(const HostPointer& host, std::atomic<bool>& given_up,
                     const std::shared_ptr<Pending<Result<OpenVolumePointer>>>& pending) {
    try {
        wait(*pending);
    } catch (...) {
        given_up = true;
        host->discard(pending);
        throw;
    }
    return handle_of(host, value_or_raise(pending->result()));
}

VolumePointer open(const HostPointer& host, const Path& path, const std::optional<Path>& metadata_copy,
                   bool force, double lock_wait) {
    if (!(lock_wait >= 0 && lock_wait < 1e9))
        raise(Error(Code::invalid, "lock_wait is a number of seconds from 0 on"));
    EngineHost::OpenRequest request;
    request.path = absolute_path(path);
    request.metadata_copy = absolute_path_or_empty(metadata_copy);
    request.force = force;
    request.lock_wait = static_cast<Nanoseconds>(lock_wait * 1e9);
    const auto given_up = request.given_up;
    return opened(host, *given_up, host->open(std::move(request)));
}

// The file's name without .exv.
std::string volume_name(const Path& path) {
    return (path.extension() == ".exv" ? path.stem() : path.filename()).native();
}

std::uint32_t region_bytes(ByteCount size) {
    if (size.value <= std::numeric_limits<std::uint32_t>::max())
        return static_cast<std::uint32_t>(size.value);
    raise(Error(Code::invalid, "region size " + std::to_string(size.value) + " is not possible",
                "use a power of two from 4K to 64M"));
}

struct CreateArguments {
    Path plex;
    ByteCount region_size;
    std::optional<std::string> group;
    std::optional<Path> metadata_copy;
    std::string label;
    bool force;
};

VolumePointer create(const HostPointer& host, const Path& path, const CreateArguments& arguments) {
    EngineHost::OpenRequest request;
    request.path = absolute_path(path);
    request.force = arguments.force;
    CreateOptions options;
    options.name = volume_name(path);
    options.group = arguments.group.value_or("");
    options.plex_path = absolute_path(arguments.plex);
    options.plex_label = arguments.label;
    options.metadata_copy = absolute_path_or_empty(arguments.metadata_copy);
    options.region_size = region_bytes(arguments.region_size);
    if (arguments.group && options.group.empty()) raise(Error(Code::invalid, "an empty name names no group"));
    const auto given_up = request.given_up;
    return opened(host, *given_up, host->create(std::move(request), std::move(options)));
}

struct SplitArguments {
    std::string label;
    std::optional<std::map<std::string, std::string>> plexes;
    std::optional<std::string> set_id;
    std::string consistency;
};

EngineHost::SplitWish make_wish(const EngineHost& host, const std::vector<VolumePointer>& volumes,
                                const SplitArguments& arguments) {
    EngineHost::SplitWish wish;
    std::set<std::string> names;
    for (const auto& volume : volumes) {
        const std::string& name = volume->open->name;
        if (volume->host.get() != &host)
            raise(Error(Code::invalid, "volume " + name + " belongs to another engine"));
        if (!names.insert(name).second) raise(Error(Code::invalid, "two volumes named " + name));
        wish.volumes.push_back(volume->open);
    }
    check_consistency(arguments.consistency);
    wish.label = arguments.label;
    wish.consistency = arguments.consistency;
    if (arguments.plexes) wish.plexes = *arguments.plexes;
    for (const auto& [name, plex] : wish.plexes) {
        if (!names.contains(name))
            raise(Error(Code::invalid, "plexes names '" + name + "', which is not split"));
    }
    if (!arguments.set_id) return wish;
    const auto uuid = Uuid::parse(*arguments.set_id);
    if (!uuid)
        raise(Error(Code::invalid, "'" + *arguments.set_id + "' is no set id", "ids look like uuid.uuid4()"));
    wish.set_id = *uuid;
    return wish;
}

py::dict split(EngineHost& host, const std::vector<VolumePointer>& volumes, const SplitArguments& arguments) {
    static_cast<void>(result_of(host.split(make_wish(host, volumes, arguments))));
    py::dict dict;
    for (const auto& volume : volumes) {
        dict[text(volume->open->name)] = snapshots_of(volume)[text(arguments.label)];
    }
    return dict;
}

// The snapshot of one volume: a label for all of them, or a mapping of volume names.
SnapshotName named_snapshot(const VolumePointer& volume, const py::object& snapshots) {
    if (py::isinstance<py::str>(snapshots) || py::isinstance<SnapshotHandle>(snapshots))
        return snapshot_name(*volume, snapshots);
    const py::dict by_name(snapshots);
    const py::str name = text(volume->open->name);
    if (!by_name.contains(name))
        raise(Error(Code::invalid, "no snapshot is named for volume " + volume->open->name));
    return snapshot_name(*volume, by_name[name]);
}

// Each volume's job by its name.
py::dict restore(EngineHost& host, const std::vector<VolumePointer>& volumes, const py::object& snapshots,
                 const std::string& mode, const std::optional<ByteCount>& limit) {
    check_restore_mode(mode);
    if (mode != "instant")
        raise(Error(Code::invalid, "several volumes are restored at one instant with mode instant only",
                    "call restore() of each volume for mode copy"));
    EngineHost::RestoreWishes wishes;
    for (const auto& volume : volumes) {
        if (volume->host.get() != &host)
            raise(Error(Code::invalid, "volume " + volume->open->name + " belongs to another engine"));
        wishes.volumes.push_back(volume->open);
        wishes.snapshots.push_back(named_snapshot(volume, snapshots));
    }
    finish(host.restore_instant(std::move(wishes)));
    py::dict jobs;
    for (const auto& volume : volumes) jobs[text(volume->open->name)] = start_move(*volume, limit);
    return jobs;
}

py::dict volumes(const HostPointer& host) {
    py::dict dict;
    for (const auto& open : result_of(host->volumes())) dict[text(open->name)] = handle_of(host, open);
    return dict;
}

using EngineClass = py::class_<EngineHost, HostPointer>;

void define_volumes(EngineClass& engine) {
    engine.def_property_readonly("volumes", &volumes)
        .def(
            "create",
            [](const HostPointer& self, const Path& path, Path plex, ByteCount region_size,
               std::optional<std::string> group, std::optional<Path> metadata_copy, std::string label,
               bool force) {
                return create(self, path,
                              {std::move(plex), region_size, std::move(group), std::move(metadata_copy),
                               std::move(label), force});
            },
            py::arg("path"), py::kw_only(), py::arg("plex"), py::arg("region_size") = ByteCount{64 * KiB},
            py::arg("group") = py::none(), py::arg("metadata_copy") = py::none(), py::arg("label") = "p1",
            py::arg("force") = false,
            "Make the volume file `path` and adopt `plex`, whose bytes are not touched. The name is the "
            "file's, "
            "without .exv.")
        .def("open", &open, py::arg("path"), py::kw_only(), py::arg("metadata_copy") = py::none(),
             py::arg("force") = false, py::arg("lock_wait") = 5.0,
             "Open a volume; returns when what an unclean stop left is reconciled. Waits `lock_wait` seconds "
             "for "
             "another owner.");
}

void define_split(EngineClass& engine) {
    engine
        .def(
            "split",
            [](EngineHost& self, const std::vector<VolumePointer>& named, std::string label,
               std::optional<std::map<std::string, std::string>> plexes, std::optional<std::string> set_id,
               std::string consistency) {
                return split(
                    self, named,
                    {std::move(label), std::move(plexes), std::move(set_id), std::move(consistency)});
            },
            py::arg("volumes"), py::arg("label"), py::kw_only(), py::arg("plexes") = py::none(),
            py::arg("set_id") = py::none(), py::arg("consistency") = "crash",
            "Split one in-sync plex off every volume at one instant. plexes: volume name to plex label. "
            "Returns when "
            "the whole set is durable; all members split or none.")
        .def("restore", &restore, py::arg("volumes"), py::arg("snapshots"), py::kw_only(),
             py::arg("mode") = "instant", py::arg("limit") = py::none(),
             "Make every volume what its snapshot is, at one instant; all or none. snapshots: a label, or "
             "volume name to Snapshot or label. It is done when this returns; the jobs move the data.")
        .def(
            "split_turn_ns", [](const EngineHost& self) { return self.last_turn_ns(); },
            "How long the last split's turn (the only step between two writes) took.");
}

void define_serving(EngineClass& engine) {
    engine.def(
        "serve",
        [](const HostPointer& self, const Path& path,
           std::optional<std::pair<std::string, std::uint16_t>> tcp, std::optional<Path> views,
           ByteCount view_limit, std::size_t connections) {
            return serve(self, path, {std::move(tcp), std::move(views), view_limit, connections});
        },
        py::arg("path"), py::kw_only(), py::arg("tcp") = py::none(), py::arg("views") = py::none(),
        py::arg("view_limit") = ByteCount{GiB}, py::arg("connections") = 256,
        "Serve all volumes, those opened later too, and their snapshots over NBD on a Unix socket of mode "
        "0600; tcp: on (host, port) as well, loopback only. views: the folder for NAME@LABEL+view, of at "
        "most "
        "view_limit bytes each.");
}

}  // namespace

void register_engine(py::module_& module) {
    EngineClass engine(module, "Engine",
                       "One loop on a thread of its own: its volumes can be split together.",
                       plain_metaclass());
    engine
        .def(py::init(&make_engine), py::kw_only(), py::arg("loop") = "auto",
             py::arg("latency_limit") = static_cast<double>(VolumeOptions{}.latency_limit) / 1e9,
             "latency_limit: seconds after which a plex that does not answer leaves its mirror.")
        .def_property_readonly("loop", [](const EngineHost& self) { return self.loop_name(); });
    define_volumes(engine);
    define_split(engine);
    define_serving(engine);
    engine.def("close", &close, "Close every volume, pausing jobs resumably, and end the thread.")
        .def("__enter__", [](const HostPointer& self) { return self; })
        .def(
            "__exit__",
            [](EngineHost& self, const py::object&, const py::object&, const py::object&) { close(self); },
            py::arg("exc_type").none(true), py::arg("exc").none(true), py::arg("traceback").none(true));
    py::module_::import("atexit").attr("register")(py::cpp_function(&close_all));
}

}  // namespace exshadow::python
