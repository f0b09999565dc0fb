#include "pipeline/base/time.h"

#include <fmt/format.h>

#include "pipeline/base/int128.h"

namespace takt {
namespace {

/// `count` digits at `at`; -1 where there is something else.
int digits_at(std::string_view text, std::size_t at, std::size_t count) {
    int value = 0;
    for (std::size_t i = at; i < at + count; ++i) {
        if (i >= text.size() || text[i] < '0' || text[i] > '9') return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

unsigned days_in_month(int year, unsigned month) {
    constexpr unsigned kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : kDays[month - 1];
}

struct DurationUnit {
    std::string_view name;
    Duration size;
};
constexpr DurationUnit kDurationUnits[] = {{"d", kDay},        {"h", kHour},         {"m", kMinute},
                                           {"s", kSecond},     {"ms", kMillisecond}, {"us", kMicrosecond},
                                           {"ns", kNanosecond}};

}  // namespace

Timestamp saturating_add(Timestamp a, Duration b) {
    Timestamp result = 0;
    if (!__builtin_add_overflow(a, b, &result)) return result;
    return b > 0 ? kEndOfTime : kBeginningOfTime;
}

Timestamp saturating_subtract(Timestamp a, Duration b) {
    Timestamp result = 0;
    if (!__builtin_sub_overflow(a, b, &result)) return result;
    return b < 0 ? kEndOfTime : kBeginningOfTime;
}

std::int32_t days_from_civil(int year, unsigned month, unsigned day) {
    const int y = month <= 2 ? year - 1 : year;
    const int era = (y >= 0 ? y : y - 399) / 400;
    const auto year_of_era = static_cast<unsigned>(y - era * 400);
    const unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    const unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + static_cast<int>(day_of_era) - 719468;
}

CivilDate civil_from_days(std::int32_t days) {
    const int z = days + 719468;
    const int era = (z >= 0 ? z : z - 146096) / 146097;
    const auto day_of_era = static_cast<unsigned>(z - era * 146097);
    const unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const unsigned shifted_month = (5 * day_of_year + 2) / 153;
    const unsigned month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    const int year = static_cast<int>(year_of_era) + era * 400 + (month <= 2 ? 1 : 0);
    return {year, month, day_of_year - (153 * shifted_month + 2) / 5 + 1};
}

std::optional<Timestamp> parse_timestamp(std::string_view text) {
    const int year = digits_at(text, 0, 4), month = digits_at(text, 5, 2), day = digits_at(text, 8, 2);
    const int hour = digits_at(text, 11, 2), minute = digits_at(text, 14, 2), second = digits_at(text, 17, 2);
    if (year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 59) {
        return std::nullopt;
    }
    if (text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't') || text[13] != ':' ||
        text[16] != ':') {
        return std::nullopt;
    }
    if (static_cast<unsigned>(day) > days_in_month(year, static_cast<unsigned>(month))) return std::nullopt;
    std::size_t at = 19;
    std::int64_t fraction = 0;
    if (at < text.size() && text[at] == '.') {
        ++at;
        std::size_t digits = 0;
        while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
            if (++digits > 9) return std::nullopt;
            fraction = fraction * 10 + (text[at++] - '0');
        }
        if (digits == 0) return std::nullopt;
        for (; digits < 9; ++digits) fraction *= 10;
    }
    if (at >= text.size()) return std::nullopt;
    std::int64_t offset_minutes = 0;
    if (text[at] == 'Z' || text[at] == 'z') {
        ++at;
    } else if (text[at] == '+' || text[at] == '-') {
        const int hours = digits_at(text, at + 1, 2), minutes = digits_at(text, at + 4, 2);
        if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || text[at + 3] != ':') return std::nullopt;
        offset_minutes = (text[at] == '-' ? -1 : 1) * (hours * 60 + minutes);
        at += 6;
    } else {
        return std::nullopt;
    }
    if (at != text.size()) return std::nullopt;
    const std::int64_t days = days_from_civil(year, static_cast<unsigned>(month), static_cast<unsigned>(day));
    const std::int64_t seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset_minutes * 60;
    const Int128 instant = static_cast<Int128>(seconds) * kSecond + fraction;
    if (instant < INT64_MIN || instant > INT64_MAX) return std::nullopt;
    return static_cast<Timestamp>(instant);
}

std::string format_date(std::int32_t days) {
    const CivilDate date = civil_from_days(days);
    return fmt::format("{:04}-{:02}-{:02}", date.year, date.month, date.day);
}

std::string format_timestamp(Timestamp time) {
    std::int64_t days = time / kDay;
    std::int64_t rest = time % kDay;
    if (rest < 0) {
        rest += kDay;
        --days;
    }
    const std::int64_t seconds = rest / kSecond;
    const std::int64_t nanoseconds = rest % kSecond;
    std::string text = fmt::format("{}T{:02}:{:02}:{:02}", format_date(static_cast<std::int32_t>(days)), seconds / 3600,
                                   seconds / 60 % 60, seconds % 60);
    if (nanoseconds % kMillisecond == 0) {
        if (nanoseconds != 0) text += fmt::format(".{:03}", nanoseconds / kMillisecond);
    } else if (nanoseconds % kMicrosecond == 0) {
        text += fmt::format(".{:06}", nanoseconds / kMicrosecond);
    } else {
        text += fmt::format(".{:09}", nanoseconds);
    }
    return text + "Z";
}

std::optional<Duration> parse_duration(std::string_view text) {
    if (text.empty()) return std::nullopt;
    Duration total = 0;
    std::size_t next_unit = 0;
    while (!text.empty()) {
        std::size_t at = 0;
        Duration count = 0;
        while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
            if (__builtin_mul_overflow(count, 10, &count) || __builtin_add_overflow(count, text[at] - '0', &count)) {
                return std::nullopt;
            }
            ++at;
        }
        if (at == 0) return std::nullopt;
        text.remove_prefix(at);
        std::size_t letters = 0;
        while (letters < text.size() && text[letters] >= 'a' && text[letters] <= 'z') ++letters;
        const std::string_view name = text.substr(0, letters);
        while (next_unit < std::size(kDurationUnits) && kDurationUnits[next_unit].name != name) ++next_unit;
        if (next_unit == std::size(kDurationUnits)) return std::nullopt;
        Duration part = 0;
        if (__builtin_mul_overflow(count, kDurationUnits[next_unit].size, &part) ||
            __builtin_add_overflow(total, part, &total)) {
            return std::nullopt;
        }
        ++next_unit;
        text.remove_prefix(letters);
    }
    return total;
}

std::string format_duration(Duration duration) {
    if (duration == 0) return "0s";
    if (duration < 0) return fmt::format("-{}", format_duration(saturating_subtract(0, duration)));
    std::string text;
    for (const DurationUnit& unit : kDurationUnits) {
        const Duration count = duration / unit.size;
        if (count == 0) continue;
        text += fmt::format("{}{}", count, unit.name);
        duration -= count * unit.size;
    }
    return text;
}

}  // namespace takt
