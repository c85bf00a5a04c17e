#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <utility>
#include <vector>

#include "vss/coordinator/slot.h"

namespace exshadow::vss {

namespace {

// The descriptors that are locked now. A child of fork() closes its copies: a lock goes with the last
// descriptor of its file, and must not outlive a holder that is killed.
class Held {
public:
    static Held& instance() {
        static auto* const held = new Held;  // never destroyed: fork() may come at any time
        return *held;
    }
    // As long as it is kept nobody forks.
    [[nodiscard]] std::unique_lock<std::mutex> no_forks() { return std::unique_lock(mutex_); }
    void add(int fd) { fds_.push_back(fd); }
    void remove(int fd) { std::erase(fds_, fd); }

private:
    Held() { ::pthread_atfork(before, after_in_parent, after_in_child); }
    static void before() { instance().mutex_.lock(); }
    static void after_in_parent() { instance().mutex_.unlock(); }
    static void after_in_child() {
        for (const int fd : instance().fds_) ::close(fd);
        instance().fds_.clear();
        instance().mutex_.unlock();
    }

    std::mutex mutex_;
    std::vector<int> fds_;  // changed under no_forks()
};

// An exclusive flock. It belongs to the open file, so that two slots of one process exclude each other, and
// it goes when the last descriptor of it is closed, which the kernel does for a killed process. The holder
// unlocks, too: a program that is just being started may have a descriptor for a moment.
class FileSlot final : public CreationSlot {
public:
    explicit FileSlot(std::string path) : path_(std::move(path)) {}
    ~FileSlot() override { give_back(); }

    Result<bool> try_take() override {
        if (fd_ >= 0) return false;
        const auto alone = Held::instance().no_forks();
        const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) return os_error(errno, "open", path_);
        if (::flock(fd, LOCK_EX | LOCK_NB) == 0) {
            fd_ = fd;
            holder_ = ::getpid();
            Held::instance().add(fd);
            return true;
        }
        const int error = errno;
        ::close(fd);
        if (error == EWOULDBLOCK) return false;
        return os_error(error, "lock", path_);
    }

    void give_back() override {
        const int fd = std::exchange(fd_, -1);
        if (fd < 0 || holder_ != ::getpid()) return;  // in a child it is closed
        const auto alone = Held::instance().no_forks();
        Held::instance().remove(fd);
        ::flock(fd, LOCK_UN);
        ::close(fd);
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
