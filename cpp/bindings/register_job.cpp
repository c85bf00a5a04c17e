#include <pybind11/stl.h>

#include "bindings/handles.h"

namespace exshadow::python {

namespace {

using std::chrono::steady_clock;

// For ever when there is no timeout, or one too long to count.
std::optional<steady_clock::time_point> deadline_after(std::optional<double> timeout) {
    constexpr double longest = 1e9;
    if (!timeout || *timeout > longest) return std::nullopt;
    const std::chrono::duration<double> span(*timeout > 0 ? *timeout : 0);
    return steady_clock::now() + std::chrono::duration_cast<steady_clock::duration>(span);
}

void wait_until(const JobHandle& job, steady_clock::time_point deadline) {
    constexpr steady_clock::duration slice = std::chrono::milliseconds(100);
    while (!job.end->done()) {
        const auto left = deadline - steady_clock::now();
        if (left <= steady_clock::duration::zero()) {
            raise(Error(Code::timed_out, "the " + job.job->kind() + " is not done yet",
                        "it goes on: wait again, or cancel it"));
        }
        {
            const py::gil_scoped_release release;
            static_cast<void>(job.end->wait_for(std::min(left, slice)));
        }
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    }
}

py::dict wait_for_job(const JobHandle& job, std::optional<double> timeout) {
    if (!job.end->done() && !job.host->usable()) raise_if(job.host->check());
    if (const auto deadline = deadline_after(timeout)) {
        wait_until(job, *deadline);
    } else {
        wait(*job.end);
    }
    raise_if(job.end->result());
    return progress_of(job);
}

}  // namespace

void register_job(py::module_& module) {
    py::class_<JobHandle, std::shared_ptr<JobHandle>>(
        module, "Job", "Something long that runs in the engine: a sync, resync, restore or verification.",
        plain_metaclass())
        .def(py::init(&not_constructible<JobHandle>))
        .def_property_readonly("kind", [](const JobHandle& self) { return self.job->kind(); })
        .def_property_readonly("done", [](const JobHandle& self) { return self.end->done(); })
        .def("progress", &progress_of, "How far it is; any time, also after its end.")
        .def("wait", &wait_for_job, py::arg("timeout") = py::none(),
             "Wait for the end; raises what the job failed with, TimeoutError after `timeout` seconds (the "
             "job "
             "goes on). Ctrl-C interrupts the wait, not the job.")
        .def(
            "cancel", [](const JobHandle& self) { self.job->cancel(); },
            "Ask the job to stop; what it did is kept and the state is resumable.")
        .def(
            "differences", [](const JobHandle& self) { return to_array(self.job->differences()); },
            "verify jobs: (n, 2) array of offset and length where in-sync plexes differed.");
}

}  // namespace exshadow::python
