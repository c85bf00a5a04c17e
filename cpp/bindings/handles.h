// What Python holds: volumes, snapshots and jobs of an engine; and how they wait and are shown. Everything
// here runs under the GIL and frees it while it waits.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "bindings/buffers.h"
#include "bindings/engine_host.h"
#include "bindings/errors.h"
#include "volume/inspect.h"
#include "volume/job.h"

namespace exshadow::python {

struct VolumeHandle {
    std::shared_ptr<EngineHost> host;
    OpenVolumePointer open;
};
using VolumePointer = std::shared_ptr<VolumeHandle>;

struct SnapshotHandle {
    VolumePointer volume;
    SnapshotFacts facts;  // as they were when it was asked for; label, id, plex and path never change

    [[nodiscard]] SnapshotName name() const { return {facts.label, facts.set_id}; }
};

struct JobHandle {
    std::shared_ptr<EngineHost> host;
    std::shared_ptr<Job> job;
    std::shared_ptr<Pending<Status>> end;
    std::chrono::steady_clock::time_point started;
};

// --- waiting ---

// Until done, the GIL freed. A signal whose handler raises ends the wait, not the operation.
void wait(const Completion& completion);
// The same while the operation uses `view`, which is kept for it if the wait is broken off.
void wait(const std::shared_ptr<const Completion>& completion, std::unique_ptr<BufferView> view);

template <class T>
T result_of(const std::shared_ptr<Pending<Result<T>>>& pending) {
    wait(*pending);
    return value_or_raise(std::move(pending->result()));
}
inline void finish(const std::shared_ptr<Pending<Status>>& pending) {
    wait(*pending);
    raise_if(pending->result());
}
template <class T, class... Arguments>
auto start_on(const VolumeHandle& volume, Arguments&&... arguments) {
    release_parked();
    return volume.host->start_on<T>(volume.open, std::forward<Arguments>(arguments)...);
}

// --- handles ---

// The one Python object of this volume, as long as there is one.
[[nodiscard]] VolumePointer handle_of(const std::shared_ptr<EngineHost>& host, const OpenVolumePointer& open);
// A snapshot of `volume` named by label or Snapshot; InvalidError when it belongs to another volume.
[[nodiscard]] SnapshotName snapshot_name(const VolumeHandle& volume, py::handle snapshot);
[[nodiscard]] SnapshotName snapshot_name(const VolumeHandle& volume, const SnapshotHandle& snapshot);
[[nodiscard]] VolumeFacts facts_of(const VolumeHandle& volume);
[[nodiscard]] py::dict snapshots_of(const VolumePointer& volume);
// InvalidError when the request ends behind the volume's end.
void check_inside(const VolumeHandle& volume, ByteCount offset, std::uint64_t length);

using Work = std::function<Task<Status>(Volume&, std::shared_ptr<Job>)>;
[[nodiscard]] std::shared_ptr<JobHandle> start_job(const VolumeHandle& volume, std::string kind, Work work,
                                                   std::optional<SnapshotName> snapshot = std::nullopt);

// Goes on with an instant restore that is under way: the job of moving its data. limit: bytes a second.
[[nodiscard]] std::shared_ptr<JobHandle> start_move(const VolumeHandle& volume,
                                                    const std::optional<ByteCount>& limit);
// InvalidError unless it is copy or instant.
void check_restore_mode(const std::string& mode);

// --- arguments ---

using Path = std::filesystem::path;
[[nodiscard]] std::string absolute_path(const Path& path);
[[nodiscard]] std::string absolute_path_or_empty(const std::optional<Path>& path);
[[nodiscard]] LoopKind loop_kind(const std::string& name);  // auto, uring, pool
// InvalidError unless it is application, filesystem or crash.
void check_consistency(const std::string& consistency);

// --- as dictionaries (the TypedDicts of _core.pyi) ---

[[nodiscard]] py::dict to_dict(const VolumeFacts& facts);
[[nodiscard]] py::dict to_dict(const SnapshotFacts& facts);
[[nodiscard]] py::list plexes_to_list(const VolumeFacts& facts);
[[nodiscard]] py::dict progress_of(const JobHandle& job);
[[nodiscard]] std::string time_text(std::int64_t time_ns);  // RFC 3339, UTC

// --- registration, one file each ---

// For classes whose objects only the engine makes.
template <class T>
std::shared_ptr<T> not_constructible() {
    throw py::type_error("objects of this class are made by an Engine");
}
// The plain metaclass: these classes have no static properties, which is all that pybind11's own is for.
inline py::metaclass plain_metaclass() {
    return py::metaclass(reinterpret_cast<PyObject*>(&PyType_Type));
}

void register_engine(py::module_& module);
void register_nbd(py::module_& module);
void register_volume(py::module_& module);
void register_job(py::module_& module);
void register_facts(py::module_& module);
void register_ese(py::module_& module);

}  // namespace exshadow::python
