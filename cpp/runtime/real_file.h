// RealFile: a File of RealLoop. How each operation is issued follows from what backs the file (E29):
//
//   backing      read, write                                     flush, zero, punch
//   memory       on the spot; big ones on the copying threads    on the spot
//   page cache   small: on the spot if it need not wait, else    device I/O
//                device I/O; big: on the copying threads
//   direct       device I/O                                      device I/O
//
// On the ring, device I/O is prepared now and submitted once per turn of the loop.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/file.h"
#include "runtime/posix_file.h"

namespace exshadow {

class RealLoop;

class RealFile final : public File {
public:
    RealFile(RealLoop& loop, OpenedFile opened, bool locked);
    ~RealFile() override;

    [[nodiscard]] int descriptor() const override { return descriptor_.get(); }
    [[nodiscard]] Result<FileIdentity> identity() override;
    [[nodiscard]] Result<std::optional<std::string>> attribute(const std::string& name) override;
    [[nodiscard]] Status set_attribute(const std::string& name, const std::string& value) override;
    [[nodiscard]] Status allocate(Range range) override;
    [[nodiscard]] Status resize(std::uint64_t size) override;
    [[nodiscard]] Result<std::vector<Extent>> extents(Range range) override;
    [[nodiscard]] bool start(FileOperation& operation) override;

private:
    [[nodiscard]] bool start_in_memory(FileOperation& operation);
    [[nodiscard]] bool start_cached(FileOperation& operation);

    RealLoop& loop_;
    bool attributes_dirty_ = false;
    Descriptor descriptor_;
    bool locked_;
    bool nowait_reads_ = true;  // until the file system says it cannot tell
    bool nowait_writes_ = true;
};

}  // namespace exshadow
