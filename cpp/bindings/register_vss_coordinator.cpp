// VssCoordinator: the machine's own coordinator with a thread of its own.
#include <pybind11/stl.h>

#include <deque>
#include <mutex>

#include "bindings/handles.h"
#include "bindings/vss_actors.h"
#include "bindings/vss_session.h"
#include "bindings/vss_values.h"
#include "vss/coordinator/host.h"

namespace exshadow::python {

namespace {

// The callbacks as they were made, the last so many. Written on the loop, read from any thread.
class CallbackRecord {
public:
    void add(const vss::Callback& callback) {
        const std::lock_guard lock(mutex_);
        if (callbacks_.size() == capacity) callbacks_.pop_front();
        callbacks_.push_back(callback);
    }
    std::vector<vss::Callback> all() {
        const std::lock_guard lock(mutex_);
        return {callbacks_.begin(), callbacks_.end()};
    }

private:
    static constexpr std::size_t capacity = 10'000;
    std::mutex mutex_;
    std::deque<vss::Callback> callbacks_;
};

// Any thread. Closing it waits for callbacks that still run, with the GIL free.
class CoordinatorHandle {
public:
    explicit CoordinatorHandle(vss::CoordinatorOptions options) {
        options.observe = [record = record_](const vss::Callback& callback) { record->add(callback); };
        host_ = std::make_shared<vss::CoordinatorHost>(std::move(options));
    }
    CoordinatorHandle(const CoordinatorHandle&) = delete;
    CoordinatorHandle& operator=(const CoordinatorHandle&) = delete;
    ~CoordinatorHandle() { close(); }

    void close() {
        std::shared_ptr<vss::CoordinatorHost> last;
        {
            const std::lock_guard lock(mutex_);
            last.swap(host_);
        }
        if (PyGILState_Check() == 0) return last.reset();
        const py::gil_scoped_release release;
        last.reset();
    }

    template <class Function>
    auto call(Function function) {
        const auto host = open_host();
        const py::gil_scoped_release release;
        return function(*host);
    }
    std::vector<vss::Callback> callbacks() { return record_->all(); }

private:
    std::shared_ptr<vss::CoordinatorHost> open_host() {
        const std::lock_guard lock(mutex_);
        if (!host_) raise_vss(Error(Code::closed, "the coordinator is closed"));
        return host_;
    }

    std::mutex mutex_;
    std::shared_ptr<CallbackRecord> record_ = std::make_shared<CallbackRecord>();
    std::shared_ptr<vss::CoordinatorHost> host_;
};

std::shared_ptr<CoordinatorHandle> make_coordinator(const std::string& machine, const py::object& limits,
                                                    const std::optional<std::string>& slot) {
    vss::CoordinatorOptions options;
    options.machine = machine;
    from_python(limits, options.limits);
    if (slot) options.slot = vss::file_slot(*slot);
    return std::make_shared<CoordinatorHandle>(std::move(options));
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
        .def(py::init(&make_coordinator), py::arg("machine"), py::arg("limits"), py::arg("slot"))
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
                 return std::make_shared<SessionHandle>(
                     self->call([](vss::CoordinatorHost& host) { return host.new_requestor(); }), nullptr);
             })
        .def("callbacks", &callbacks_of,
             "The calls of writers and providers: name, id, whether a writer, event, nanoseconds.")
        .def("close", &CoordinatorHandle::close,
             "Abort what is open and wait for callbacks that still run. May be repeated.");
}

}  // namespace exshadow::python
