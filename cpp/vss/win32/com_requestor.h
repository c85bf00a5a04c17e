// Requestor on the COM object of Windows (IVssBackupComponents through ..Ex4). Written against mingw-w64's
// headers in the parts that the SDK's share; never compiled with MSVC and never run on Windows, only on Wine
// with a double of vssapi.dll.
#pragma once

#include <memory>

#include "base/error.h"
#include "vss/requestor.h"

namespace exshadow::vss::win32 {

// Needs COM on the calling thread (session.h), which stays until the requestor is gone. The thread rule is
// the contract's.
[[nodiscard]] Result<std::unique_ptr<Requestor>> make_com_requestor();

// Does a writer on this machine forbid that the volume is reverted?
[[nodiscard]] Result<bool> should_block_revert(std::string_view volume);

}  // namespace exshadow::vss::win32
