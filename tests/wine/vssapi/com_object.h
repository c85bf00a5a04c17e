// One reference-counted COM object with one chain of interfaces: QueryInterface knows every one of the chain,
// and all of them are the same pointer (COM's identity).
#pragma once

#include <windows.h>

#include <array>
#include <atomic>

#include "ledger.h"

namespace exshadow::test_double {

// `Interface` is the last of the chain; `Chain` those that QueryInterface answers to, IUnknown apart. None:
// the interface has no IID that could be asked for (IVssWMComponent and its kind).
template <class Interface, class... Chain>
class ComObject : public Interface {
public:
    explicit ComObject(const char* kind) : kind_(kind) { Ledger::instance().object_made(kind_); }
    ComObject(const ComObject&) = delete;
    ComObject& operator=(const ComObject&) = delete;
    virtual ~ComObject() { Ledger::instance().object_gone(kind_); }

    STDMETHODIMP QueryInterface(REFIID id, void** out) override {
        if (out == nullptr) return E_POINTER;
        *out = nullptr;
        if (id != __uuidof(IUnknown) && (... && (id != __uuidof(Chain)))) return E_NOINTERFACE;
        *out = static_cast<Interface*>(this);
        AddRef();
        return S_OK;
    }
    STDMETHODIMP_(ULONG) AddRef() override { return ++references_; }
    STDMETHODIMP_(ULONG) Release() override {
        const auto left = --references_;
        if (left == 0) delete this;
        return left;
    }

private:
    const char* kind_;
    std::atomic<ULONG> references_{1};
};

}  // namespace exshadow::test_double
