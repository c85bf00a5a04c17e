// PoolLoop: device I/O by threads that block in it, for systems where io_uring is forbidden (default
// container profiles). The thread limit is the queue depth.
#pragma once

#include <memory>
#include <optional>

#include "runtime/real_loop.h"

namespace exshadow {

class PoolLoop final : public RealLoop {
public:
    PoolLoop();
    ~PoolLoop() override;

    [[nodiscard]] const char* name() const override { return "threads"; }
    void start_device_io(int fd, FileOperation& operation) override;

private:
    void wait(std::optional<Nanoseconds> timeout) override;

    std::unique_ptr<WorkerPool> device_workers_;
};

}  // namespace exshadow
