// How fast the copier is: one file copied onto another by the way a mirror is brought up, flush included.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "runtime/loop.h"
#include "volume/job.h"

namespace exshadow {

struct CopyBenchmark {
    std::string source;       // its bytes stay as they are
    std::string target;       // overwritten; as large as the source
    std::string volume_file;  // made for the occasion and removed
    bool direct = true;
    std::uint32_t depth = 0;  // chunks under way, 0: as the copier chooses
};

// `job` times the sync alone: from the first byte read to the target being in sync, durably.
[[nodiscard]] Task<Status> run_copy_benchmark(Loop& loop, CopyBenchmark benchmark, std::shared_ptr<Job> job);

}  // namespace exshadow
