// Writers and providers that block, as asynchronous ones: their calls run one after the other on a thread of
// their own. A call that is abandoned keeps its thread and what it uses until it returns; later calls get a
// new thread, beside it.
#pragma once

#include <memory>

#include "vss/coordinator/provider.h"
#include "vss/coordinator/writer.h"

namespace exshadow::vss {

[[nodiscard]] std::shared_ptr<Writer> on_own_thread(std::shared_ptr<BlockingWriter> writer);
[[nodiscard]] std::shared_ptr<Provider> on_own_thread(std::shared_ptr<BlockingProvider> provider);

}  // namespace exshadow::vss
