#include "vss/coordinator/slot.h"

#include <utility>

namespace exshadow::vss {

namespace {

class LocalSlot final : public CreationSlot {
public:
    Result<bool> try_take() override { return !std::exchange(taken_, true); }
    void give_back() override { taken_ = false; }

private:
    bool taken_ = false;
};

}  // namespace

std::shared_ptr<CreationSlot> local_slot() {
    return std::make_shared<LocalSlot>();
}

}  // namespace exshadow::vss
