// vssapi.dll, loaded at run time: a program linked against it does not start where an export is missing, and
// could then not say why.
#pragma once

#include <windows.h>

#include <vsbackup.h>
#include <vss.h>
#include <vswriter.h>

#include <string_view>

#include "base/error.h"
#include "vss/win32/owned.h"

namespace exshadow::vss::win32 {

// Stays loaded: COM objects made by it may live until the process ends.
class Vssapi {
public:
    // Beside the program, then in the system's folder; nowhere else.
    [[nodiscard]] static Result<Vssapi> load();

    [[nodiscard]] Result<ComPtr<IVssBackupComponents>> create_backup_components() const;
    void free(VSS_SNAPSHOT_PROP& properties) const;
    // Does a writer forbid that this volume is reverted? (List in the registry.)
    [[nodiscard]] Result<bool> should_block_revert(std::string_view volume) const;

private:
    using Create = HRESULT(STDAPICALLTYPE*)(IVssBackupComponents**);
    using Free = void(APIENTRY*)(VSS_SNAPSHOT_PROP*);
    using ShouldBlock = HRESULT(APIENTRY*)(LPCWSTR, unsigned char*);
    Create create_ = nullptr;
    Free free_ = nullptr;
    ShouldBlock should_block_ = nullptr;
};

}  // namespace exshadow::vss::win32
