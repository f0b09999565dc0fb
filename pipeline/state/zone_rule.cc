#include "pipeline/state/zone_rule.h"

namespace takt {
namespace {

/// Reads a text from the left; after a mistake nothing more is read and `ok` is false.
struct Reader {
    std::string_view text;
    bool ok = true;

    bool at(char c) const { return !text.empty() && text[0] == c; }
    bool take(char c) {
        if (!at(c)) return false;
        text.remove_prefix(1);
        return true;
    }
    void expect(char c) { ok = take(c) && ok; }
    void name() {
        std::size_t size = 0;
        if (at('<')) {
            size = text.find('>');
            size = size == std::string_view::npos ? 0 : size + 1;
        } else {
            while (size < text.size() && ((text[size] | 0x20) >= 'a' && (text[size] | 0x20) <= 'z')) ++size;
        }
        ok = ok && size >= 3;
        text.remove_prefix(size);
    }
    unsigned number(unsigned from, unsigned to) {
        unsigned value = 0;
        std::size_t digits = 0;
        for (; digits < text.size() && digits < 3 && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
            value = value * 10 + static_cast<unsigned>(text[digits] - '0');
        }
        text.remove_prefix(digits);
        ok = ok && digits > 0 && value >= from && value <= to;
        return value;
    }
    Duration clock() {
        const Duration sign = take('-') ? -1 : 1;
        if (sign > 0) take('+');
        Duration value = number(0, 167) * kHour;
        if (take(':')) value += number(0, 59) * kMinute;
        if (take(':')) value += number(0, 59) * kSecond;
        return sign * value;
    }
};

}  // namespace

std::optional<ZoneRule> ZoneRule::parse(std::string_view text) {
    Reader reader{text};
    ZoneRule rule;
    reader.name();
    rule.standard_ = -reader.clock();
    reader.name();
    rule.summer_ = reader.at(',') ? rule.standard_ + kHour : -reader.clock();
    for (Day* day : {&rule.to_summer_, &rule.to_standard_}) {
        reader.expect(',');
        reader.expect('M');
        day->month = reader.number(1, 12);
        reader.expect('.');
        day->week = reader.number(1, 5);
        reader.expect('.');
        day->weekday = reader.number(0, 6);
        day->time = reader.take('/') ? reader.clock() : 2 * kHour;
    }
    if (!reader.ok || !reader.text.empty()) return std::nullopt;
    return rule;
}

std::int64_t ZoneRule::Day::local(int year) const {
    const std::int32_t first = days_from_civil(year, month, 1);
    const std::int32_t next_month = month == 12 ? days_from_civil(year + 1, 1, 1) : days_from_civil(year, month + 1, 1);
    // 1970-01-01 was a Thursday.
    const auto weekday_of = [](std::int32_t days) { return (days % 7 + 11) % 7; };
    std::int32_t day = first + (static_cast<std::int32_t>(weekday) - weekday_of(first) + 7) % 7 +
                       static_cast<std::int32_t>(week - 1) * 7;
    while (day >= next_month) day -= 7;
    return day * kDay + time;
}

std::vector<std::pair<Timestamp, Duration>> ZoneRule::transitions(int year) const {
    return {{to_summer_.local(year) - standard_, summer_}, {to_standard_.local(year) - summer_, standard_}};
}

}  // namespace takt
