#include "bindings/buffers.h"

#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "bindings/errors.h"

namespace exshadow::python {

namespace {

struct Parked {
    std::shared_ptr<const Completion> until;
    std::unique_ptr<BufferView> view;
};

std::vector<Parked>& parked() {
    static auto* const list = new std::vector<Parked>;  // may outlive the interpreter: never destroyed
    return *list;
}

}  // namespace

std::uint64_t to_byte_count(py::handle number) {
    const auto integer = py::reinterpret_steal<py::object>(PyNumber_Index(number.ptr()));
    if (!integer) throw py::error_already_set();
    int overflow = 0;
    const long long found = PyLong_AsLongLongAndOverflow(integer.ptr(), &overflow);
    if (found == -1 && overflow == 0 && PyErr_Occurred() != nullptr) throw py::error_already_set();
    if (overflow == 0 && found >= 0) return static_cast<std::uint64_t>(found);
    raise(Error(Code::invalid,
                "offsets, lengths and sizes go from 0 to 2^63-1, not " + std::string(py::str(integer))));
}

BufferView::BufferView(py::handle object, Access access) {
    const int flags = access == Access::writing ? PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS : PyBUF_C_CONTIGUOUS;
    if (PyObject_GetBuffer(object.ptr(), &view_, flags) == 0) return;
    py::error_already_set error;
    if (!error.matches(PyExc_BufferError) && !error.matches(PyExc_ValueError)) throw error;
    raise(Error(
        Code::invalid, "the buffer cannot be used: " + std::string(py::str(error.value())),
        access == Access::writing ? "pass a writable C-contiguous buffer" : "pass a C-contiguous buffer"));
}

BufferView::BufferView(const py::bytes& fresh) {
    if (PyObject_GetBuffer(fresh.ptr(), &view_, PyBUF_SIMPLE) != 0) throw py::error_already_set();
}

BufferView::~BufferView() {
    PyBuffer_Release(&view_);
}

std::span<std::byte> BufferView::bytes() const {
    return {static_cast<std::byte*>(view_.buf), static_cast<std::size_t>(view_.len)};
}

Payload copy_payload(const BufferView& view) {
    const auto copy = std::make_shared<AlignedBuffer>(view.size());
    if (view.size() != 0) std::memcpy(copy->data(), view.bytes().data(), view.size());
    return {copy, copy->span()};
}

void park(std::shared_ptr<const Completion> until, std::unique_ptr<BufferView> view) {
    parked().push_back({std::move(until), std::move(view)});
}

void release_parked() {
    auto& list = parked();
    if (list.empty()) return;
    // Giving a buffer back may run Python code, which may come here again.
    std::vector<std::unique_ptr<BufferView>> ended;
    for (auto& entry : list) {
        if (entry.until->done()) ended.push_back(std::move(entry.view));
    }
    std::erase_if(list, [](const Parked& entry) { return entry.view == nullptr; });
}

py::array_t<std::int64_t> to_array(const Ranges& ranges) {
    py::array_t<std::int64_t> array({static_cast<py::ssize_t>(ranges.size()), py::ssize_t{2}});
    auto cells = array.mutable_unchecked<2>();
    for (py::ssize_t row = 0; row < cells.shape(0); ++row) {
        const Range& range = ranges[static_cast<std::size_t>(row)];
        cells(row, 0) = static_cast<std::int64_t>(range.offset);
        cells(row, 1) = static_cast<std::int64_t>(range.length);
    }
    return array;
}

}  // namespace exshadow::python
