// IVssWMFiledesc over a file set.
#pragma once

#include <windows.h>

#include <vss.h>
#include <vswriter.h>

#include "arguments.h"
#include "com_object.h"
#include "vss/metadata.h"

namespace exshadow::test_double {

class FileDescription final : public ComObject<IVssWMFiledesc> {
public:
    explicit FileDescription(vss::FileSet files) : ComObject("IVssWMFiledesc"), files_(std::move(files)) {}
    explicit FileDescription(const vss::LocationMapping& mapping) : FileDescription(mapping.files) {
        files_.alternate_path = mapping.destination;
    }

    STDMETHODIMP GetPath(BSTR* out) override { return give_always(out, files_.path); }
    STDMETHODIMP GetFilespec(BSTR* out) override { return give_always(out, files_.spec); }
    STDMETHODIMP GetRecursive(boolean* out) override { return give_value(out, files_.recursive); }
    STDMETHODIMP GetAlternateLocation(BSTR* out) override { return give(out, files_.alternate_path); }
    STDMETHODIMP GetBackupTypeMask(DWORD* out) override { return give_value(out, files_.backup_type); }

private:
    vss::FileSet files_;
};

// The i-th of `list`, or VSS_E_OBJECT_NOT_FOUND.
template <class List>
HRESULT give_files(const List& list, UINT i, IVssWMFiledesc** out) {
    if (out == nullptr) return E_INVALIDARG;
    *out = nullptr;
    if (i >= list.size()) return static_cast<HRESULT>(vss::HResult::vss_e_object_not_found);
    *out = new FileDescription(list[i]);
    return S_OK;
}

}  // namespace exshadow::test_double
