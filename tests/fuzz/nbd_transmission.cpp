// NBD transmission against a client that says anything. With structured replies, what the server says must be
// a sequence of whole replies, each for a request that was made.
#include "nbd/fields.h"
#include "nbd/session.h"
#include "tests/fuzz/nbd_input.h"

namespace exshadow {
namespace {

using namespace nbd;

constexpr std::uint8_t structured_bit = 1;
constexpr std::uint8_t read_only_bit = 2;
constexpr std::uint8_t contexts_bit = 4;
constexpr std::uint8_t small_limits_bit = 8;

void check_replies(std::span<const std::byte> said) {
    while (!said.empty()) {
        Fields fields(said);
        const auto magic = fields.number<std::uint32_t>();
        if (magic == simple_reply_magic) {
            EXSHADOW_CHECK(said.size() >= sizeof(WireSimpleReply));
            EXSHADOW_CHECK(fields.number<std::uint32_t>() == 0);  // errors come with their reason
            said = said.subspan(sizeof(WireSimpleReply));
            continue;
        }
        EXSHADOW_CHECK(magic == structured_reply_magic && said.size() >= sizeof(WireChunk));
        const auto length = load<std::uint32_t>(said.subspan(offsetof(WireChunk, length)));
        EXSHADOW_CHECK(length <= said.size() - sizeof(WireChunk));
        said = said.subspan(sizeof(WireChunk) + length);
    }
}

Task<void> serve(std::span<const std::byte> input, std::size_t piece, std::uint8_t options) {
    Loop& loop = fuzz::the_loop();
    Negotiated negotiated;
    negotiated.structured = (options & structured_bit) != 0;
    if (negotiated.structured && (options & contexts_bit) != 0) {
        negotiated.contexts = {{1, allocation_context}, {2, "exshadow:changed/one"}};
    }
    Limits limits;
    if ((options & small_limits_bit) != 0) {
        limits.connection_bytes = 64 * KiB;
        limits.connection_requests = 3;
        limits.server_bytes = 128 * KiB;
    }
    Semaphore shared_bytes(loop, limits.server_bytes);
    Counters counters;
    auto stream = std::make_unique<fuzz::InputStream>(input, piece);
    fuzz::InputStream& said_to = *stream;
    {
        Session session(std::move(stream),
                        std::make_shared<fuzz::FuzzExport>(loop, (options & read_only_bit) != 0), negotiated,
                        limits, shared_bytes, counters);
        auto running = session.run({});
        co_await std::move(running);
        if (negotiated.structured) check_replies(said_to.said);
    }
    EXSHADOW_CHECK(shared_bytes.available() == limits.server_bytes);
}

}  // namespace
}  // namespace exshadow

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const auto input = std::as_bytes(std::span(data, size));
    const std::size_t piece = data[0] == 0 ? exshadow::MiB : data[0];
    exshadow::fuzz::run(exshadow::serve(input.subspan(2), piece, data[1]));
    return 0;
}
