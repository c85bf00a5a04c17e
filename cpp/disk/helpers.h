// What several disks need: zeroes to write from, and a task that has its answer already.
#pragma once

#include <cstddef>
#include <span>

#include "base/error.h"
#include "runtime/task.h"

namespace exshadow {

// 1 MiB of page-aligned zeroes, never written to. Any thread.
[[nodiscard]] std::span<const std::byte> zero_bytes();

// A task that answers `status` without suspending.
[[nodiscard]] Task<Status> answered(Status status);

}  // namespace exshadow
