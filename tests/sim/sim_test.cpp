// The proof of safety: seeded histories of the engine must agree with the model (E36), replay exactly, and
// stop agreeing as soon as any one order is switched off (E37).
//
//   EXSHADOW_SIM_SEEDS=1000 EXSHADOW_SIM_FIRST=1 sim_test      that many seeds from that one on
//   EXSHADOW_SIM_FIRST=77 EXSHADOW_SIM_SEEDS=1 EXSHADOW_SIM_LOG=1 sim_test -tc=simulation    look into one
//   EXSHADOW_SIM_TRACE=1 as well                               every event of the loop
//   EXSHADOW_SIM_OFF=9                                         with that order of hooks.h switched off
//   sim_test -tc='*mutation*'                                  every order in turn
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "sim/scenario.h"

namespace exshadow::sim {
namespace {

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr || *text == 0 ? otherwise : std::strtoull(text, nullptr, 10);
}

volatile std::uint64_t current_seed = 0;

// A broken invariant of the engine stops the process: say which seed it was.
extern "C" void say_seed(int signal) {
    char text[128];
    const int length = std::snprintf(text, sizeof(text), "seed %llu stopped the engine\n",
                                     static_cast<unsigned long long>(current_seed));
    if (length > 0) (void)!write(2, text, static_cast<std::size_t>(length));
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

struct Outcome {
    std::string failure;
    std::uint64_t trace = 0;
    std::uint64_t operations = 0;
};

Outcome run_seed(std::uint64_t seed, Order off, Splits splits = Splits::at_once) {
    current_seed = seed;
    std::FILE* const log = std::getenv("EXSHADOW_SIM_LOG") != nullptr ? stderr : nullptr;
    auto simulation = std::make_unique<Simulation>(seed, off, log, splits);
    Outcome outcome{simulation->run(), simulation->trace(), simulation->operations()};
    if (!outcome.failure.empty()) {  // tasks that hang refer to it
        static auto* const kept = new std::vector<Simulation*>();
        kept->push_back(simulation.release());
    }
    return outcome;
}

void run_seeds(Splits splits) {
    const std::uint64_t first = setting("EXSHADOW_SIM_FIRST", 1);
    const std::uint64_t count = setting("EXSHADOW_SIM_SEEDS", 100);
    const auto off = static_cast<Order>(setting("EXSHADOW_SIM_OFF", 0));
    const auto previous = std::signal(SIGABRT, say_seed);
    const auto previous_segv = std::signal(SIGSEGV, say_seed);
    std::uint64_t failures = 0;
    std::uint64_t operations = 0;
    for (std::uint64_t seed = first; seed < first + count && failures < 20; ++seed) {
        const Outcome outcome = run_seed(seed, off, splits);
        operations += outcome.operations;
        if (outcome.failure.empty()) continue;
        ++failures;
        FAIL_CHECK("seed " << seed << ": " << outcome.failure << "\n  replay: EXSHADOW_SIM_FIRST=" << seed
                           << " EXSHADOW_SIM_SEEDS=1");
    }
    std::signal(SIGABRT, previous);
    std::signal(SIGSEGV, previous_segv);
    MESSAGE(count << " seeds, " << operations << " operations, " << failures << " failures");
}

TEST_CASE("simulation") {
    run_seeds(Splits::at_once);
}

TEST_CASE("simulation: splits are armed and turn later") {
    run_seeds(Splits::armed);
}

TEST_CASE("simulation: the same seed is the same history") {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        const Outcome once = run_seed(seed, Order::none);
        const Outcome again = run_seed(seed, Order::none);
        CHECK(once.trace == again.trace);
        CHECK(once.operations == again.operations);
    }
}

std::string read_all(int descriptor) {
    std::string text;
    char buffer[512];
    for (ssize_t got = 1; got > 0;) {
        got = read(descriptor, buffer, sizeof(buffer));
        if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
    }
    close(descriptor);
    return text;
}

// Runs seeds in a child process, so that a broken invariant counts as found like any other failure. Says
// by which seed and how; empty when all agree with the model.
std::string found_by(Order off, std::uint64_t first, std::uint64_t count) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    std::fflush(nullptr);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(300);
        for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGTERM}) std::signal(signal, SIG_DFL);
        (void)dup2(ends[1], 1);
        (void)!freopen("/dev/null", "w", stderr);
        for (std::uint64_t seed = first; seed < first + count; ++seed) {
            const std::string failure = run_seed(seed, off).failure;
            if (failure.empty()) continue;
            std::printf("seed %llu: %s", static_cast<unsigned long long>(seed), failure.c_str());
            std::fflush(stdout);
            _exit(1);
        }
        _exit(0);
    }
    close(ends[1]);
    std::string text = read_all(ends[0]).substr(0, 160);
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    if (text.empty()) text = "seed " + std::to_string(first) + " or a few later: the engine stopped itself";
    return text;
}

// They take long: only when the environment or the filter of test cases asks for them.
bool mutations_wanted() {
    if (setting("EXSHADOW_MUTATION", 0) != 0) return true;
    std::ifstream file("/proc/self/cmdline");
    for (std::string argument; std::getline(file, argument, '\0');) {
        const bool filter = argument.starts_with("-tc=") || argument.starts_with("--test-case=");
        if (filter && argument.find("mutation") != std::string::npos) return true;
    }
    return false;
}

TEST_CASE("mutation: every order that is switched off is found" * doctest::skip(!mutations_wanted())) {
    const std::uint64_t most = setting("EXSHADOW_MUTATION_SEEDS", 1000);
    constexpr std::uint64_t batch = 25;
    const std::uint64_t only = setting("EXSHADOW_SIM_OFF", 0);
    for (std::uint64_t index = 1; index < static_cast<std::uint64_t>(Order::count); ++index) {
        if (only != 0 && only != index) continue;
        const auto off = static_cast<Order>(index);
        std::string how;
        for (std::uint64_t first = 1; first <= most && how.empty(); first += batch) {
            how = found_by(off, first, std::min(batch, most + 1 - first));
        }
        const std::string name = order_name(off);
        CHECK_MESSAGE(!how.empty(), name << " was switched off and no seed found it");
        if (!how.empty()) MESSAGE(name << ": " << how);
    }
}

}  // namespace
}  // namespace exshadow::sim
