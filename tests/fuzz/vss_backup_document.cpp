#include "tests/fuzz/vss_document.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    exshadow::fuzz::check_document(data, size, exshadow::vss::parse_backup_document);
    return 0;
}
