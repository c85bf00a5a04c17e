// SimFile: an open file of a SimLoop. Direct I/O checks alignment as O_DIRECT does; a lock belongs to
// the open file and goes with it. Synchronous verbs count as operations for crashes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/file.h"
#include "runtime/sim_world.h"

namespace exshadow {

class SimLoop;

class SimFile final : public File {
public:
    // lock: the token under which `inode` was locked by the opener, or 0.
    SimFile(SimLoop& loop, SimInodePtr inode, const std::string& path, const OpenOptions& options,
            std::uint64_t lock);
    ~SimFile() override;

    [[nodiscard]] Result<FileIdentity> identity() override;
    [[nodiscard]] Result<std::optional<std::string>> attribute(const std::string& name) override;
    [[nodiscard]] Status set_attribute(const std::string& name, const std::string& value) override;
    [[nodiscard]] Status allocate(Range range) override;
    [[nodiscard]] Status resize(std::uint64_t size) override;
    [[nodiscard]] Result<std::vector<Extent>> extents(Range range) override;
    [[nodiscard]] bool start(FileOperation& operation) override;

    // For SimLoop.
    [[nodiscard]] const SimInodePtr& inode() const { return inode_; }
    void count_in_flight(int step) { in_flight_ += step; }

private:
    // -errno for what the system call would refuse at once, else 0.
    [[nodiscard]] int refuse(const FileOperation& operation) const;
    [[nodiscard]] Status check_alive(const char* what) const;

    SimLoop& loop_;
    SimInodePtr inode_;
    bool writable_;
    std::uint64_t lock_;
    int in_flight_ = 0;
};

}  // namespace exshadow
