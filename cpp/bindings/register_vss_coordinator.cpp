// VssCoordinator: the machine's own coordinator with a thread of its own.
#include <pybind11/stl.h>

#include "bindings/handles.h"
#include "bindings/vss_actors.h"
#include "bindings/vss_coordinator.h"
#include "bindings/vss_session.h"
#include "bindings/vss_values.h"

namespace exshadow::python {

namespace {

std::shared_ptr<CoordinatorHandle> make_coordinator(const std::string& machine, const py::object& limits,
                                                    const std::optional<std::string>& slot,
                                                    const std::shared_ptr<EngineHost>& engine,
                                                    PathTable paths) {
    vss::CoordinatorOptions options;
    options.machine = machine;
    from_python(limits, options.limits);
    if (slot) {
        options.slot = vss::file_slot(*slot);
        options.import_slot = vss::file_slot(*slot + ".import");
    }
    return std::make_shared<CoordinatorHandle>(std::move(options), engine, std::move(paths));
}

py::object id_or_raise(const Result<Uuid>& id) {
    if (!id.ok()) raise_vss(id.error());
    return to_python(*id);
}

py::list callbacks_of(CoordinatorHandle& self) {
    py::list list;
    for (const auto& one : self.callbacks()) {
        list.append(py::make_tuple(to_python(one.actor), to_python(one.actor_id), one.of_writer,
                                   std::string(one.event), one.at));
    }
    return list;
}

py::object add_writer(CoordinatorHandle& self, const py::object& options, py::object writer,
                      py::object answer) {
    const auto made =
        python_writer(value_from<vss::WriterOptions>(options), std::move(writer), std::move(answer));
    return id_or_raise(self.call([&](vss::CoordinatorHost& host) { return host.register_writer(made); }));
}

void add_provider(CoordinatorHandle& self, const py::object& facts, py::object provider, py::object answer) {
    const auto made =
        python_provider(value_from<vss::ProviderFacts>(facts), std::move(provider), std::move(answer));
    raise_vss_if(self.call([&](vss::CoordinatorHost& host) { return host.register_provider(made); }));
}

}  // namespace

void register_vss_coordinator(py::module_& module) {
    register_vss_writer_call(module);
    py::class_<CoordinatorHandle, std::shared_ptr<CoordinatorHandle>>(
        module, "VssCoordinator", "The service's part; exshadow.vss.Coordinator is its typed face.",
        plain_metaclass())
        .def(py::init(&make_coordinator), py::arg("machine"), py::arg("limits"), py::arg("slot"),
             py::arg("engine") = py::none(), py::arg("paths") = PathTable())
        .def("register_writer", &add_writer, py::arg("options"), py::arg("writer"), py::arg("answer"))
        .def("unregister_writer",
             [](CoordinatorHandle& self, const py::object& instance) {
                 const auto id = value_from<Uuid>(instance);
                 raise_vss_if(
                     self.call([&](vss::CoordinatorHost& host) { return host.unregister_writer(id); }));
             })
        .def("register_provider", &add_provider, py::arg("facts"), py::arg("provider"), py::arg("answer"))
        .def("unregister_provider",
             [](CoordinatorHandle& self, const py::object& provider) {
                 const auto id = value_from<Uuid>(provider);
                 raise_vss_if(
                     self.call([&](vss::CoordinatorHost& host) { return host.unregister_provider(id); }));
             })
        .def("new_session",
             [](const std::shared_ptr<CoordinatorHandle>& self) {
                 auto interruption = std::make_shared<Interruption>();
                 auto requestor = self->call([&](vss::CoordinatorHost& host) {
                     return host.new_requestor([interruption] { return interruption->look(); });
                 });
                 return std::make_shared<SessionHandle>(std::move(requestor), nullptr,
                                                        std::move(interruption));
             })
        .def("callbacks", &callbacks_of,
             "The calls of writers and providers: name, id, whether a writer, event, nanoseconds.")
        .def("troubles", &CoordinatorHandle::troubles, "What could not be undone, for people.")
        .def("close", &CoordinatorHandle::close, "Abort what is open. May be repeated.");
}

}  // namespace exshadow::python
