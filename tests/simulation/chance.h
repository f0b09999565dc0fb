#pragma once

#include <cstdint>

#include "sources/random.h"

namespace takt::simulation {

/// Everything that a seed decides.
class Chance {
  public:
    explicit Chance(std::uint64_t seed) : random_(seed) {}

    std::uint64_t operator()() { return random_.next(); }
    /// [0, limit)
    std::uint64_t below(std::uint64_t limit) { return (*this)() % limit; }
    /// [from, to]
    std::int64_t between(std::int64_t from, std::int64_t to) { return random_.between(from, to); }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    template <typename T, std::uint64_t n>
    const T& of(const T (&choices)[n]) {
        return choices[below(n)];
    }

  private:
    Random random_;
};

}  // namespace takt::simulation
