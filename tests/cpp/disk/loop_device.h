// Test support: a loop device over a scratch file, where this system lets us make one.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace exshadow::test {

class LoopDevice {
public:
    // available() is false, and the reason said aloud, where there is no permission or no loop driver.
    LoopDevice(const std::string& backing_path, unsigned sector_size) {
        const int control = ::open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        const int backing = ::open(backing_path.c_str(), O_RDWR | O_CLOEXEC);
        if (control >= 0 && backing >= 0) attach(control, backing, sector_size);
        if (fd_ < 0) MESSAGE("SKIPPED: no loop device with " << sector_size << ": " << std::strerror(errno));
        if (control >= 0) ::close(control);
        if (backing >= 0) ::close(backing);
    }
    LoopDevice(const LoopDevice&) = delete;
    LoopDevice& operator=(const LoopDevice&) = delete;
    ~LoopDevice() {
        if (fd_ < 0) return;
        ::ioctl(fd_, LOOP_CLR_FD, 0);
        ::close(fd_);
    }

    [[nodiscard]] bool available() const { return fd_ >= 0; }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    void attach(int control, int backing, unsigned sector_size) {
        const int number = ::ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) return;
        path_ = "/dev/loop" + std::to_string(number);
        const int fd = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
        if (fd < 0) return;
        loop_config config{};
        config.fd = static_cast<unsigned>(backing);
        config.block_size = sector_size;
        if (::ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
            fd_ = fd;
        } else {
            ::close(fd);
        }
    }

    std::string path_;
    int fd_ = -1;
};

}  // namespace exshadow::test
