// SimRandom: the only source of chance in a simulation. Own generator (splitmix64), because the
// distributions of the standard library are not the same everywhere and a seed must replay anywhere.
#pragma once

#include <cstdint>

namespace exshadow {

class SimRandom {
public:
    explicit SimRandom(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        state_ += 0x9E3779B97F4A7C15ULL;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
        return z ^ (z >> 31);
    }
    // In [0, bound); 0 for bound 0.
    std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
    // In [low, high].
    std::int64_t between(std::int64_t low, std::int64_t high) {
        return high <= low
                   ? low
                   : low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
    }
    bool chance(double probability) {
        if (probability <= 0) return false;
        return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability;
    }
    // A generator that shares nothing with this one afterwards.
    SimRandom fork() { return SimRandom(next()); }

private:
    std::uint64_t state_;
};

}  // namespace exshadow
