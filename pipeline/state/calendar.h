#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/base/time.h"

namespace takt {

/// Half-open [start, end), UTC.
struct Window {
    Timestamp start = 0;
    Timestamp end = 0;
    bool operator==(const Window&) const = default;
};

/// Local calendar of one IANA time zone (Howard Hinnant's date library, the system's tz database). Immutable and thread-safe.
/// A local time that occurs twice means the first; one that does not exist means the instant of the transition.
class TimeZone {
  public:
    /// C-error with a did-you-mean when the zone is unknown.
    static Result<std::shared_ptr<const TimeZone>> find(std::string_view iana_name);

    const std::string& name() const { return name_; }
    /// Days since 1970 of the local date at this instant.
    std::int32_t local_date(Timestamp time) const;
    /// Local wall clock nanoseconds since local 1970-01-01T00:00 at this instant (for CEL accessors).
    std::int64_t local_nanoseconds(Timestamp time) const;
    /// The instant of a local wall-clock time by the rules above. `of_day` in [0, 24 h].
    Timestamp instant(std::int32_t local_date, Duration of_day) const;

    /// Local day, week (ISO, from Monday), month, that contains the instant.
    Window day(Timestamp time) const;
    Window week(Timestamp time) const;
    Window month(Timestamp time) const;

    ~TimeZone();

  private:
    struct Impl;
    explicit TimeZone(std::string name);
    std::string name_;
    std::unique_ptr<Impl> impl_;
};

/// One shift of a plan: local wall clock; end <= start means past midnight.
struct Shift {
    std::string name;
    Duration start = 0;  ///< of day
    Duration end = 0;
};

/// A plant's shifts in its zone; they cover the day without gap. Immutable and thread-safe.
class ShiftPlan {
  public:
    /// D/C-error when there is a gap or an overlap, naming the two shifts.
    static Result<std::shared_ptr<const ShiftPlan>> make(std::shared_ptr<const TimeZone> zone, std::vector<Shift> shifts);

    struct Found {
        Window window;
        std::int32_t shift = 0;      ///< index into shifts()
        std::int32_t date = 0;       ///< local date on which the shift begins
    };
    /// The shift that contains the instant. Boundaries are local wall-clock instants turned into UTC; where a transition makes a shift
    /// empty it contains nothing.
    Found find(Timestamp time) const;
    const std::vector<Shift>& shifts() const { return shifts_; }
    const TimeZone& zone() const { return *zone_; }

  private:
    ShiftPlan(std::shared_ptr<const TimeZone> zone, std::vector<Shift> shifts);
    std::shared_ptr<const TimeZone> zone_;
    std::vector<Shift> shifts_;
};

/// Tumbling windows aligned to 1970 plus `offset`.
Window tumbling_window(Timestamp time, Duration size, Duration offset);

}  // namespace takt
