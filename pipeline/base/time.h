#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace takt {

/// Nanoseconds since 1970-01-01T00:00:00Z (leap seconds not counted), as everywhere in takt.
using Timestamp = std::int64_t;
/// Nanoseconds.
using Duration = std::int64_t;

constexpr Duration kNanosecond = 1;
constexpr Duration kMicrosecond = 1'000;
constexpr Duration kMillisecond = 1'000'000;
constexpr Duration kSecond = 1'000'000'000;
constexpr Duration kMinute = 60 * kSecond;
constexpr Duration kHour = 60 * kMinute;
constexpr Duration kDay = 24 * kHour;

/// Before every event: the watermark of a source that has said nothing.
constexpr Timestamp kBeginningOfTime = INT64_MIN;
/// After every event: the watermark of bounded input read to its end.
constexpr Timestamp kEndOfTime = INT64_MAX;

/// a + b, at the limits of int64 where it would pass them. Use it for watermark and lateness arithmetic.
Timestamp saturating_add(Timestamp a, Duration b);
Timestamp saturating_subtract(Timestamp a, Duration b);

/// RFC 3339 with zone: `YYYY-MM-DDThh:mm:ss[.1 to 9 digits](Z|±hh:mm)`, `t` and `z` too, years 0000-9999. Second 60,
/// hour 24, a day that does not exist, an offset beyond ±23:59, or an instant beyond int64 nanoseconds give nothing.
std::optional<Timestamp> parse_timestamp(std::string_view text);

/// RFC 3339 in UTC; as many digits of the fraction as needed (0, 3, 6 or 9): "2026-05-12T06:09:00Z".
std::string format_timestamp(Timestamp time);

/// What people write: "250ms", "5m", "48h", "1h30m", "7d"; units ns us ms s m h d, each at most once, falling. Nothing
/// else.
std::optional<Duration> parse_duration(std::string_view text);

/// The shortest form that parse_duration reads back: "1h30m".
std::string format_duration(Duration duration);

/// A date of the proleptic Gregorian calendar; `days` counts from 1970-01-01. "2026-03-29".
std::string format_date(std::int32_t days);

/// Days from 1970-01-01 of a proleptic Gregorian date (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
std::int32_t days_from_civil(int year, unsigned month, unsigned day);
struct CivilDate {
    int year;
    unsigned month;
    unsigned day;
};
CivilDate civil_from_days(std::int32_t days);

}  // namespace takt
