#include <cstdlib>
#include <string_view>

#include "runtime/pool_loop.h"
#include "runtime/uring_loop.h"

namespace exshadow {

namespace {

Result<LoopKind> kind_from_environment() {
    const char* const text = std::getenv("EXSHADOW_LOOP");
    const std::string_view name = text == nullptr ? "" : text;
    if (name.empty() || name == "auto") return LoopKind::automatic;
    if (name == "uring") return LoopKind::uring;
    if (name == "pool") return LoopKind::pool;
    return Error(Code::invalid, "EXSHADOW_LOOP is '" + std::string(name) + "'", "set it to uring or pool");
}

}  // namespace

Result<std::unique_ptr<Loop>> make_loop(LoopKind kind) {
    if (kind == LoopKind::automatic) {
        const auto wanted = kind_from_environment();
        if (!wanted.ok()) return wanted.error();
        kind = *wanted;
    }
    if (kind != LoopKind::pool) {
        auto loop = UringLoop::make();
        if (loop.ok()) return std::unique_ptr<Loop>(std::move(*loop));
        if (kind == LoopKind::uring) return loop.error();
    }
    return std::unique_ptr<Loop>(std::make_unique<PoolLoop>());
}

}  // namespace exshadow
