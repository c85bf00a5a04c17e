// The slot that processes share by a file.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "base/uuid.h"
#include "vss/coordinator/slot.h"

using namespace exshadow;
using namespace exshadow::vss;

TEST_CASE("a file's slot excludes others and goes with its holder") {
    const std::string path = "/tmp/exshadow-slot-" + Uuid::random().text();
    const auto one = file_slot(path);
    auto other = file_slot(path);
    CHECK(*one->try_take());
    CHECK_FALSE(*one->try_take());
    CHECK_FALSE(*other->try_take());
    one->give_back();
    CHECK(*other->try_take());
    other.reset();
    CHECK(*one->try_take());
    one->give_back();
    std::remove(path.c_str());
    CHECK(file_slot("/no/such/folder/slot")->try_take().error().code() == Code::not_found);
}

TEST_CASE(
    "a slot that was given back is free though a child of its holder lives, and a child gives nothing back") {
    const std::string path = "/tmp/exshadow-slot-" + Uuid::random().text();
    auto one = file_slot(path);
    const auto other = file_slot(path);
    REQUIRE(*one->try_take());
    const auto child = [&one](bool gives_back) {
        const ::pid_t made = ::fork();
        REQUIRE(made >= 0);
        if (made == 0) {
            if (gives_back) one->give_back();
            if (!gives_back) ::pause();
            ::_exit(0);
        }
        return made;
    };
    REQUIRE(::waitpid(child(true), nullptr, 0) > 0);
    CHECK_FALSE(*other->try_take());
    const ::pid_t living = child(false);
    one->give_back();
    CHECK(*other->try_take());
    ::kill(living, SIGKILL);
    REQUIRE(::waitpid(living, nullptr, 0) == living);
    other->give_back();
    std::remove(path.c_str());
}

TEST_CASE("a slot is free when its holder was killed, though a child that it forked lives") {
    const std::string path = "/tmp/exshadow-slot-" + Uuid::random().text();
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    const ::pid_t holder = ::fork();
    REQUIRE(holder >= 0);
    if (holder == 0) {
        const auto slot = file_slot(path);
        const bool taken = *slot->try_take();
        const ::pid_t child = taken ? ::fork() : -1;
        const ::pid_t own = ::getpid();
        if (child == 0 && ::write(ready[1], &own, sizeof own) != sizeof own) ::_exit(1);
        ::pause();
        ::_exit(0);
    }
    ::pid_t child = -1;
    REQUIRE(::read(ready[0], &child, sizeof child) == sizeof child);
    REQUIRE(child > 0);
    const auto next = file_slot(path);
    CHECK_FALSE(*next->try_take());
    ::kill(holder, SIGKILL);
    REQUIRE(::waitpid(holder, nullptr, 0) == holder);
    CHECK(*next->try_take());
    ::kill(child, SIGKILL);
    next->give_back();
    std::remove(path.c_str());
    for (const int end : ready) ::close(end);
}
