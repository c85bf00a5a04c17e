#include "ledger.h"

#include <cstdlib>

namespace exshadow::test_double {

Ledger& Ledger::instance() {
    // Never destroyed: clients may release objects while the process ends.
    static auto* ledger = new Ledger;
    return *ledger;
}

Ledger::Ledger() {
    if (const auto* path = _wgetenv(L"EXSHADOW_VSS_LOG")) log_ = _wfopen(path, L"ab");
}

Ledger::~Ledger() {
    if (log_ != nullptr) std::fclose(log_);
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
    if (log_ == nullptr) return;
    line["n"] = number;
    line["process"] = GetCurrentProcessId();
    const auto text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    std::fwrite(text.data(), 1, text.size(), log_);
    std::fflush(log_);
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
