// Compiled with -mavx2 where the compiler has it (CMakeLists.txt); called only on processors that have it.
#include "ese/block_fold.h"

namespace exshadow::ese {

Fold fold_avx2(const std::byte* block, std::size_t size);
bool avx2_built();

#ifdef __AVX2__
namespace {
using Wide = std::uint64_t __attribute__((vector_size(32)));
}
bool avx2_built() {
    return true;
}
Fold fold_avx2(const std::byte* block, std::size_t size) {
    return fold_block<Wide>(block, size);
}
#else
bool avx2_built() {
    return false;
}
Fold fold_avx2(const std::byte* block, std::size_t size) {
    return fold_block<std::uint64_t>(block, size);
}
#endif

}  // namespace exshadow::ese
