// Writers and providers that are Python objects. Their calls come on threads of the coordinator; each takes
// the GIL for the time of the Python code alone. The functions `answer_writer` and `answer_provider` of
// exshadow.vss turn exceptions into answers.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <mutex>
#include <string>

#include "vss/coordinator/provider.h"
#include "vss/coordinator/writer.h"

namespace exshadow::python {

namespace py = pybind11;

// A Python object that is let go of under the GIL, on whatever thread that happens.
class KeptObject {
public:
    explicit KeptObject(py::object object) : object_(std::move(object)) {}
    KeptObject(const KeptObject&) = delete;
    KeptObject& operator=(const KeptObject&) = delete;
    ~KeptObject();
    [[nodiscard]] const py::object& get() const { return object_; }  // under the GIL

private:
    py::object object_;
};

// What a callback may ask and change; void when the callback has returned.
class WriterCallHandle {
public:
    explicit WriterCallHandle(vss::WriterCall& call) : call_(&call) {}
    [[nodiscard]] vss::WriterCall& get();  // raises when the callback is over
    void end() { call_ = nullptr; }

private:
    vss::WriterCall* call_;  // under the GIL
};

// `actor` is the Writer, `answer` the function that calls it: (actor, event, call) -> answer.
[[nodiscard]] std::shared_ptr<vss::BlockingWriter> python_writer(vss::WriterOptions options, py::object actor,
                                                                 py::object answer);
// `answer`: (actor, method, arguments) -> (HRESULT, text, value).
[[nodiscard]] std::shared_ptr<vss::BlockingProvider> python_provider(vss::ProviderFacts facts,
                                                                     py::object actor, py::object answer);

void register_vss_writer_call(py::module_& module);
void register_vss_coordinator(py::module_& module);

}  // namespace exshadow::python
