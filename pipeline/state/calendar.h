#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/base/time.h"

namespace takt {

class ZoneRule;

/// Half-open [start, end), UTC.
struct Window {
    Timestamp start = 0;
    Timestamp end = 0;
    bool operator==(const Window&) const = default;
};

/// Local calendar of one IANA time zone (Howard Hinnant's date library, the system's tz database). Immutable and
/// thread-safe.
///
/// A local time that occurs twice means the first; one that does not exist means the instant of the transition: so it
/// is always the first instant at which the local clock shows that time or a later one, and a later local time is never
/// an earlier instant. All calendar windows are cut at such instants, hence consecutive ones tile time without gap or
/// overlap and the window of an instant contains it (at the very ends of int64 a window is cut off at kBeginningOfTime
/// or kEndOfTime; only kEndOfTime itself is then in none).
class TimeZone {
  public:
    /// C410 with a did-you-mean when the zone is unknown. Zones are made once and kept for the process: call it freely.
    static Result<std::shared_ptr<const TimeZone>> find(std::string_view iana_name);

    /// Of the rules that all zones come from: "2024a"; "unknown" where the system does not say.
    static std::string rules_version();

    const std::string& name() const { return name_; }
    /// Days since 1970 of the local date at this instant.
    std::int32_t local_date(Timestamp time) const;
    /// Local wall clock nanoseconds since local 1970-01-01T00:00 at this instant (for CEL accessors).
    std::int64_t local_nanoseconds(Timestamp time) const { return saturating_add(time, period(time).offset); }
    /// The instant of a local wall-clock time by the rules above. `of_day` in [0, 24 h].
    Timestamp instant(std::int32_t local_date, Duration of_day) const;

    /// Local day, week (ISO, from Monday), month, that contains the instant.
    Window day(Timestamp time) const;
    Window week(Timestamp time) const;
    Window month(Timestamp time) const;

  private:
    friend class ShiftPlan;
    /// A time of constant offset, [start, end).
    struct Period {
        Timestamp start = kBeginningOfTime;
        Timestamp end = kEndOfTime;
        Duration offset = 0;       ///< local = UTC + offset
        Timestamp calm_start = 0;  ///< in [calm_start, calm_end) no transition is near enough
        Timestamp calm_end = 0;    ///< to touch a window of up to a day
    };

    explicit TimeZone(std::string name) : name_(std::move(name)) {}
    void add_period(Timestamp start, Duration offset);
    void add_rule(const std::optional<ZoneRule>& rule);
    void close_periods();
    const Period& period(Timestamp time) const {
        const Period& last = periods_[last_.load(std::memory_order_relaxed)];
        return time >= last.start && time < last.end ? last : search(time);
    }
    const Period& search(Timestamp time) const;
    template <typename Start>
    Window between(Timestamp time, std::int32_t index, Start&& start) const;

    std::string name_;
    std::vector<Period> periods_;                 ///< ascending, without gap
    mutable std::atomic<std::uint32_t> last_{0};  ///< a hint only: where the last search ended
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
    /// C411: no shift, or one that starts or ends outside the day. C412: a gap or an overlap, naming the two shifts.
    static Result<std::shared_ptr<const ShiftPlan>> make(std::shared_ptr<const TimeZone> zone,
                                                         std::vector<Shift> shifts);

    struct Found {
        Window window;
        std::int32_t shift = 0;  ///< index into shifts()
        std::int32_t date = 0;   ///< local date of the window's start
    };
    /// The shift that contains the instant. Boundaries are local wall-clock instants turned into UTC; where a
    /// transition makes a shift empty it contains nothing. About 10 ns.
    Found find(Timestamp time) const;
    const std::vector<Shift>& shifts() const { return shifts_; }
    const TimeZone& zone() const { return *zone_; }

  private:
    ShiftPlan(std::shared_ptr<const TimeZone> zone, std::vector<Shift> shifts);
    Found find_near_transition(Timestamp time) const;
    /// The instant of the boundary with this number; `starts_.size()` of them a day.
    Timestamp boundary(std::int64_t number) const;

    std::shared_ptr<const TimeZone> zone_;  ///< shared with all who use the zone
    std::vector<Shift> shifts_;
    std::vector<Duration> starts_;     ///< ascending
    std::vector<std::int32_t> order_;  ///< index into shifts_ of each start
    std::uint64_t id_;                 ///< no other plan of this process has it
};

/// Tumbling windows aligned to 1970 plus `offset`; size > 0. Cut off at the ends of int64.
Window tumbling_window(Timestamp time, Duration size, Duration offset);

}  // namespace takt
