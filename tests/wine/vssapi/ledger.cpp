#include "ledger.h"

#include <cstdlib>

namespace exshadow::test_double {

namespace {

// The log of several processes at once: "append" of the C library is a seek and a write, between which
// another process writes too, so that a line overwrites the other's. The lock lies far behind every line; it
// is the system's, and goes with a process that is killed.
void append(HANDLE file, const std::string& text) {
    constexpr DWORD far_behind = 0x40000000;
    OVERLAPPED lock{};
    lock.OffsetHigh = far_behind;
    if (!LockFileEx(file, LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &lock)) return;
    SetFilePointer(file, 0, nullptr, FILE_END);
    DWORD written = 0;
    WriteFile(file, text.data(), static_cast<DWORD>(text.size()), &written, nullptr);
    UnlockFileEx(file, 0, 1, 0, &lock);
}

}  // namespace

Ledger& Ledger::instance() {
    // Never destroyed: clients may release objects while the process ends.
    static auto* ledger = new Ledger;
    return *ledger;
}

Ledger::Ledger() {
    const auto* path = _wgetenv(L"EXSHADOW_VSS_LOG");
    if (path == nullptr) return;
    constexpr DWORD shared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    log_ = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, shared, nullptr, OPEN_ALWAYS,
                       FILE_ATTRIBUTE_NORMAL, nullptr);
}

Ledger::~Ledger() {
    if (log_ != INVALID_HANDLE_VALUE) CloseHandle(log_);
}

std::uint64_t Ledger::next_number() {
    const std::lock_guard lock(mutex_);
    return ++number_;
}

void Ledger::write(Json line) {
    write(next_number(), std::move(line));
}

void Ledger::write(std::uint64_t number, Json line) {
    const std::lock_guard lock(mutex_);
    if (log_ == INVALID_HANDLE_VALUE) return;
    line["n"] = number;
    line["process"] = GetCurrentProcessId();
    append(log_, line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void Ledger::object_made(const char* kind) {
    const std::lock_guard lock(mutex_);
    auto& count = objects_[kind];
    ++count.made;
    ++count.left;
}

void Ledger::object_gone(const char* kind) {
    const std::lock_guard lock(mutex_);
    --objects_[kind].left;
}

void Ledger::block_made(const void* block, const char* kind) {
    const std::lock_guard lock(mutex_);
    auto& count = blocks_[kind];
    ++count.made;
    ++count.left;
    live_blocks_[block] = kind;
}

void Ledger::block_gone(const void* block) {
    const std::lock_guard lock(mutex_);
    const auto found = live_blocks_.find(block);
    if (found == live_blocks_.end()) return;
    --blocks_[found->second].left;
    live_blocks_.erase(found);
}

Json Ledger::report() {
    const std::lock_guard lock(mutex_);
    Json objects = Json::object();
    for (const auto& [kind, count] : objects_) objects[kind] = {count.made, count.left};
    Json blocks = Json::object();
    for (const auto& [kind, count] : blocks_) blocks[kind] = {count.made, count.left};
    return Json{{"objects", objects}, {"blocks", blocks}};
}

bool Ledger::clean() {
    const std::lock_guard lock(mutex_);
    for (const auto* counts : {&objects_, &blocks_}) {
        for (const auto& [kind, count] : *counts) {
            if (count.left != 0) return false;
        }
    }
    return true;
}

}  // namespace exshadow::test_double
