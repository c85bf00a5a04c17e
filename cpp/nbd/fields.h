// Fields: a bounded reader of the bytes of one option, and the writer of its replies. A read past the end
// answers nothing and makes ok() false for good; nothing is ever read beyond the span.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nbd/protocol.h"

namespace exshadow::nbd {

class Fields {
public:
    explicit Fields(std::span<const std::byte> bytes) : rest_(bytes) {}

    template <class T>
    T number() {
        if (!ok_ || rest_.size() < sizeof(T)) {
            ok_ = false;
            return T{0};
        }
        const T value = load<T>(rest_);
        rest_ = rest_.subspan(sizeof(T));
        return value;
    }
    // Text with its length in front; too long a text is as bad as one that is cut off.
    std::string text() {
        const auto length = number<std::uint32_t>();
        if (!ok_ || length > longest_name || length > rest_.size()) {
            ok_ = false;
            return {};
        }
        std::string value(reinterpret_cast<const char*>(rest_.data()), length);
        rest_ = rest_.subspan(length);
        return value;
    }
    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] bool at_end() const { return ok_ && rest_.empty(); }

private:
    std::span<const std::byte> rest_;
    bool ok_ = true;
};

void append_bytes(std::vector<std::byte>& bytes, std::span<const std::byte> more);

template <class T>
void append(std::vector<std::byte>& bytes, T value) {
    const T wire = big_endian(value);
    append_bytes(bytes, std::as_bytes(std::span(&wire, 1)));
}

inline void append_text(std::vector<std::byte>& bytes, std::string_view text) {
    append_bytes(bytes, std::as_bytes(std::span(text)));
}

}  // namespace exshadow::nbd
