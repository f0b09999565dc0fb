#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace takt {

/// splitmix64: the same numbers on every machine.
class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    std::uint32_t below(std::size_t limit) {
        return static_cast<std::uint32_t>(((next() >> 32) * static_cast<std::uint64_t>(limit)) >> 32);
    }
    std::int64_t between(std::int64_t least, std::int64_t greatest) {
        return least + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(greatest - least + 1));
    }

  private:
    std::uint64_t state_;
};

/// A share as the upper bound of a 32-bit number; shares follow one another on one axis.
class Shares {
  public:
    std::size_t add(double share) {
        sum_ += share;
        bounds_.push_back(static_cast<std::uint64_t>(std::llround(sum_ * 4294967296.0)));
        return bounds_.size() - 1;
    }
    double sum() const { return sum_; }
    /// Index of the share that the number falls into; their count when it falls into none.
    std::size_t find(std::uint64_t number) const {
        std::size_t i = 0;
        while (i < bounds_.size() && number >= bounds_[i]) ++i;
        return i;
    }

  private:
    double sum_ = 0;
    std::vector<std::uint64_t> bounds_;
};

}  // namespace takt
