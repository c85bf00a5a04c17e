// ESE files: headers and checks as dictionaries (the TypedDicts Ese... of _core.pyi).
#include <pybind11/functional.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <utility>

#include "bindings/handles.h"
#include "ese/log.h"
#include "ese/scan.h"

namespace exshadow::python {

namespace {

using namespace ese;

constexpr std::size_t start_size = 64 << 10;  // holds both header copies of any page size

// What a signal's handler raised while a stream was waited for.
struct Interruption {
    std::exception_ptr raised;
    bool go_on() {
        const py::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals() == 0) return true;
        raised = std::make_exception_ptr(py::error_already_set());
        return false;
    }
};

struct EseFile {
    std::unique_ptr<Source> source;
    std::shared_ptr<Interruption> interruption = std::make_shared<Interruption>();

    // The value, or what was raised meanwhile.
    template <class Value>
    Value take(Result<Value>& result) const {
        if (auto raised = std::exchange(interruption->raised, nullptr)) std::rethrow_exception(raised);
        return value_or_raise(result);
    }
};

Result<std::vector<std::byte>> read_whole(Source& source, std::uint64_t offset, std::size_t count) {
    std::vector<std::byte> bytes(count);
    const auto got = source.read(offset, bytes);
    if (!got.ok()) return got.error();
    bytes.resize(*got);
    return bytes;
}

std::vector<std::byte> start_of(const EseFile& file, std::size_t count) {
    auto bytes = [&] {
        const py::gil_scoped_release release;
        return read_whole(*file.source, 0, count);
    }();
    return file.take(bytes);
}

py::object generations(const BackupMark& mark) {
    if (mark == BackupMark{}) return py::none();
    py::dict dict;
    dict["time"] = mark.time.text();
    dict["lowest"] = mark.lowest;
    dict["highest"] = mark.highest;
    return dict;
}

py::dict database_header(const EseFile& file) {
    const auto start = start_of(file, start_size);
    auto result = choose_header(start);
    const auto& chosen = value_or_raise(result);
    const auto& header = chosen.header;
    py::dict dict;
    dict["first_good"] = chosen.first_good;
    dict["second_good"] = chosen.second_good;
    dict["equal"] = chosen.equal;
    dict["format"] = header.format;
    dict["revision"] = header.revision;
    dict["minor_revision"] = header.minor_revision;
    dict["streaming"] = header.streaming;
    dict["dbtime"] = header.dbtime;
    dict["state"] = std::string(name(header.state));
    dict["state_number"] = static_cast<std::uint32_t>(header.state);
    dict["page_size"] = header.page_size;
    dict["shadow_kept"] = header.shadow_kept();
    dict["has_stm"] = header.has_stm();
    dict["temporary"] = header.temporary();
    dict["streaming_image"] = header.streaming_image();
    dict["lowest_required"] = header.lowest_required;
    dict["highest_required"] = header.highest_required;
    dict["highest_committed"] = header.highest_committed;
    dict["repair_count"] = header.repair_count;
    dict["file_type"] = header.file_type;
    dict["signature"] = header.signature.text();
    dict["log_signature"] = header.log_signature.text();
    dict["stm_signature"] = header.stm_signature.text();
    dict["flush_signature"] = header.flush_signature.text();
    dict["flush_map_signature"] = header.flush_map_signature.text();
    dict["previous_full"] = generations(header.previous_full);
    dict["previous_incremental"] = generations(header.previous_incremental);
    dict["previous_copy"] = generations(header.previous_copy);
    dict["previous_differential"] = generations(header.previous_differential);
    dict["current_full"] = generations(header.current_full);
    return dict;
}

LogHeader parsed_log_header(const EseFile& file) {
    const auto start = start_of(file, log_header_size);
    auto result = read_log_header(start);
    return value_or_raise(result);
}

py::dict log_header(const EseFile& file) {
    const auto header = parsed_log_header(file);
    py::dict dict;
    dict["generation"] = header.generation;
    dict["sector_size"] = header.sector_size;
    dict["size"] = header.size();
    dict["page_size"] = header.page_size;
    dict["created"] = header.created.text();
    dict["previous_created"] = header.previous_created.text();
    dict["version"] = py::make_tuple(header.major, header.minor, header.update, header.update_minor);
    dict["signature"] = header.signature.text();
    dict["circular"] = header.circular;
    dict["reserve"] = header.reserve;
    dict["file_type"] = header.file_type;
    dict["previous_sum"] = header.has_previous_sum() ? py::object(py::int_(header.previous_sum)) : py::none();
    return dict;
}

// The caller's function may raise: the scan stops and the exception goes on.
class ProgressCall {
public:
    explicit ProgressCall(py::object function) : function_(std::move(function)) {}
    bool operator()(std::uint64_t bytes) {
        const py::gil_scoped_acquire acquire;
        try {
            if (!function_.is_none() && !function_(bytes).cast<bool>()) return false;
            if (PyErr_CheckSignals() == 0) return true;
            throw py::error_already_set();
        } catch (...) {
            failure_ = std::current_exception();
            return false;
        }
    }
    void rethrow() const {
        if (failure_) std::rethrow_exception(failure_);
    }

private:
    py::object function_;
    std::exception_ptr failure_;
};

// What `judge` says of the file, read at this pace.
template <class Judge>
auto read_paced(const EseFile& file, std::uint64_t limit, py::object progress, const Judge& judge) {
    ProgressCall call(std::move(progress));
    const auto source = paced(*file.source, {limit, [&call](std::uint64_t bytes) { return call(bytes); }});
    auto result = [&] {
        const py::gil_scoped_release release;
        return judge(*source);
    }();
    call.rethrow();
    return file.take(result);
}

py::dict log_body(const EseFile& file, bool current, std::uint64_t limit, py::object progress) {
    const auto header = parsed_log_header(file);
    const auto body = read_paced(file, limit, std::move(progress),
                                 [&](Source& source) { return check_log_body(source, header, current); });
    py::dict dict;
    dict["sound"] = body.sound;
    dict["torn_end"] = body.torn_end;
    dict["full"] = body.full;
    dict["segments"] = body.segments;
    dict["valid"] = body.valid;
    dict["stale"] = body.stale;
    dict["empty"] = body.empty;
    dict["bad"] = body.bad;
    dict["first_bad"] = body.first_bad;
    dict["correctable"] = body.correctable;
    dict["sum"] = body.sum;
    dict["trouble"] = body.trouble;
    return dict;
}

py::dict checkpoint(const EseFile& file) {
    const auto bytes = start_of(file, 2 * checkpoint_copy_size);
    auto result = read_checkpoint(bytes);
    const auto& found = value_or_raise(result);
    py::dict dict;
    dict["generation"] = found.position.generation;
    dict["sector"] = found.position.sector;
    dict["byte"] = found.position.byte;
    dict["last_full_backup"] = found.last_full_backup.generation;
    dict["log_signature"] = found.log_signature.text();
    dict["first_good"] = found.first_good;
    dict["second_good"] = found.second_good;
    dict["equal"] = found.equal;
    return dict;
}

py::dict flush_map(const EseFile& file) {
    const auto bytes = start_of(file, flush_map_page_size);
    auto result = read_flush_map_header(bytes);
    const auto& header = value_or_raise(result);
    py::dict dict;
    dict["clean"] = header.clean;
    dict["version"] = header.major;
    dict["lowest_required"] = header.lowest_required;
    dict["database_flush_signature"] = header.database_flush_signature.text();
    dict["map_flush_signature"] = header.map_flush_signature.text();
    return dict;
}

py::dict to_dict(const PageScan& scan);

py::dict flush_map_pages(const EseFile& file, std::uint64_t limit, py::object progress) {
    return to_dict(read_paced(file, limit, std::move(progress), &scan_flush_map));
}

const char* state_name(PageState state) {
    switch (state) {
        case PageState::good: return "good";
        case PageState::empty: return "empty";
        case PageState::correctable: return "correctable";
        case PageState::wrong_number: return "wrong_number";
        case PageState::wrong_place: return "wrong_place";
        case PageState::bad: return "bad";
    }
    return "bad";
}

py::list bad_pages(const PageScan& scan) {
    py::list list;
    for (const auto& [pgno, check] : scan.list) {
        py::dict dict;
        dict["page"] = pgno;
        dict["state"] = state_name(check.state);
        dict["block"] = check.block;
        dict["bit"] = check.bit;
        dict["belongs_at"] = check.belongs_at;
        dict["legacy"] = check.legacy;
        list.append(std::move(dict));
    }
    return list;
}

Method method_of(const std::string& name) {
    if (name == "automatic") return Method::automatic;
    const auto method = name == "avx2" ? Method::avx2 : Method::scalar;
    if ((name != "avx2" && name != "scalar") || !available(method)) {
        raise(Error(Code::invalid, "no method '" + name + "' here", "use automatic, scalar or avx2"));
    }
    return method;
}

py::dict to_dict(const Trailer& trailer) {
    py::dict dict;
    dict["lowest_required"] = trailer.lowest_required;
    dict["highest_required"] = trailer.highest_required;
    dict["highest_committed"] = trailer.highest_committed;
    dict["signature"] = trailer.signature.text();
    dict["log_signature"] = trailer.log_signature.text();
    return dict;
}

py::dict to_dict(const PageScan& scan) {
    py::dict dict;
    dict["pages"] = scan.pages;
    dict["bad"] = scan.bad;
    dict["correctable"] = scan.correctable;
    dict["wrong_place"] = scan.wrong_place;
    dict["empty"] = scan.empty;
    dict["empty_inside"] = scan.empty_inside;
    dict["legacy"] = scan.legacy;
    dict["last_used"] = scan.last_used;
    dict["highest_dbtime"] = scan.highest_dbtime;
    dict["highest_dbtime_page"] = scan.highest_dbtime_page;
    dict["odd_bytes"] = scan.odd_bytes;
    dict["list"] = bad_pages(scan);
    dict["trailer"] = scan.trailer ? py::object(to_dict(*scan.trailer)) : py::none();
    return dict;
}

py::dict scan(const EseFile& file, unsigned threads, std::uint64_t limit, std::size_t listed,
              const std::string& method, py::object progress) {
    const auto start = start_of(file, start_size);
    auto chosen = choose_header(start);
    const auto header = value_or_raise(chosen).header;
    ProgressCall call(std::move(progress));
    ScanOptions options;
    options.threads = threads;
    options.bytes_per_second = limit;
    options.listed = listed;
    options.method = method_of(method);
    options.progress = [&call](std::uint64_t bytes) { return call(bytes); };
    auto result = [&] {
        const py::gil_scoped_release release;
        return scan_pages(*file.source, header, options);
    }();
    call.rethrow();
    return to_dict(file.take(result));
}

EseFile open_path(const Path& path) {
    auto source = [name = absolute_path(path)] {
        const py::gil_scoped_release release;
        return open_file(name);
    }();
    return {std::move(value_or_raise(source))};
}

EseFile open_stream(int descriptor) {
    EseFile file;
    file.source =
        from_stream(descriptor, [interruption = file.interruption] { return interruption->go_on(); });
    return file;
}

}  // namespace

void register_ese(py::module_& module) {
    py::class_<EseFile>(module, "EseFile", "One file of the ESE engine, opened for reading only.",
                        plain_metaclass())
        .def_static("open", &open_path, py::arg("path"), "A regular file or block device.")
        .def_static("stream", &open_stream, py::arg("descriptor"),
                    "A pipe; the descriptor stays the caller's. Read once, in order.")
        .def_property_readonly(
            "size", [](const EseFile& file) { return file.source->size(); }, "Bytes; None for a stream.")
        .def(
            "start",
            [](const EseFile& file, std::size_t count) {
                const auto bytes = start_of(file, std::min(count, start_size));
                return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
            },
            py::arg("count"), "The first bytes, at most 64 KiB.")
        .def("database_header", &database_header,
             "The better of the two copies; CorruptError when none is sound.")
        .def("log_header", &log_header)
        .def("log_body", &log_body, py::arg("current"), py::kw_only(), py::arg("limit") = 0,
             py::arg("progress") = py::none(),
             "`current`: the log being written, where a torn end is repairable. The rest as in scan().")
        .def("checkpoint", &checkpoint)
        .def("flush_map", &flush_map)
        .def("flush_map_pages", &flush_map_pages, py::kw_only(), py::arg("limit") = 0,
             py::arg("progress") = py::none(), "Every data page of a flush map. Arguments as in scan().")
        .def("scan", &scan, py::kw_only(), py::arg("threads") = 0, py::arg("limit") = 0,
             py::arg("listed") = 1000, py::arg("method") = "automatic", py::arg("progress") = py::none(),
             "Every page. `limit`: bytes a second, 0 for none; `progress(bytes)` returns False to stop "
             "(CancelledError).");
}

}  // namespace exshadow::python
