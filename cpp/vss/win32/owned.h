// Owners of what COM hands out, each freed as its kind wants: interfaces, BSTRs, task memory.
#pragma once

#include <windows.h>

#include <oleauto.h>

#include <string>
#include <string_view>
#include <utility>

#include "vss/win32/text.h"

namespace exshadow::vss::win32 {

// An interface pointer that is released. `out()` is for calls that give a new reference.
template <class Interface>
class ComPtr {
public:
    ComPtr() = default;
    ComPtr(ComPtr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    ComPtr(const ComPtr&) = delete;
    ComPtr& operator=(const ComPtr&) = delete;
    ComPtr& operator=(ComPtr&& other) noexcept {
        if (this != &other) {
            reset();
            object_ = std::exchange(other.object_, nullptr);
        }
        return *this;
    }
    ~ComPtr() { reset(); }

    void reset() {
        if (object_ != nullptr) std::exchange(object_, nullptr)->Release();
    }
    [[nodiscard]] Interface** out() {
        reset();
        return &object_;
    }
    [[nodiscard]] Interface* get() const { return object_; }
    Interface* operator->() const { return object_; }
    explicit operator bool() const { return object_ != nullptr; }

    // The same object by another interface; empty when it has none.
    template <class Other>
    [[nodiscard]] ComPtr<Other> as() const {
        ComPtr<Other> other;
        void* found = nullptr;
        if (object_ != nullptr && SUCCEEDED(object_->QueryInterface(__uuidof(Other), &found)))
            *other.out() = static_cast<Other*>(found);
        return other;
    }

private:
    Interface* object_ = nullptr;
};

class Bstr {
public:
    Bstr() = default;
    explicit Bstr(std::string_view text) {
        const auto units = wide(text);
        text_ = SysAllocStringLen(units.data(), static_cast<UINT>(units.size()));
    }
    Bstr(const Bstr&) = delete;
    Bstr& operator=(const Bstr&) = delete;
    ~Bstr() { SysFreeString(text_); }

    [[nodiscard]] BSTR* out() {
        SysFreeString(std::exchange(text_, nullptr));
        return &text_;
    }
    [[nodiscard]] BSTR get() const { return text_; }
    [[nodiscard]] std::string text() const {
        return text_ == nullptr ? std::string() : utf8(std::wstring_view(text_, SysStringLen(text_)));
    }

private:
    BSTR text_ = nullptr;
};

// A text of CoTaskMemAlloc.
class TaskText {
public:
    TaskText() = default;
    TaskText(const TaskText&) = delete;
    TaskText& operator=(const TaskText&) = delete;
    ~TaskText() { CoTaskMemFree(text_); }

    [[nodiscard]] wchar_t** out() {
        CoTaskMemFree(std::exchange(text_, nullptr));
        return &text_;
    }
    [[nodiscard]] std::string text() const { return utf8(text_); }

private:
    wchar_t* text_ = nullptr;
};

// A flag that a call fills in: the SDK's headers say bool, mingw-w64's a boolean of one byte.
class OutFlag {
public:
    operator bool*() { return reinterpret_cast<bool*>(&byte_); }  // NOLINT(google-explicit-constructor)
    operator unsigned char*() { return &byte_; }                  // NOLINT(google-explicit-constructor)
    [[nodiscard]] bool value() const { return byte_ != 0; }

private:
    unsigned char byte_ = 0;
};

}  // namespace exshadow::vss::win32
