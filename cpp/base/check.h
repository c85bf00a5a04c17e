// Always-on assertion: a broken invariant stops the process, in release builds too, before it can
// reach a disk. Never used on anything a caller, a peer or a file can supply.
#pragma once

namespace exshadow {

[[noreturn]] void check_failed(const char* expression, const char* file, int line);

}  // namespace exshadow

#define EXSHADOW_CHECK(expression) \
    ((expression) ? static_cast<void>(0) : ::exshadow::check_failed(#expression, __FILE__, __LINE__))
