#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <chrono>
#include <filesystem>
#include <limits>

#include "bindings/calls.h"
#include "bindings/handles.h"
#include "volume/copy_check.h"
#include "volume/instant.h"

namespace exshadow::python {

namespace {

using Limit = std::optional<ByteCount>;

std::uint64_t bytes_a_second(const Limit& limit) {
    return limit ? limit->value : 0;
}

// --- bytes ---

// Runs `read` on new bytes that it fills.
template <class Read>
py::bytes read_bytes(const VolumeHandle& volume, ByteCount offset, ByteCount length, Read read) {
    check_inside(volume, offset, length.value);
    const auto fresh = py::reinterpret_steal<py::bytes>(
        PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(length.value)));
    if (!fresh) throw py::error_already_set();
    auto view = std::make_unique<BufferView>(fresh);
    const auto pending = read(view->bytes());
    wait(pending, std::move(view));
    raise_if(pending->result());
    return fresh;
}

template <class Read>
void read_into(const VolumeHandle& volume, ByteCount offset, py::handle buffer, Read read) {
    auto view = std::make_unique<BufferView>(buffer, BufferView::Access::writing);
    check_inside(volume, offset, view->size());
    const auto pending = read(view->bytes());
    wait(pending, std::move(view));
    raise_if(pending->result());
}

auto volume_reader(const VolumeHandle& volume, ByteCount offset) {
    return [&volume, at = offset.value](std::span<std::byte> bytes) {
        return start_on<Status>(volume, [at, bytes](Volume& open) { return open.read(at, bytes); });
    };
}

auto snapshot_reader(const SnapshotHandle& snapshot, ByteCount offset) {
    return [&snapshot, at = offset.value](std::span<std::byte> bytes) {
        return start_on<Status>(*snapshot.volume, snapshot.name(),
                                [at, bytes, name = snapshot.name()](Volume& open) {
                                    return open.read_snapshot(name.label, at, bytes);
                                });
    };
}

void write(const VolumeHandle& volume, ByteCount offset, const py::object& buffer, bool fua) {
    const BufferView view(buffer, BufferView::Access::reading);
    check_inside(volume, offset, view.size());
    Payload payload;
    {
        const py::gil_scoped_release release;
        payload = copy_payload(view);
    }
    finish(start_on<Status>(volume, [at = offset.value, payload = std::move(payload), fua](Volume& open) {
        return open.write(at, payload, fua);
    }));
}

void zero(const VolumeHandle& volume, ByteCount offset, ByteCount length, bool unmap) {
    check_inside(volume, offset, length.value);
    const Range range{offset.value, length.value};
    const ZeroMode mode = unmap ? ZeroMode::may_unmap : ZeroMode::keep_allocated;
    finish(start_on<Status>(volume, [range, mode](Volume& open) { return open.zero(range, mode); }));
}

// --- plexes ---

std::shared_ptr<JobHandle> sync(const VolumeHandle& volume, const std::optional<std::string>& label,
                                const Limit& limit) {
    const std::string wanted = label.value_or("");
    if (label && wanted.empty()) raise(Error(Code::invalid, "an empty label names no plex"));
    const std::string kind = result_of(
        start_on<Result<std::string>>(volume, [wanted](Volume& open) { return plan_sync(open, wanted); }));
    return start_job(volume, kind,
                     [wanted, rate = bytes_a_second(limit)](Volume& open, std::shared_ptr<Job> job) {
                         return sync_by_map(open, wanted, rate, std::move(job));
                     });
}

struct AddPlexArguments {
    std::optional<std::string> label;
    bool overwrite;
    Limit limit;
    bool force;
};

std::shared_ptr<JobHandle> add_plex(const VolumeHandle& volume, const Path& path,
                                    const AddPlexArguments& arguments) {
    AddPlexOptions options;
    options.path = absolute_path(path);
    options.label = arguments.label.value_or("");
    options.overwrite = arguments.overwrite;
    options.force = arguments.force;
    if (arguments.label && options.label.empty()) raise(Error(Code::invalid, "an empty label names no plex"));
    const std::string label = result_of(
        start_on<Result<std::string>>(volume, [options](Volume& open) { return open.attach_plex(options); }));
    return start_job(volume, "sync",
                     [label, rate = bytes_a_second(arguments.limit)](Volume& open, std::shared_ptr<Job> job) {
                         return open.sync_plex(label, rate, std::move(job));
                     });
}

std::shared_ptr<JobHandle> verify(const VolumeHandle& volume, bool repair,
                                  const std::optional<std::string>& source) {
    return start_job(volume, "verify",
                     [repair, from = source.value_or("")](Volume& open, std::shared_ptr<Job> job) {
                         return open.verify(repair, from, std::move(job));
                     });
}

void remove_plex(const VolumeHandle& volume, const std::string& label) {
    finish(start_on<Status>(volume, [label](Volume& open) { return open.remove_plex(label); }));
}

// --- snapshots ---

// A pin protects from what ends a snapshot, whoever asks.
void require_unpinned(const VolumeHandle& volume, const SnapshotName& name) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const std::int64_t now_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
    finish(start_on<Status>(volume, name, [label = name.label, now_ns](Volume& open) {
        return check_unpinned(open, label, now_ns);
    }));
}

std::shared_ptr<JobHandle> resync(const VolumeHandle& volume, const py::object& snapshot,
                                  const Limit& limit) {
    const SnapshotName name = snapshot_name(volume, snapshot);
    require_unpinned(volume, name);
    const auto work = [label = name.label, rate = bytes_a_second(limit)](Volume& open,
                                                                         std::shared_ptr<Job> job) {
        return open.resync(label, rate, std::move(job));
    };
    return start_job(volume, "resync", work, name);
}

std::shared_ptr<JobHandle> restore(const VolumeHandle& volume, const py::object& snapshot,
                                   const std::string& mode, const Limit& limit) {
    check_restore_mode(mode);
    const SnapshotName name = snapshot_name(volume, snapshot);
    if (mode == "instant") {
        finish(start_on<Status>(volume, name, [label = name.label](Volume& open) {
            return restore_instant(open.loop(), {{&open, label}});
        }));
        return start_move(volume, limit);
    }
    const auto work = [label = name.label, rate = bytes_a_second(limit)](Volume& open,
                                                                         std::shared_ptr<Job> job) {
        return open.restore(label, rate, std::move(job));
    };
    return start_job(volume, "restore", work, name);
}

std::shared_ptr<JobHandle> verify_snapshot(const VolumeHandle& volume, const py::object& snapshot) {
    const SnapshotName name = snapshot_name(volume, snapshot);
    const auto work = [label = name.label](Volume& open, std::shared_ptr<Job> job) {
        return open.verify_snapshot(label, std::move(job));
    };
    return start_job(volume, "verify", work, name);
}

void promote(const VolumeHandle& volume, const py::object& snapshot) {
    const SnapshotName name = snapshot_name(volume, snapshot);
    finish(
        start_on<Status>(volume, name, [label = name.label](Volume& open) { return open.promote(label); }));
}

void delete_snapshot(const VolumeHandle& volume, const py::object& snapshot) {
    const SnapshotName name = snapshot_name(volume, snapshot);
    require_unpinned(volume, name);
    finish(start_on<Status>(volume, name,
                            [label = name.label](Volume& open) { return open.delete_snapshot(label); }));
}

void annotate(const VolumeHandle& volume, const py::object& snapshot,
              std::function<void(SnapshotRecord&)> change) {
    const SnapshotName name = snapshot_name(volume, snapshot);
    finish(start_on<Status>(volume, name, [label = name.label, change = std::move(change)](Volume& open) {
        return open.annotate_snapshot(label, change);
    }));
}

// Nanoseconds since the epoch; a time without zone is UTC.
std::int64_t parse_time(const std::string& time) {
    const Error wrong(Code::invalid, "'" + time + "' is no time", "write 2026-01-31T12:00:00Z or forever");
    try {
        const py::module_ datetime = py::module_::import("datetime");
        py::object moment = datetime.attr("datetime").attr("fromisoformat")(time);
        if (moment.attr("tzinfo").is_none())
            moment = moment.attr("replace")(py::arg("tzinfo") = datetime.attr("UTC"));
        const auto seconds = moment.attr("timestamp")().cast<double>();
        if (seconds > 0 && seconds < 9e9) return static_cast<std::int64_t>(seconds) * second_ns;
    } catch (const py::error_already_set& error) {
        if (!error.matches(PyExc_ValueError) && !error.matches(PyExc_OverflowError)) throw;
    }
    raise(wrong);
}

void pin_snapshot(const VolumeHandle& volume, const py::object& snapshot,
                  const std::optional<std::string>& until) {
    std::int64_t until_ns = 0;
    if (until) until_ns = *until == "forever" ? std::numeric_limits<std::int64_t>::max() : parse_time(*until);
    annotate(volume, snapshot, [until_ns](SnapshotRecord& record) { record.pinned_until_ns = until_ns; });
}

void set_consistency(const VolumeHandle& volume, const py::object& snapshot, const std::string& consistency) {
    check_consistency(consistency);
    annotate(volume, snapshot, [consistency](SnapshotRecord& record) { record.consistency = consistency; });
}

py::dict snapshot_info(const SnapshotHandle& snapshot) {
    for (const auto& facts : facts_of(*snapshot.volume).snapshots) {
        if (facts.label == snapshot.facts.label && facts.set_id == snapshot.facts.set_id)
            return to_dict(facts);
    }
    raise(Error(Code::not_found, "volume " + snapshot.volume->open->name + " has no snapshot '" +
                                     snapshot.facts.label + "' any more"));
}

void check(const SnapshotHandle& snapshot) {
    finish(start_on<Status>(*snapshot.volume, snapshot.name(), [label = snapshot.name().label](Volume& open) {
        return check_copy(open, label);
    }));
}

py::array_t<std::int64_t> changed(const SnapshotHandle& snapshot, const SnapshotHandle* since) {
    const VolumeHandle& volume = *snapshot.volume;
    const SnapshotName name = snapshot.name();
    std::optional<std::string> other;
    if (since != nullptr) other = snapshot_name(volume, *since).label;
    return to_array(result_of(start_on<Result<Ranges>>(
        volume, name, [label = name.label, other](Volume& open) { return open.changed(label, other); })));
}

std::string state_of(const VolumeHandle& volume) {
    if (volume.open->closed()) return "closed";
    return facts_of(volume).state;
}

void close(const VolumeHandle& volume) {
    release_parked();
    if (volume.open->closed() && !volume.host->check().ok()) return;
    finish(volume.host->close(volume.open));
}

void define_snapshot(py::module_& module) {
    py::class_<SnapshotHandle, std::shared_ptr<SnapshotHandle>>(
        module, "Snapshot",
        "One volume as it was at an instant; changed() says where production differs from it.",
        plain_metaclass())
        .def(py::init(&not_constructible<SnapshotHandle>))
        .def_property_readonly("label", [](const SnapshotHandle& self) { return text(self.facts.label); })
        .def_property_readonly("set_id", [](const SnapshotHandle& self) { return self.facts.set_id.text(); })
        .def_property_readonly("created",
                               [](const SnapshotHandle& self) { return time_text(self.facts.created_ns); })
        .def_property_readonly("path", [](const SnapshotHandle& self) { return text(self.facts.path); })
        .def_property_readonly("plex", [](const SnapshotHandle& self) { return text(self.facts.plex); })
        .def_property_readonly("volume", [](const SnapshotHandle& self) { return self.volume; })
        .def("info", &snapshot_info, "What is known of it now.")
        .def("check", &check,
             "Raise what a restore from it would be refused with: the copy is gone, or "
             "not as it was split off. Reads and changes nothing else.")
        .def(
            "read",
            [](const SnapshotHandle& self, ByteCount offset, ByteCount length) {
                return read_bytes(*self.volume, offset, length, snapshot_reader(self, offset));
            },
            py::arg("offset"), py::arg("length"), "Bytes as they were at the instant.")
        .def(
            "read_into",
            [](const SnapshotHandle& self, ByteCount offset, const py::object& buffer) {
                read_into(*self.volume, offset, buffer, snapshot_reader(self, offset));
            },
            py::arg("offset"), py::arg("buffer"), "The same into a writable C-contiguous buffer.")
        .def(
            "changed", &changed, py::arg("since") = py::none(),
            "(n, 2) array of offset and length: where production (or `since`) may differ from this snapshot. "
            "Sorted, disjoint, merged, clipped; a superset of the true differences.");
}

using VolumeClass = py::class_<VolumeHandle, VolumePointer>;

void define_facts(VolumeClass& volume) {
    volume.def_property_readonly("name", [](const VolumeHandle& self) { return text(self.open->name); })
        .def_property_readonly("uuid", [](const VolumeHandle& self) { return self.open->uuid.text(); })
        .def_property_readonly("group", [](const VolumeHandle& self) { return text(self.open->group); })
        .def_property_readonly("path", [](const VolumeHandle& self) { return text(self.open->path); })
        .def_property_readonly("size", [](const VolumeHandle& self) { return self.open->size; })
        .def_property_readonly("region_size", [](const VolumeHandle& self) { return self.open->region_size; })
        .def_property_readonly("state", &state_of)
        .def_property_readonly("plexes",
                               [](const VolumeHandle& self) { return plexes_to_list(facts_of(self)); })
        .def_property_readonly("snapshots", &snapshots_of)
        .def(
            "info", [](const VolumeHandle& self) { return to_dict(facts_of(self)); },
            "Everything known of it now.");
}

void define_requests(VolumeClass& volume) {
    volume
        .def(
            "read",
            [](const VolumeHandle& self, ByteCount offset, ByteCount length) {
                return read_bytes(self, offset, length, volume_reader(self, offset));
            },
            py::arg("offset"), py::arg("length"), "Bytes of production.")
        .def(
            "read_into",
            [](const VolumeHandle& self, ByteCount offset, const py::object& buffer) {
                read_into(self, offset, buffer, volume_reader(self, offset));
            },
            py::arg("offset"), py::arg("buffer"), "The same into a writable C-contiguous buffer.")
        .def("write", &write, py::arg("offset"), py::arg("buffer"), py::kw_only(), py::arg("fua") = false,
             "Copy the buffer's bytes to every in-sync plex. Durable after flush(), or on return with `fua`.")
        .def("zero", &zero, py::arg("offset"), py::arg("length"), py::kw_only(), py::arg("unmap") = false,
             "Make a range read as zeroes; `unmap` gives its space back where that can be done.")
        .def(
            "flush",
            [](const VolumeHandle& self) {
                finish(start_on<Status>(self, [](Volume& open) { return open.flush(); }));
            },
            "Make everything written before durable on every in-sync plex.");
}

void define_mirror(VolumeClass& volume) {
    volume
        .def(
            "add_plex",
            [](const VolumeHandle& self, const Path& path, std::optional<std::string> label, bool overwrite,
               Limit limit, bool force) {
                return add_plex(self, path, {std::move(label), overwrite, limit, force});
            },
            py::arg("path"), py::kw_only(), py::arg("label") = py::none(), py::arg("overwrite") = false,
            py::arg("limit") = py::none(), py::arg("force") = false,
            "Attach a mirror and start to sync it. A missing file is created; one that holds data needs "
            "`overwrite`. "
            "limit: bytes a second.")
        .def("sync", &sync, py::arg("label") = py::none(), py::kw_only(), py::arg("limit") = py::none(),
             "Continue any unfinished sync, resync or restore; bring a failed, stale or returned plex back "
             "by its map.")
        .def("remove_plex", &remove_plex, py::arg("label"), "Forget a plex; its file stays.")
        .def("verify", &verify, py::kw_only(), py::arg("repair") = false, py::arg("source") = py::none(),
             "Compare all in-sync plexes, also under writes. Fails with IntegrityError when they differ and "
             "repair is "
             "off.");
}

void define_snapshots(VolumeClass& volume) {
    volume
        .def("verify_snapshot", &verify_snapshot, py::arg("snapshot"),
             "Read the whole copy and compare it with production wherever nothing changed since.")
        .def("resync", &resync, py::arg("snapshot"), py::kw_only(), py::arg("limit") = py::none(),
             "Give the snapshot up and bring its plex back into the mirror by copying what differs.")
        .def("restore", &restore, py::arg("snapshot"), py::kw_only(), py::arg("mode") = "copy",
             py::arg("limit") = py::none(),
             "Make production what the snapshot is; the snapshot stays. With mode instant it is when this "
             "returns, and the job moves the data.")
        .def("promote", &promote, py::arg("snapshot"), "Make the snapshot's plex production.")
        .def("delete_snapshot", &delete_snapshot, py::arg("snapshot"), "Forget the snapshot; its file stays.")
        .def("pin_snapshot", &pin_snapshot, py::arg("snapshot"), py::arg("until").none(true),
             "Set (RFC 3339, or \"forever\") or clear (None) the pin kept with the snapshot.")
        .def("set_consistency", &set_consistency, py::arg("snapshot"), py::arg("consistency"),
             "Record what was found out about it: application, filesystem or crash.");
}

}  // namespace

void register_volume(py::module_& module) {
    VolumeClass volume(module, "Volume",
                       "What the application writes to, made of plexes. Any thread may use it.",
                       plain_metaclass());
    volume.def(py::init(&not_constructible<VolumeHandle>));
    define_snapshot(module);
    define_facts(volume);
    define_requests(volume);
    define_mirror(volume);
    define_snapshots(volume);
    volume.def("close", &close, "Pause jobs resumably and mark the volume clean.")
        .def("__enter__", [](const VolumePointer& self) { return self; })
        .def(
            "__exit__",
            [](const VolumeHandle& self, const py::object&, const py::object&, const py::object&) {
                close(self);
            },
            py::arg("exc_type").none(true), py::arg("exc").none(true), py::arg("traceback").none(true));
}

}  // namespace exshadow::python
