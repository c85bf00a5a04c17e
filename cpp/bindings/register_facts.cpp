#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>
#include <sys/utsname.h>

#include <filesystem>
#include <random>
#include <thread>

#include "bindings/calls.h"
#include "bindings/handles.h"
#include "volume/change_map.h"
#include "volume/copy_benchmark.h"

namespace exshadow::python {

namespace {

template <class T>
Result<T> run_without_gil(std::function<Task<Result<T>>(Loop&)> make) {
    const py::gil_scoped_release release;
    return run_here<Result<T>>(std::move(make));
}

py::dict inspect_file(const Path& path, const std::optional<Path>& metadata_copy) {
    auto facts = run_without_gil<VolumeFacts>(
        [file = absolute_path(path), copy = absolute_path_or_empty(metadata_copy)](Loop& loop) {
            return inspect(loop, file, copy);
        });
    return to_dict(value_or_raise(facts));
}

py::array_t<std::int64_t> inspect_file_changed(const Path& path, const std::string& label,
                                               const std::optional<std::string>& since,
                                               const std::optional<Path>& metadata_copy) {
    auto ranges = run_without_gil<Ranges>(
        [file = absolute_path(path), copy = absolute_path_or_empty(metadata_copy), label, since](Loop& loop) {
            return inspect_changed(loop, file, copy, label, since);
        });
    return to_array(value_or_raise(ranges));
}

py::dict machine() {
    auto loop = make_loop();
    const bool uring = make_loop(LoopKind::uring).ok();
    struct utsname system {};
    ::uname(&system);
    py::dict dict;
    dict["io_uring"] = uring;
    dict["loop"] = value_or_raise(loop)->name();
    dict["kernel"] = static_cast<const char*>(system.release);
    dict["processors"] = std::thread::hardware_concurrency();
#if defined(__x86_64__)
    dict["sse4_2"] = __builtin_cpu_supports("sse4.2") != 0;
    dict["avx2"] = __builtin_cpu_supports("avx2") != 0;
#endif
    return dict;
}

const char* backing_name(Backing backing) {
    switch (backing) {
        case Backing::memory: return "memory";
        case Backing::page_cache: return "page_cache";
        case Backing::direct: return "direct";
    }
    return "page_cache";
}

struct Probe {
    FileInfo info;
    bool holes = false;  // the file system tells holes from data
};

// As a plex would be opened, but without lock and for reading.
Task<Result<Probe>> probe(Loop& loop, std::string path) {
    OpenOptions options;
    options.direct = true;
    auto file = loop.open(path, options);
    if (!file.ok()) co_return file.error();
    Probe found;
    found.info = (*file)->info();
    const auto extents = (*file)->extents({0, found.info.size});
    found.holes = extents.ok() && !found.info.is_block_device;
    co_return found;
}

py::dict probe_file(const Path& path) {
    auto found =
        run_without_gil<Probe>([file = absolute_path(path)](Loop& loop) { return probe(loop, file); });
    const Probe facts = value_or_raise(found);
    py::dict dict;
    dict["size"] = facts.info.size;
    dict["backing"] = backing_name(facts.info.backing);
    dict["direct"] = facts.info.direct;
    dict["alignment"] = facts.info.alignment;
    dict["sector_size"] = facts.info.sector_size;
    dict["block_device"] = facts.info.is_block_device;
    dict["holes"] = facts.holes;
    return dict;
}

// A folder of its own for the volume file, gone with it.
class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "exshadow-XXXXXX").native();
        if (::mkdtemp(pattern.data()) == nullptr) raise(os_error(errno, "make", pattern));
        path_ = pattern;
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] const Path& path() const { return path_; }

private:
    Path path_;
};

// Ends the engine with the GIL freed, whatever happens.
class ShortHost {
public:
    explicit ShortHost(LoopKind kind) : host_(value_or_raise(EngineHost::make(kind))) {}
    ShortHost(const ShortHost&) = delete;
    ShortHost& operator=(const ShortHost&) = delete;
    ~ShortHost() {
        const py::gil_scoped_release release;
        host_.reset();
    }
    EngineHost& operator*() { return *host_; }

private:
    std::unique_ptr<EngineHost> host_;
};

py::dict copy_benchmark(const Path& source, const Path& target, const std::string& loop, bool direct,
                        ByteCount depth) {
    const TemporaryFolder folder;
    CopyBenchmark benchmark;
    benchmark.source = absolute_path(source);
    benchmark.target = absolute_path(target);
    benchmark.volume_file = (folder.path() / "benchmark.exv").native();
    benchmark.direct = direct;
    benchmark.depth = static_cast<std::uint32_t>(std::min<std::uint64_t>(depth.value, 1024));
    JobHandle handle;
    handle.job = std::make_shared<Job>("sync");
    ShortHost host(loop_kind(loop));
    handle.end = (*host).start<Status>(
        [benchmark, job = handle.job] { return run_copy_benchmark(*Loop::current(), benchmark, job); });
    try {
        finish(handle.end);
    } catch (...) {
        handle.job->cancel();
        throw;
    }
    py::dict dict = progress_of(handle);
    dict["seconds"] = static_cast<double>(handle.job->finished_ns - handle.job->started_ns) / 1e9;
    return dict;
}

struct MapTimes {
    double mark_ns = 0;
    double scan_ms = 0;
};

double elapsed_ns(std::chrono::steady_clock::time_point since) {
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - since).count();
}

MapTimes time_change_map(std::uint64_t size, std::uint32_t region_size, std::uint64_t marks,
                         std::uint64_t seed) {
    ChangeMap map(size, region_size);
    std::mt19937_64 random(seed);
    std::vector<Range> hot(std::min<std::uint64_t>(marks, 1 << 20));
    for (Range& range : hot) range = {random() % map.regions() * region_size, 1};
    for (const Range& range : hot) map.mark(range);  // every word exists from here on
    const auto marking = std::chrono::steady_clock::now();
    for (std::uint64_t at = 0, i = 0; at < marks; ++at) {
        map.mark(hot[i]);
        if (++i == hot.size()) i = 0;
    }
    MapTimes times;
    times.mark_ns = elapsed_ns(marking) / static_cast<double>(marks);
    const auto scanning = std::chrono::steady_clock::now();
    std::uint64_t from = 0;
    while (const auto run = map.next_run(from, map.regions())) from = divide_up(run->end(), region_size);
    times.scan_ms = elapsed_ns(scanning) / 1e6;
    return times;
}

py::dict change_map_benchmark(ByteCount size, ByteCount region_size, ByteCount marks, ByteCount seed) {
    const std::uint64_t region = region_size.value;
    if (size.value == 0 || marks.value == 0 || !is_power_of_two(region) || region < 4 * KiB ||
        region > 64 * MiB) {
        raise(
            Error(Code::invalid, "size and marks start at 1, region_size is a power of two from 4K to 64M"));
    }
    MapTimes times;
    {
        const py::gil_scoped_release release;
        times = time_change_map(size.value, static_cast<std::uint32_t>(region), marks.value, seed.value);
    }
    py::dict dict;
    dict["mark_ns"] = times.mark_ns;
    dict["scan_ms"] = times.scan_ms;
    return dict;
}

}  // namespace

void register_facts(py::module_& module) {
    module.def("inspect", &inspect_file, py::arg("path"), py::kw_only(),
               py::arg("metadata_copy") = py::none(),
               "Read a volume file without locking or starting anything.");
    module.def("inspect_changed", &inspect_file_changed, py::arg("path"), py::arg("label"),
               py::arg("since") = py::none(), py::kw_only(), py::arg("metadata_copy") = py::none(),
               "Snapshot.changed() from the volume file alone, also while another process has it open.");
    module.def("machine", &machine, "What this machine offers: io_uring, loop chosen, SIMD levels.");
    module.def("probe_file", &probe_file, py::arg("path"),
               "How a file or device would be driven: backing, direct, alignment, sector size, size, holes.");
    module.def("copy_benchmark", &copy_benchmark, py::arg("source"), py::arg("target"), py::kw_only(),
               py::arg("loop") = "auto", py::arg("direct") = true, py::arg("depth") = ByteCount{0},
               "Copy one file onto another of the same size with the engine's copier, flush included.");
    module.def("change_map_benchmark", &change_map_benchmark, py::arg("size"), py::arg("region_size"),
               py::arg("marks"), py::arg("seed") = ByteCount{1},
               "mark_ns: nanoseconds per random mark of regions touched before; scan_ms: milliseconds for a "
               "walk over "
               "the resulting map.");
}

}  // namespace exshadow::python
