// The whole procedures of a requestor, on a coordinator. exshadow.vss.procedures gives them types.
#include <exception>
#include <utility>

#include "bindings/vss_actors.h"
#include "bindings/vss_coordinator.h"
#include "bindings/vss_values.h"
#include "vss/procedures.h"

namespace exshadow::python {

namespace {

// A procedure's way back to Python: every procedure runs with the GIL free, what it asks takes it again. An
// exception of Python ends the procedure and is raised when it has ended.
class Caller {
public:
    Caller(std::shared_ptr<CoordinatorHandle> coordinator, py::object stopped)
        : coordinator_(std::move(coordinator)), stopped_(std::move(stopped)) {}

    vss::Host host() {
        vss::Host host;
        host.make = [this]() -> Result<std::unique_ptr<vss::Requestor>> {
            return coordinator_->new_requestor([this] { return newly_asked_to_stop(); });
        };
        host.cancelled = [this] { return asked_to_stop(); };
        return host;
    }

    // What Python answers, or the error that ends the procedure.
    template <class Function>
    auto ask(Function function) -> decltype(function()) {
        const py::gil_scoped_acquire acquire;
        try {
            return function();
        } catch (const std::exception&) {
            raised_ = std::current_exception();
            told_ = true;
            return Error(Code::cancelled, "the caller's own part failed");
        }
    }

    template <class Function>
    auto run(Function function) {
        auto result = [&] {
            const py::gil_scoped_release release;
            return function();
        }();
        if (raised_) std::rethrow_exception(std::exchange(raised_, nullptr));
        return result;
    }

private:
    bool asked_to_stop() {
        if (told_) return true;
        const py::gil_scoped_acquire acquire;
        try {
            if (PyErr_CheckSignals() != 0) throw py::error_already_set();
            told_ = !stopped_.is_none() && stopped_().cast<bool>();
        } catch (const std::exception&) {
            raised_ = std::current_exception();
            told_ = true;
        }
        return told_;
    }
    // What cleans up after the stop is not stopped itself.
    bool newly_asked_to_stop() { return !told_ && asked_to_stop(); }

    std::shared_ptr<CoordinatorHandle> coordinator_;
    py::object stopped_;
    std::exception_ptr raised_;  // Python's, or pybind11's for an answer of another type
    bool told_ = false;          // to stop
};

using Coordinator = std::shared_ptr<CoordinatorHandle>;

// The error as Python's exception, or None; and the report, as far as it came.
template <class Outcome>
py::tuple outcome_of(const Outcome& outcome) {
    const auto error = outcome.status.ok() ? py::object(py::none()) : vss_exception(outcome.status.error());
    return py::make_tuple(error, to_python(outcome.report));
}

template <class T>
py::object value_or_raise_vss(const Result<T>& value) {
    if (!value.ok()) raise_vss(value.error());
    return to_python(*value);
}

// The caller's part between two steps: (report so far) -> Copied, None for all well.
template <class Report>
Result<vss::Copied> copied_by(Caller& caller, const py::object& function, const Report& so_far) {
    return caller.ask([&]() -> Result<vss::Copied> {
        if (function.is_none()) return vss::Copied{};
        const py::object answer = function(to_python(so_far));
        return answer.is_none() ? vss::Copied{} : value_from<vss::Copied>(answer);
    });
}

py::tuple backup(Coordinator coordinator, const py::object& request, py::object between, py::object stopped) {
    const auto wanted = value_from<vss::BackupRequest>(request);
    const auto paths = coordinator->paths();
    Caller caller(std::move(coordinator), std::move(stopped));
    auto host = caller.host();
    // Volumes that are named hold what the caller says they hold, mounted here or not.
    if (wanted.volumes.empty() && !paths->empty())
        host.volume_of = [paths](const std::string& path) { return volume_of(*paths, path); };
    return outcome_of(caller.run([&] {
        return vss::backup(host, wanted, [&](const vss::BackupReport& so_far) {
            return copied_by(caller, between, so_far);
        });
    }));
}

py::tuple restore(Coordinator coordinator, const py::object& request, py::object put_back,
                  py::object stopped) {
    const auto wanted = value_from<vss::RestoreRequest>(request);
    Caller caller(std::move(coordinator), std::move(stopped));
    return outcome_of(caller.run([&] {
        return vss::restore(caller.host(), wanted, [&](const vss::RestoreReport& so_far) {
            return copied_by(caller, put_back, so_far);
        });
    }));
}

py::object list_writers(Coordinator coordinator, const py::object& limits) {
    const auto wait = value_from<vss::WaitLimits>(limits);
    Caller caller(std::move(coordinator), py::none());
    return value_or_raise_vss(caller.run([&] { return vss::list_writers(caller.host(), wait); }));
}

py::object import_set(Coordinator coordinator, const std::string& document, const py::object& limits,
                      py::object use) {
    const auto wait = value_from<vss::WaitLimits>(limits);
    Caller caller(std::move(coordinator), py::none());
    const auto told = [&](const vss::ImportReport& report) {
        return caller.ask([&]() -> Status {
            if (!use.is_none()) use(to_python(report));
            return {};
        });
    };
    return value_or_raise_vss(
        caller.run([&] { return vss::import_set(caller.host(), document, wait, told); }));
}

void revert(Coordinator coordinator, const py::object& snapshot, bool force, const py::object& limits) {
    const auto id = value_from<Uuid>(snapshot);
    const auto wait = value_from<vss::WaitLimits>(limits);
    Caller caller(std::move(coordinator), py::none());
    raise_vss_if(caller.run([&] { return vss::revert(caller.host(), id, force, {}, wait); }));
}

void resync(Coordinator coordinator, const std::string& document, const py::object& pairs,
            const py::object& flags, const py::object& limits, bool writers) {
    const auto wanted = value_from<std::vector<vss::RecoveryPair>>(pairs);
    const auto how = value_from<vss::RecoveryFlags>(flags);
    const auto wait = value_from<vss::WaitLimits>(limits);
    Caller caller(std::move(coordinator), py::none());
    raise_vss_if(
        caller.run([&] { return vss::resync(caller.host(), document, wanted, how, wait, writers); }));
}

}  // namespace

void register_vss_procedures(py::module_& module) {
    module.def("vss_backup", &backup, py::arg("coordinator"), py::arg("request"), py::arg("between"),
               py::arg("stopped"), "The error or None, and the report as far as it came.");
    module.def("vss_restore", &restore, py::arg("coordinator"), py::arg("request"), py::arg("put_back"),
               py::arg("stopped"), "The error or None, and the report as far as it came.");
    module.def("vss_list_writers", &list_writers, py::arg("coordinator"), py::arg("limits"));
    module.def("vss_import_set", &import_set, py::arg("coordinator"), py::arg("document"), py::arg("limits"),
               py::arg("use"));
    module.def("vss_revert", &revert, py::arg("coordinator"), py::arg("snapshot"), py::arg("force"),
               py::arg("limits"));
    module.def("vss_resync", &resync, py::arg("coordinator"), py::arg("document"), py::arg("pairs"),
               py::arg("flags"), py::arg("limits"), py::arg("writers") = false);
}

}  // namespace exshadow::python
