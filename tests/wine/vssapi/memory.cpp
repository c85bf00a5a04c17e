#include "memory.h"

#include <objbase.h>

#include <cstring>
#include <mutex>

#include "ledger.h"

extern "C" void WINAPI SetOaNoCache();

namespace exshadow::test_double {

namespace {

// Set while we allocate for the client: such blocks are counted.
thread_local const char* block_kind = nullptr;

class Marked {
public:
    explicit Marked(const char* kind) { block_kind = kind; }
    Marked(const Marked&) = delete;
    Marked& operator=(const Marked&) = delete;
    ~Marked() { block_kind = nullptr; }
};

// Lives as long as the process.
class Spy final : public IMallocSpy {
public:
    STDMETHODIMP QueryInterface(REFIID id, void** out) override {
        if (id != IID_IUnknown && id != IID_IMallocSpy) {
            *out = nullptr;
            return E_NOINTERFACE;
        }
        *out = this;
        return S_OK;
    }
    STDMETHODIMP_(ULONG) AddRef() override { return 2; }
    STDMETHODIMP_(ULONG) Release() override { return 1; }

    STDMETHODIMP_(SIZE_T) PreAlloc(SIZE_T size) override { return size; }
    STDMETHODIMP_(void*) PostAlloc(void* block) override {
        if (block_kind != nullptr && block != nullptr) Ledger::instance().block_made(block, block_kind);
        return block;
    }
    STDMETHODIMP_(void*) PreFree(void* block, WINBOOL) override {
        Ledger::instance().block_gone(block);
        return block;
    }
    STDMETHODIMP_(void) PostFree(WINBOOL) override {}
    STDMETHODIMP_(SIZE_T) PreRealloc(void* block, SIZE_T size, void** new_block, WINBOOL) override {
        *new_block = block;
        return size;
    }
    STDMETHODIMP_(void*) PostRealloc(void* block, WINBOOL) override { return block; }
    STDMETHODIMP_(void*) PreGetSize(void* block, WINBOOL) override { return block; }
    STDMETHODIMP_(SIZE_T) PostGetSize(SIZE_T size, WINBOOL) override { return size; }
    STDMETHODIMP_(void*) PreDidAlloc(void* block, WINBOOL) override { return block; }
    STDMETHODIMP_(int) PostDidAlloc(void*, WINBOOL, int result) override { return result; }
    STDMETHODIMP_(void) PreHeapMinimize() override {}
    STDMETHODIMP_(void) PostHeapMinimize() override {}
};

}  // namespace

void watch_memory() {
    static std::once_flag once;
    std::call_once(once, [] {
        static Spy spy;
        SetOaNoCache();
        const auto result = CoRegisterMallocSpy(&spy);
        if (FAILED(result)) Ledger::instance().write({{"error", "the malloc spy was refused"}});
    });
}

// These are not those of vss/win32/text.cpp on purpose: a mistake there would else be on both sides of the
// test.
std::wstring wide(std::string_view text) {
    const auto length = static_cast<int>(text.size());
    std::wstring result(
        static_cast<std::size_t>(MultiByteToWideChar(CP_UTF8, 0, text.data(), length, nullptr, 0)), L'\0');
    MultiByteToWideChar(CP_UTF8, 0, text.data(), length, result.data(), static_cast<int>(result.size()));
    return result;
}

std::string narrow(const wchar_t* text) {
    if (text == nullptr) return {};
    const auto length = static_cast<int>(std::wcslen(text));
    const auto size = WideCharToMultiByte(CP_UTF8, 0, text, length, nullptr, 0, nullptr, nullptr);
    std::string result(static_cast<std::size_t>(size), '\0');
    WideCharToMultiByte(CP_UTF8, 0, text, length, result.data(), size, nullptr, nullptr);
    return result;
}

BSTR new_bstr(std::string_view text) {
    const auto characters = wide(text);
    const Marked marked("bstr");
    return SysAllocStringLen(characters.data(), static_cast<UINT>(characters.size()));
}

BSTR new_bstr_or_null(std::string_view text) {
    return text.empty() ? nullptr : new_bstr(text);
}

wchar_t* new_task_text(std::string_view text) {
    const auto characters = wide(text);
    const Marked marked("task_memory");
    const auto size = (characters.size() + 1) * sizeof(wchar_t);
    auto* block = static_cast<wchar_t*>(CoTaskMemAlloc(size));
    if (block != nullptr) std::memcpy(block, characters.c_str(), size);
    return block;
}

wchar_t* new_task_text_or_null(std::string_view text) {
    return text.empty() ? nullptr : new_task_text(text);
}

GUID guid(const Uuid& id) {
    const auto& b = id.bytes;
    GUID result{};
    result.Data1 = (static_cast<std::uint32_t>(b[0]) << 24) | (static_cast<std::uint32_t>(b[1]) << 16) |
                   (static_cast<std::uint32_t>(b[2]) << 8) | b[3];
    result.Data2 = static_cast<unsigned short>((b[4] << 8) | b[5]);
    result.Data3 = static_cast<unsigned short>((b[6] << 8) | b[7]);
    std::memcpy(result.Data4, b.data() + 8, 8);
    return result;
}

Uuid uuid(const GUID& id) {
    Uuid result;
    auto& b = result.bytes;
    for (unsigned i = 0; i < 4; ++i) b[i] = static_cast<std::uint8_t>(id.Data1 >> (24 - 8 * i));
    for (unsigned i = 0; i < 2; ++i) {
        b[4 + i] = static_cast<std::uint8_t>(id.Data2 >> (8 - 8 * i));
        b[6 + i] = static_cast<std::uint8_t>(id.Data3 >> (8 - 8 * i));
    }
    std::memcpy(b.data() + 8, id.Data4, 8);
    return result;
}

}  // namespace exshadow::test_double
