#pragma once

#include <cstdint>

namespace takt::simulation {

/// Everything that a seed decides. SplitMix64: small, fast, and the same everywhere.
class Chance {
  public:
    explicit Chance(std::uint64_t seed) : state_(seed) {}

    std::uint64_t operator()() {
        std::uint64_t x = state_ += 0x9e3779b97f4a7c15ull;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
        return x ^ (x >> 31);
    }
    /// [0, limit)
    std::uint64_t below(std::uint64_t limit) { return (*this)() % limit; }
    /// [from, to]
    std::int64_t between(std::int64_t from, std::int64_t to) {
        return from + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(to - from) + 1));
    }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    template <typename T, std::uint64_t n>
    const T& of(const T (&choices)[n]) {
        return choices[below(n)];
    }

  private:
    std::uint64_t state_;
};

}  // namespace takt::simulation
