// What every client here shares: the SDK's headers, and the shape that mingw-w64's lack.
#pragma once

#include <windows.h>

#include <vsbackup.h>
#include <vss.h>
#include <vswriter.h>

#include <cstdio>
#include <cstring>
#include <string>

namespace client {

// The SDK's IVssWriterComponentsExt has IUnknown as its second base.
struct WriterComponents : IVssWriterComponents, IUnknown {};

// Owns what a call handed out.
template <class T>
class Owned {
public:
    Owned() = default;
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    ~Owned() { reset(); }
    void reset() {
        if (pointer_ != nullptr) pointer_->Release();
        pointer_ = nullptr;
    }
    T** out() {
        reset();
        return &pointer_;
    }
    T* operator->() const { return pointer_; }
    T* get() const { return pointer_; }

private:
    T* pointer_ = nullptr;
};

class Text {
public:
    Text() = default;
    Text(const Text&) = delete;
    Text& operator=(const Text&) = delete;
    ~Text() { SysFreeString(text_); }
    BSTR* out() {
        SysFreeString(text_);
        text_ = nullptr;
        return &text_;
    }
    BSTR get() const { return text_; }

private:
    BSTR text_ = nullptr;
};

// The result of the whole step: of the call when that failed, else of IVssAsync.
inline HRESULT wait(HRESULT began, Owned<IVssAsync>& step) {
    if (FAILED(began)) return began;
    HRESULT result = VSS_S_ASYNC_PENDING;
    while (result == VSS_S_ASYNC_PENDING) {
        const auto waited = step->Wait(1000);
        if (FAILED(waited)) return waited;
        const auto asked = step->QueryStatus(&result, nullptr);
        if (FAILED(asked)) return asked;
    }
    step.reset();
    return result;
}

}  // namespace client
