// Bytes and numbers between Python and the engine: buffers, byte counts, arrays of extents.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/units.h"
#include "bindings/pending.h"
#include "volume/fan_out.h"

namespace exshadow::python {

namespace py = pybind11;

// An offset, length or size: any integer from 0 to 2^63-1, else InvalidError.
struct ByteCount {
    std::uint64_t value = 0;
};
[[nodiscard]] std::uint64_t to_byte_count(py::handle number);

// A C-contiguous buffer of any object, held until this goes. Made and destroyed under the GIL.
class BufferView {
public:
    enum class Access : std::uint8_t { reading, writing };
    BufferView(py::handle object, Access access);
    // The storage of a new bytes object that nobody else has seen yet.
    explicit BufferView(const py::bytes& fresh);
    BufferView(const BufferView&) = delete;
    BufferView& operator=(const BufferView&) = delete;
    ~BufferView();

    [[nodiscard]] std::span<std::byte> bytes() const;
    [[nodiscard]] std::uint64_t size() const { return static_cast<std::uint64_t>(view_.len); }

private:
    Py_buffer view_{};
};

// A private copy that the engine may keep (E13). Needs no GIL as long as `view` lives.
[[nodiscard]] Payload copy_payload(const BufferView& view);

// Keep `view` until the operation that still uses it has ended; then a later call gives it back. For waits
// that a signal broke off. Under the GIL, like release_parked().
void park(std::shared_ptr<const Completion> until, std::unique_ptr<BufferView> view);
void release_parked();

// (n, 2) int64: offset and length.
[[nodiscard]] py::array_t<std::int64_t> to_array(const Ranges& ranges);

}  // namespace exshadow::python

namespace pybind11::detail {

template <>
struct type_caster<exshadow::python::ByteCount> {
    PYBIND11_TYPE_CASTER(exshadow::python::ByteCount, const_name("int"));

    bool load(handle source, bool) {
        if (!source || PyIndex_Check(source.ptr()) == 0) return false;
        value.value = exshadow::python::to_byte_count(source);
        return true;
    }
    static handle cast(exshadow::python::ByteCount number, return_value_policy, handle) {
        return PyLong_FromUnsignedLongLong(number.value);
    }
};

}  // namespace pybind11::detail
