#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/base/time.h"

namespace takt {

/// What a time zone does every year, as POSIX writes it: "CET-1CEST,M3.5.0,M10.5.0/3" (IEEE Std 1003.1, 8.3, and RFC
/// 8536 3.3.1 for hours from -167 to 167). It ends each file of the tz database and holds from the last transition
/// listed there on.
class ZoneRule {
  public:
    /// Nothing where the text is no rule with two dates of the form Mm.w.d (the only ones in use).
    static std::optional<ZoneRule> parse(std::string_view text);

    /// The transitions of a year: instant and offset from then on. Not in order of time.
    std::vector<std::pair<Timestamp, Duration>> transitions(int year) const;

  private:
    struct Day {
        unsigned month = 1;
        unsigned week = 1;     ///< 5: the last
        unsigned weekday = 0;  ///< 0: Sunday
        Duration time = 0;     ///< of day, by the clock before the transition
        std::int64_t local(int year) const;
    };
    Duration standard_ = 0;  ///< local = UTC + this
    Duration summer_ = 0;
    Day to_summer_;
    Day to_standard_;
};

}  // namespace takt
