// Replays a corpus through a fuzz target, for compilers without libFuzzer: every file named, or below a
// folder named. Also a short run of random changes to them, from a fixed seed.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;
constexpr int changes_per_input = 200;

Input read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void run_changed(const Input& input, std::mt19937& random) {
    for (int i = 0; i < changes_per_input; ++i) {
        Input changed = input;
        for (auto count = random() % 4; count != 0 && !changed.empty(); --count) {
            changed[random() % changed.size()] = static_cast<std::uint8_t>(random());
        }
        if (random() % 4 == 0) changed.resize(random() % (changed.size() + 1));
        if (random() % 4 == 0) changed.insert(changed.end(), input.begin(), input.end());
        LLVMFuzzerTestOneInput(changed.data(), changed.size());
    }
}

}  // namespace

int main(int count, char** arguments) {
    std::mt19937 random(1);
    int inputs = 0;
    for (int i = 1; i < count; ++i) {
        std::vector<std::filesystem::path> files{arguments[i]};
        if (std::filesystem::is_directory(files.front())) {
            files.clear();
            for (const auto& entry : std::filesystem::recursive_directory_iterator(arguments[i])) {
                if (entry.is_regular_file()) files.push_back(entry.path());
            }
        }
        for (const auto& file : files) {
            const Input input = read(file);
            LLVMFuzzerTestOneInput(input.data(), input.size());
            run_changed(input, random);
            ++inputs;
        }
    }
    std::printf("%d inputs\n", inputs);
    return inputs == 0 ? 1 : 0;
}
