#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "vss/coordinator/slot.h"

namespace exshadow::vss {

namespace {

// An exclusive flock. It belongs to the open file, so that two slots of one process exclude each other, and
// it goes when the last descriptor of it is closed, which the kernel does for a killed process. A child that
// the holder forked has such a descriptor too: so the holder unlocks, and the child only closes.
class FileSlot final : public CreationSlot {
public:
    explicit FileSlot(std::string path) : path_(std::move(path)) {}
    ~FileSlot() override { give_back(); }

    Result<bool> try_take() override {
        if (fd_ >= 0) return false;
        const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) return os_error(errno, "open", path_);
        if (::flock(fd, LOCK_EX | LOCK_NB) == 0) {
            fd_ = fd;
            holder_ = ::getpid();
            return true;
        }
        const int error = errno;
        ::close(fd);
        if (error == EWOULDBLOCK) return false;
        return os_error(error, "lock", path_);
    }

    void give_back() override {
        if (fd_ < 0) return;
        if (holder_ == ::getpid()) ::flock(fd_, LOCK_UN);
        ::close(std::exchange(fd_, -1));
    }

private:
    const std::string path_;
    int fd_ = -1;
    ::pid_t holder_ = 0;
};

}  // namespace

std::shared_ptr<CreationSlot> file_slot(std::string path) {
    return std::make_shared<FileSlot>(std::move(path));
}

}  // namespace exshadow::vss
