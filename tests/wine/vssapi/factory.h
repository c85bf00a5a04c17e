// The Requestors behind the double: the portable coordinator with the scenario's writers and providers.
#pragma once

#include <memory>

#include "vss/requestor.h"

namespace exshadow::test_double {

// Null when the scenario cannot be read; the log says why.
[[nodiscard]] std::unique_ptr<vss::Requestor> make_requestor();

}  // namespace exshadow::test_double
