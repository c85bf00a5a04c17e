#include <exception>

#include "bindings/handles.h"
#include "bindings/vss_actors.h"
#include "bindings/vss_session.h"
#include "bindings/vss_values.h"
#include "runtime/loop.h"
#include "vss/documents.h"

namespace exshadow::python {

KeptObject::~KeptObject() {
    if (Py_IsInitialized() == 0) {
        object_.release();  // the interpreter is gone, and the object with it
        return;
    }
    // An engine's loop never takes the GIL (E34): Python drops the object when it comes round to it.
    if (Loop::current() != nullptr) {
        const auto drop = [](void* object) {
            Py_DECREF(static_cast<PyObject*>(object));
            return 0;
        };
        if (Py_AddPendingCall(drop, object_.ptr()) == 0) {
            object_.release();
            return;
        }
    }
    const py::gil_scoped_acquire acquire;
    object_ = py::object();
}

vss::WriterCall& WriterCallHandle::get() {
    if (call_ == nullptr) {
        raise_vss(
            Error(Code::closed, "the writer's callback is over", "use the call inside its callback only"));
    }
    return *call_;
}

namespace {

using vss::WriterAnswer;
using vss::WriterCall;

class PythonWriter final : public vss::BlockingWriter {
public:
    PythonWriter(vss::WriterOptions options, py::object actor, py::object answer)
        : options_(std::move(options)), actor_(std::move(actor)), answer_(std::move(answer)) {}

    const vss::WriterOptions& options() const override { return options_; }

    // What is caught below is Python's exception, or pybind11's for a value of another type.
    Result<vss::WriterMetadata> identify(WriterCall& call) override {
        const py::gil_scoped_acquire acquire;
        try {
            auto metadata = value_from<vss::WriterMetadata>(ask(call));
            const auto document = vss::serialise(metadata);  // one that cannot be written spoils all others'
            if (!document.ok()) return document.error().within("writer '" + options_.name + "'");
            return metadata;
        } catch (const std::exception& failure) {
            return vss::vss_error(vss::HResult::vss_e_writererror_nonretryable,
                                  "writer '" + options_.name + "': " + failure.what());
        }
    }
    WriterAnswer on_prepare_backup(WriterCall& call) override { return answered(call); }
    WriterAnswer on_prepare_snapshot(WriterCall& call) override { return answered(call); }
    WriterAnswer on_freeze(WriterCall& call) override { return answered(call); }
    WriterAnswer on_thaw(WriterCall& call) override { return answered(call); }
    WriterAnswer on_abort(WriterCall& call) override { return answered(call); }
    WriterAnswer on_post_snapshot(WriterCall& call) override { return answered(call); }
    WriterAnswer on_backup_complete(WriterCall& call) override { return answered(call); }
    WriterAnswer on_backup_shutdown(WriterCall& call) override { return answered(call); }
    WriterAnswer on_pre_restore(WriterCall& call) override { return answered(call); }
    WriterAnswer on_post_restore(WriterCall& call) override { return answered(call); }

private:
    // Under the GIL.
    py::object ask(WriterCall& call) {
        const auto handle = std::make_shared<WriterCallHandle>(call);
        struct End {
            WriterCallHandle& handle;
            ~End() { handle.end(); }
        } const end{*handle};
        return answer_.get()(actor_.get(), std::string(vss::word(call.event())), handle);
    }

    WriterAnswer answered(WriterCall& call) {
        const py::gil_scoped_acquire acquire;
        try {
            return value_from<WriterAnswer>(ask(call));
        } catch (const std::exception& failure) {
            return WriterAnswer::fail(vss::HResult::vss_e_writererror_nonretryable, failure.what());
        }
    }

    const vss::WriterOptions options_;
    const KeptObject actor_;
    const KeptObject answer_;
};

using CallClass = py::class_<WriterCallHandle, std::shared_ptr<WriterCallHandle>>;

// An edit of the writer's part of the document: (logical path, name, value).
template <class T>
auto edit(Status (WriterCall::*method)(std::string_view, std::string_view, T)) {
    return [method](WriterCallHandle& self, const std::string& path, const std::string& name,
                    const py::object& value) {
        raise_vss_if((self.get().*method)(path, name, value_from<T>(value)));
    };
}

}  // namespace

std::shared_ptr<vss::BlockingWriter> python_writer(vss::WriterOptions options, py::object actor,
                                                   py::object answer) {
    return std::make_shared<PythonWriter>(std::move(options), std::move(actor), std::move(answer));
}

void register_vss_writer_call(py::module_& module) {
    CallClass(module, "VssWriterCall", "One event sent to a writer; inside its callback only.",
              plain_metaclass())
        .def(py::init(&not_constructible<WriterCallHandle>))
        .def("facts", [](WriterCallHandle& self) { return to_python(self.get().facts()); })
        .def("components", [](WriterCallHandle& self) { return to_python(self.get().components()); })
        .def("is_path_affected", [](WriterCallHandle& self,
                                    const std::string& path) { return self.get().is_path_affected(path); })
        .def("abandoned", [](WriterCallHandle& self) { return self.get().abandoned(); })
        .def("set_backup_metadata", edit(&WriterCall::set_backup_metadata))
        .def("set_restore_metadata", edit(&WriterCall::set_restore_metadata))
        .def("set_backup_stamp", edit(&WriterCall::set_backup_stamp))
        .def("add_partial_file", edit(&WriterCall::add_partial_file))
        .def("add_differenced_file", edit(&WriterCall::add_differenced_file))
        .def("set_restore_target", edit(&WriterCall::set_restore_target))
        .def("add_directed_target", edit(&WriterCall::add_directed_target))
        .def("set_pre_restore_failure", edit(&WriterCall::set_pre_restore_failure))
        .def("set_post_restore_failure", edit(&WriterCall::set_post_restore_failure))
        .def("set_component_failure", edit(&WriterCall::set_component_failure));
}

}  // namespace exshadow::python
