// Timestamps and durations: accessors, in UTC or a time zone.
#include <date/tz.h>
#include <fmt/format.h>

#include "pipeline/base/time.h"
#include "pipeline/expression/builder.h"

namespace takt::expression {
namespace {

using K = TypeKind;

enum class Part : std::uint8_t {
    full_year,
    month,
    day_of_month,
    date,
    day_of_week,
    day_of_year,
    hours,
    minutes,
    seconds,
    milliseconds
};

std::optional<Part> part_of(const std::string& name) {
    static const std::pair<std::string_view, Part> known[] = {{"getFullYear", Part::full_year},
                                                              {"getMonth", Part::month},
                                                              {"getDayOfMonth", Part::day_of_month},
                                                              {"getDate", Part::date},
                                                              {"getDayOfWeek", Part::day_of_week},
                                                              {"getDayOfYear", Part::day_of_year},
                                                              {"getHours", Part::hours},
                                                              {"getMinutes", Part::minutes},
                                                              {"getSeconds", Part::seconds},
                                                              {"getMilliseconds", Part::milliseconds}};
    for (const auto& [accessor, part] : known) {
        if (accessor == name) return part;
    }
    return std::nullopt;
}

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
    return a / b - (a % b < 0 ? 1 : 0);
}

/// A part of a wall clock: `local` are nanoseconds since a local 1970-01-01T00:00.
std::int64_t part_of_clock(Part part, Int128 local) {
    const auto days = static_cast<std::int64_t>(local / kDay - (local % kDay < 0 ? 1 : 0));
    const auto of_day = static_cast<std::int64_t>(local - static_cast<Int128>(days) * kDay);
    const CivilDate date = civil_from_days(static_cast<std::int32_t>(days));
    switch (part) {
        case Part::full_year:
            return date.year;
        case Part::month:
            return static_cast<std::int64_t>(date.month) - 1;
        case Part::day_of_month:
            return static_cast<std::int64_t>(date.day) - 1;
        case Part::date:
            return date.day;
        case Part::day_of_week: {
            const std::int64_t weekday = (days + 4) % 7;  // 1970-01-01 was a Thursday; 0 is Sunday
            return weekday < 0 ? weekday + 7 : weekday;
        }
        case Part::day_of_year:
            return days - days_from_civil(date.year, 1, 1);
        case Part::hours:
            return of_day / kHour;
        case Part::minutes:
            return of_day / kMinute % 60;
        case Part::seconds:
            return of_day / kSecond % 60;
        case Part::milliseconds:
            return of_day / kMillisecond % 1000;
    }
    return 0;
}

/// "+11:00", "-02:30", "02:00": the offset; nothing when it is none.
std::optional<Duration> parse_offset(std::string_view text) {
    bool negative = false;
    if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
        negative = text[0] == '-';
        text.remove_prefix(1);
    }
    const auto digit = [&](std::size_t i) { return text[i] >= '0' && text[i] <= '9'; };
    if (text.size() != 5 || text[2] != ':' || !digit(0) || !digit(1) || !digit(3) || !digit(4)) return std::nullopt;
    const int hours = (text[0] - '0') * 10 + (text[1] - '0');
    const int minutes = (text[3] - '0') * 10 + (text[4] - '0');
    if (hours > 23 || minutes > 59) return std::nullopt;
    const Duration offset = hours * kHour + minutes * kMinute;
    return negative ? -offset : offset;
}

const date::time_zone* find_zone(std::string_view name) {
    try {
        return date::locate_zone(std::string(name));
    } catch (const std::exception&) {
        return nullptr;
    }
}

Duration offset_of(const date::time_zone& zone, Timestamp time) {
    const date::sys_seconds instant{std::chrono::seconds(floor_divide(time, kSecond))};
    return zone.get_info(instant).offset.count() * kSecond;
}

Typed build_accessor(Builder& builder, Builder::Call& call, Part part) {
    const Type integer = Type::of(K::int64);
    if (call.matches({K::timestamp})) {
        return builder.finish(call.syntax, pure<std::int64_t, Timestamp>(integer, call.take(), [part](Timestamp time) {
                                  return part_of_clock(part, time);
                              }));
    }
    if (call.matches({K::duration})) {
        std::int64_t divisor = 0;
        if (part == Part::hours) divisor = kHour;
        if (part == Part::minutes) divisor = kMinute;
        if (part == Part::seconds) divisor = kSecond;
        if (part == Part::milliseconds) {
            return builder.finish(call.syntax, pure<std::int64_t, Duration>(integer, call.take(), [](Duration span) {
                                      return span / kMillisecond % 1000;
                                  }));
        }
        if (divisor == 0) return builder.no_overload(call);
        return builder.finish(call.syntax, pure<std::int64_t, Duration>(integer, call.take(), [divisor](Duration span) {
                                  return span / divisor;
                              }));
    }
    if (!call.matches({K::timestamp, K::string})) return builder.no_overload(call);
    if (const auto name = constant_text(call.arguments[1])) {
        const auto offset = parse_offset(*name);
        const date::time_zone* zone = offset ? nullptr : find_zone(*name);
        if (!offset && zone == nullptr)
            return builder.fail(
                *call.arguments[1].syntax, "C208",
                fmt::format("no time zone '{}'; expected an IANA name or an offset such as +02:00", *name));
        std::vector<NodePointer> nodes = call.take();
        nodes.pop_back();
        return builder.finish(
            call.syntax, pure<std::int64_t, Timestamp>(integer, std::move(nodes), [part, offset, zone](Timestamp time) {
                return part_of_clock(part, static_cast<Int128>(time) + (offset ? *offset : offset_of(*zone, time)));
            }));
    }
    return builder.finish(call.syntax,
                          fallible<std::int64_t, Timestamp, std::string_view>(
                              integer, call.take(),
                              [part](std::int64_t& out, Arena&, Timestamp time, std::string_view name) -> const char* {
                                  const auto offset = parse_offset(name);
                                  const date::time_zone* zone = offset ? nullptr : find_zone(name);
                                  if (!offset && zone == nullptr) return "unknown time zone";
                                  out = part_of_clock(
                                      part, static_cast<Int128>(time) + (offset ? *offset : offset_of(*zone, time)));
                                  return nullptr;
                              }));
}

}  // namespace

std::optional<Typed> build_time_function(Builder& builder, Builder::Call& call) {
    if (!call.method) return std::nullopt;
    const auto part = part_of(call.name);
    if (!part) return std::nullopt;
    return build_accessor(builder, call, *part);
}

}  // namespace takt::expression
