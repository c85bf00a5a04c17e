// CreationSlot: only one snapshot set is made, and one imported, at a time. How far that reaches is the
// slot's matter: one coordinator, or all processes of a machine that name the same file. Who holds the slot
// and dies, loses it.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"

namespace exshadow::vss {

class CreationSlot {
public:
    CreationSlot() = default;
    CreationSlot(const CreationSlot&) = delete;
    CreationSlot& operator=(const CreationSlot&) = delete;
    virtual ~CreationSlot() = default;

    virtual Result<bool> try_take() = 0;  // false: somebody else has it; does not wait
    virtual void give_back() = 0;
};

// Of those who share this object.
[[nodiscard]] std::shared_ptr<CreationSlot> local_slot();

// Of all processes that name the same file (it is created, and never removed). The kernel gives the lock back
// when its holder dies. Not on Windows.
[[nodiscard]] std::shared_ptr<CreationSlot> file_slot(std::string path);

}  // namespace exshadow::vss
