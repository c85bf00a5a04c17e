#include "bindings/handles.h"

#include <algorithm>
#include <ctime>
#include <limits>

#include "bindings/calls.h"

namespace exshadow::python {

namespace {

constexpr std::chrono::milliseconds slice{100};  // how long a signal may go unnoticed

py::object pin_text(std::int64_t until_ns) {
    if (until_ns == 0) return py::none();
    if (until_ns == std::numeric_limits<std::int64_t>::max()) return py::str("forever");
    return py::str(time_text(until_ns));
}

py::dict plex_to_dict(const VolumeFacts& volume, const PlexFacts& plex) {
    py::dict dict;
    dict["label"] = plex.label;
    dict["uuid"] = plex.uuid.text();
    dict["path"] = text(plex.path);
    dict["state"] = plex.state;
    dict["size"] = volume.size;
    dict["authority"] = plex.authority;
    dict["bytes_to_sync"] = plex.bytes_to_sync;
    dict["note"] = text(plex.note);
    return dict;
}

const char* state_of(const JobHandle& job) {
    if (!job.end->done()) return "running";
    const Status& status = job.end->result();
    if (status.ok()) return "done";
    return status.error().code() == Code::cancelled ? "cancelled" : "failed";
}

}  // namespace

void wait(const Completion& completion) {
    while (!completion.done()) {
        {
            const py::gil_scoped_release release;
            if (completion.wait_for(slice)) return;
        }
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    }
}

void wait(const std::shared_ptr<const Completion>& completion, std::unique_ptr<BufferView> view) {
    try {
        wait(*completion);
    } catch (...) {
        park(completion, std::move(view));
        throw;
    }
}

VolumePointer handle_of(const std::shared_ptr<EngineHost>& host, const OpenVolumePointer& open) {
    if (auto shown = open->handle.lock()) return std::static_pointer_cast<VolumeHandle>(shown);
    auto handle = std::make_shared<VolumeHandle>(VolumeHandle{host, open});
    open->handle = handle;
    return handle;
}

SnapshotName snapshot_name(const VolumeHandle& volume, py::handle snapshot) {
    if (py::isinstance<py::str>(snapshot)) return {snapshot.cast<std::string>(), std::nullopt};
    if (!py::isinstance<SnapshotHandle>(snapshot))
        throw py::type_error("a snapshot is named by a Snapshot or its label");
    return snapshot_name(volume, snapshot.cast<const SnapshotHandle&>());
}

SnapshotName snapshot_name(const VolumeHandle& volume, const SnapshotHandle& snapshot) {
    if (snapshot.volume->open == volume.open) return snapshot.name();
    raise(Error(Code::invalid, "snapshot '" + snapshot.facts.label + "' belongs to another volume than " +
                                   volume.open->name));
}

VolumeFacts facts_of(const VolumeHandle& volume) {
    return result_of(
        start_on<Result<VolumeFacts>>(volume, [](Volume& open) { return describe_volume(open); }));
}

py::dict snapshots_of(const VolumePointer& volume) {
    py::dict dict;
    for (auto& facts : facts_of(*volume).snapshots) {
        const py::str label = text(facts.label);
        dict[label] = std::make_shared<SnapshotHandle>(SnapshotHandle{volume, std::move(facts)});
    }
    return dict;
}

void check_inside(const VolumeHandle& volume, ByteCount offset, std::uint64_t length) {
    const std::uint64_t size = volume.open->size;
    if (offset.value <= size && length <= size - offset.value) return;
    raise(Error(Code::invalid,
                "the request ends behind the volume's end (" + std::to_string(size) + " bytes)"));
}

std::shared_ptr<JobHandle> start_job(const VolumeHandle& volume, std::string kind, Work work,
                                     std::optional<SnapshotName> snapshot) {
    raise_if(volume.host->check());
    if (volume.open->closed()) raise(Error(Code::closed, "volume " + volume.open->name + " is closed"));
    const auto job = std::make_shared<Job>(std::move(kind));
    const auto run = [job, work = std::move(work)](Volume& open) { return work(open, job); };
    const auto started = std::chrono::steady_clock::now();
    auto end = snapshot ? start_on<Status>(volume, std::move(*snapshot), run) : start_on<Status>(volume, run);
    return std::make_shared<JobHandle>(JobHandle{volume.host, job, std::move(end), started});
}

std::shared_ptr<JobHandle> start_move(const VolumeHandle& volume, const std::optional<ByteCount>& limit) {
    const std::uint64_t rate = limit ? limit->value : 0;
    return start_job(volume, "restore", [rate](Volume& open, std::shared_ptr<Job> job) {
        return open.continue_restore(rate, std::move(job));
    });
}

void check_restore_mode(const std::string& mode) {
    if (mode == "copy" || mode == "instant") return;
    raise(Error(Code::invalid, "'" + mode + "' is no restore mode", "use copy or instant"));
}

std::string absolute_path(const Path& path) {
    return std::filesystem::absolute(path).native();
}

std::string absolute_path_or_empty(const std::optional<Path>& path) {
    return path ? absolute_path(*path) : std::string();
}

LoopKind loop_kind(const std::string& name) {
    if (name == "auto") return LoopKind::automatic;
    if (name == "uring") return LoopKind::uring;
    if (name == "pool") return LoopKind::pool;
    raise(Error(Code::invalid, "'" + name + "' is no loop", "use auto, uring or pool"));
}

void check_consistency(const std::string& consistency) {
    if (consistency == "application" || consistency == "filesystem" || consistency == "crash") return;
    raise(Error(Code::invalid, "'" + consistency + "' is no kind of consistency",
                "use application, filesystem or crash"));
}

std::string time_text(std::int64_t time_ns) {
    const std::time_t seconds = time_ns / second_ns;
    std::tm parts{};
    char buffer[64] = {};
    if (gmtime_r(&seconds, &parts) == nullptr) return "";
    std::strftime(buffer, sizeof(buffer), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return buffer;
}

py::dict to_dict(const SnapshotFacts& facts) {
    py::dict dict;
    dict["label"] = text(facts.label);
    dict["set_id"] = facts.set_id.text();
    dict["created"] = time_text(facts.created_ns);
    dict["plex"] = text(facts.plex);
    dict["path"] = text(facts.path);
    dict["state"] = facts.state;
    dict["members"] = py::list();
    for (const auto& name : facts.members) dict["members"].attr("append")(text(name));
    dict["consistency"] = text(facts.consistency);
    dict["pinned_until"] = pin_text(facts.pinned_until_ns);
    dict["changed_bytes"] = facts.changed_bytes;
    return dict;
}

py::list plexes_to_list(const VolumeFacts& facts) {
    py::list list;
    for (const auto& plex : facts.plexes) list.append(plex_to_dict(facts, plex));
    return list;
}

py::dict to_dict(const VolumeFacts& facts) {
    py::dict dict;
    dict["name"] = text(facts.name);
    dict["uuid"] = facts.uuid.text();
    dict["group"] = text(facts.group);
    dict["size"] = facts.size;
    dict["region_size"] = facts.region_size;
    dict["state"] = facts.state;
    dict["clean"] = facts.clean;
    dict["generation"] = facts.generation;
    dict["plexes"] = plexes_to_list(facts);
    py::list snapshots;
    for (const auto& snapshot : facts.snapshots) snapshots.append(to_dict(snapshot));
    dict["snapshots"] = snapshots;
    dict["owner"] = facts.owner.empty() ? py::object(py::none()) : py::object(text(facts.owner));
    dict["active_extents"] = facts.active_extents;
    dict["bytes_to_move"] = facts.bytes_to_move;
    py::list events;
    for (const auto& event : facts.events) events.append(text(event));
    dict["events"] = events;
    return dict;
}

py::dict progress_of(const JobHandle& job) {
    const bool done = job.end->done();
    const auto until = done ? job.end->done_at() : std::chrono::steady_clock::now();
    const std::uint64_t settled = job.job->bytes_done;
    py::dict dict;
    dict["kind"] = job.job->kind();
    dict["state"] = state_of(job);
    dict["bytes_copied"] = job.job->bytes_copied.load();
    dict["bytes_zeroed"] = job.job->bytes_zeroed.load();
    dict["bytes_done"] = settled;
    dict["bytes_total"] =
        std::max(settled, job.job->bytes_total.load());  // what is written meanwhile is copied again
    dict["seconds"] = std::chrono::duration<double>(until - job.started).count();
    dict["note"] = text(job.job->note());
    return dict;
}

}  // namespace exshadow::python
