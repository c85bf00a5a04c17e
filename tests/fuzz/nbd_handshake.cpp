// The NBD handshake against a client that says anything. What the server says must be well-formed.
#include "nbd/handshake.h"
#include "tests/fuzz/nbd_input.h"

namespace exshadow {
namespace {

using namespace nbd;

class FuzzExports final : public Exports {
public:
    Task<std::vector<ExportName>> list() override {
        co_return std::vector<ExportName>{{"disk", "a disk"}, {"disk@one", ""}};
    }
    Task<Result<ExportPointer>> find(std::string name, Purpose) override {
        if (name != "disk" && !name.empty()) co_return Error(Code::not_found, "no export " + name);
        co_return ExportPointer(std::make_shared<fuzz::FuzzExport>(fuzz::the_loop(), name.empty()));
    }
};

// Greeting, then replies with lengths that fit; after EXPORT_NAME anything.
void check_replies(std::span<const std::byte> said) {
    EXSHADOW_CHECK(said.size() >= sizeof(WireGreeting));
    said = said.subspan(sizeof(WireGreeting));
    while (said.size() >= sizeof(WireOptionReply) && load<std::uint64_t>(said) == option_reply_magic) {
        const auto length = load<std::uint32_t>(said.subspan(offsetof(WireOptionReply, length)));
        EXSHADOW_CHECK(length <= said.size() - sizeof(WireOptionReply));
        said = said.subspan(sizeof(WireOptionReply) + length);
    }
    EXSHADOW_CHECK(said.empty() || said.size() == 10 || said.size() == 134);
}

Task<void> shake(std::span<const std::byte> input, std::size_t piece) {
    fuzz::InputStream stream(input, piece);
    FuzzExports exports;
    const Limits limits;
    std::optional<Agreement> agreement;
    {
        Handshake handshake(stream, exports, limits);
        auto shaking = handshake.run();
        agreement = co_await std::move(shaking);
    }
    check_replies(stream.said);
    if (!agreement) co_return;
    EXSHADOW_CHECK(agreement->exported != nullptr);
    EXSHADOW_CHECK(agreement->negotiated.contexts.empty() || agreement->negotiated.structured);
    EXSHADOW_CHECK(agreement->received.size() <= limits.option_bytes + 8 * KiB);
}

}  // namespace
}  // namespace exshadow

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto input = std::as_bytes(std::span(data, size));
    const std::size_t piece = data[0] == 0 ? exshadow::MiB : data[0];
    exshadow::fuzz::run(exshadow::shake(input.subspan(1), piece));
    return 0;
}
