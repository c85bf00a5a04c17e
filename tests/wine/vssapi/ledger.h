// What the test double was asked, and what it handed out: the log of calls (JSON lines) and the counts that
// prove a client leak-free.
//
// Environment: EXSHADOW_VSS_LOG names the log, which is appended to, also by several processes at once;
// without it nothing is logged. Every line has "n", a number that counts up over the process; a call's "n"
// was taken when it began, so that the callbacks it caused have higher ones, though its line comes after
// theirs. The report is a line too: {"report": {"objects": {kind: [made, left]}, "blocks": {"bstr": [made,
// left], ...}}}.
//
// Thread rule: any thread.
#pragma once

#include <windows.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>

#include "scenario/json.h"

namespace exshadow::test_double {

using scenario::Json;

class Ledger {
public:
    static Ledger& instance();
    Ledger(const Ledger&) = delete;
    Ledger& operator=(const Ledger&) = delete;
    ~Ledger();

    std::uint64_t next_number();
    // Gives `line` its number (when it has none) and process, and appends it to the log.
    void write(Json line);
    void write(std::uint64_t number, Json line);

    void object_made(const char* kind);
    void object_gone(const char* kind);
    // `block` was handed to the client, who frees it; kind: "bstr" or "task_memory".
    void block_made(const void* block, const char* kind);
    void block_gone(const void* block);  // blocks that are not ours: ignored

    Json report();
    [[nodiscard]] bool clean();  // nothing is left

private:
    Ledger();
    struct Count {
        std::int64_t made = 0;
        std::int64_t left = 0;
    };

    std::mutex mutex_;
    HANDLE log_ = INVALID_HANDLE_VALUE;
    std::uint64_t number_ = 0;
    std::map<std::string, Count> objects_;
    std::map<std::string, Count> blocks_;
    std::unordered_map<const void*, const char*> live_blocks_;
};

}  // namespace exshadow::test_double
