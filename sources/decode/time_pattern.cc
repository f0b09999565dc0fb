#include "sources/decode/time_pattern.h"

#include <fmt/format.h>

#include <array>

#include "pipeline/base/decimal.h"
#include "pipeline/base/int128.h"

namespace takt {
namespace {

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/// What a pattern has read so far.
struct Parsed {
    int year = 0, month = 0, day = 0;
    int hour = 0, minute = 0, second = 0;
    std::int64_t nanosecond = 0;
    std::optional<int> hour_of_half;  ///< %I
    std::optional<bool> afternoon;    ///< %p
    std::optional<int> offset_minutes;
};

/// Takes text from the front.
class Taker {
  public:
    explicit Taker(std::string_view text) : rest_(text) {}

    bool at_end() const { return rest_.empty(); }
    bool literal(char c) {
        if (rest_.empty() || rest_[0] != c) return false;
        rest_.remove_prefix(1);
        return true;
    }
    bool number(std::size_t least, std::size_t most, int& value) {
        std::size_t digits = 0;
        value = 0;
        while (digits < most && digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9') {
            value = value * 10 + (rest_[digits++] - '0');
        }
        rest_.remove_prefix(digits);
        return digits >= least;
    }
    bool fraction(std::int64_t& nanosecond) {
        std::size_t digits = 0;
        nanosecond = 0;
        while (digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9') {
            if (digits == 9) return false;
            nanosecond = nanosecond * 10 + (rest_[digits++] - '0');
        }
        rest_.remove_prefix(digits);
        for (std::size_t i = digits; i < 9; ++i) nanosecond *= 10;
        return digits > 0;
    }
    bool month(int& value) {
        for (std::size_t i = 0; i < kMonths.size(); ++i) {
            if (!rest_.starts_with(kMonths[i])) continue;
            value = static_cast<int>(i) + 1;
            rest_.remove_prefix(3);
            return true;
        }
        return false;
    }
    bool half(std::optional<bool>& afternoon) {
        if (rest_.size() < 2 || (rest_[1] != 'M' && rest_[1] != 'm')) return false;
        const char first = rest_[0];
        rest_.remove_prefix(2);
        afternoon = first == 'P' || first == 'p';
        return *afternoon || first == 'A' || first == 'a';
    }
    bool offset(std::optional<int>& minutes) {
        if (literal('Z') || literal('z')) {
            minutes = 0;
            return true;
        }
        const bool west = literal('-');
        int hour = 0, minute = 0;
        if (!west && !literal('+')) return false;
        if (!number(2, 2, hour)) return false;
        literal(':');
        if (!number(2, 2, minute) || hour > 23 || minute > 59) return false;
        minutes = (west ? -1 : 1) * (hour * 60 + minute);
        return true;
    }

  private:
    std::string_view rest_;
};

bool read_part(char conversion, Taker& taker, Parsed& parsed) {
    switch (conversion) {
        case 'Y':
            return taker.number(4, 4, parsed.year);
        case 'm':
            return taker.number(1, 2, parsed.month);
        case 'd':
            return taker.number(1, 2, parsed.day);
        case 'H':
            return taker.number(1, 2, parsed.hour);
        case 'M':
            return taker.number(1, 2, parsed.minute);
        case 'S':
            return taker.number(1, 2, parsed.second);
        case 'f':
            return taker.fraction(parsed.nanosecond);
        case 'b':
            return taker.month(parsed.month);
        case 'p':
            return taker.half(parsed.afternoon);
        case 'z':
            return taker.offset(parsed.offset_minutes);
        case 'I': {
            int hour = 0;
            if (!taker.number(1, 2, hour)) return false;
            parsed.hour_of_half = hour;
            return true;
        }
        default:
            return false;
    }
}

/// A day and time that exist; %I and %p become the hour.
bool settle(Parsed& parsed) {
    if (parsed.hour_of_half) {
        if (*parsed.hour_of_half < 1 || *parsed.hour_of_half > 12) return false;
        parsed.hour = *parsed.hour_of_half % 12 + (parsed.afternoon.value_or(false) ? 12 : 0);
    }
    if (parsed.month < 1 || parsed.month > 12 || parsed.day < 1) return false;
    if (parsed.hour > 23 || parsed.minute > 59 || parsed.second > 59) return false;
    const CivilDate date = civil_from_days(
        days_from_civil(parsed.year, static_cast<unsigned>(parsed.month), static_cast<unsigned>(parsed.day)));
    return date.year == parsed.year && date.month == static_cast<unsigned>(parsed.month) &&
           date.day == static_cast<unsigned>(parsed.day);
}

}  // namespace

Result<TimeForm> TimeForm::make(std::string_view form, std::shared_ptr<const TimeZone> zone) {
    TimeForm result;
    result.text_ = std::string(form);
    result.zone_ = std::move(zone);
    const auto refuse = [&](std::string_view why) {
        return Error{"C316", fmt::format("time form '{}' {}", form, why)};
    };
    const std::array<std::pair<std::string_view, int>, 4> epochs = {
        {{"epoch_s", 9}, {"epoch_ms", 6}, {"epoch_us", 3}, {"epoch_ns", 0}}};
    for (const auto& [name, scale] : epochs) {
        if (form != name) continue;
        result.kind_ = Kind::epoch;
        result.epoch_scale_ = scale;
    }
    if (result.kind_ == Kind::epoch || form == "rfc3339") {
        if (result.zone_ != nullptr) return refuse("says the instant itself and takes no zone");
        return result;
    }
    result.kind_ = Kind::pattern;
    std::string conversions;
    const auto add = [&](char conversion) {
        result.parts_.push_back({conversion, 0});
        conversions += conversion;
    };
    for (std::size_t i = 0; i < form.size(); ++i) {
        if (form[i] != '%') {
            result.parts_.push_back({0, form[i]});
            continue;
        }
        const char next = i + 1 < form.size() ? form[++i] : '\0';
        const std::string_view shorthand = next == 'F' ? "%Y-%m-%d" : next == 'T' ? "%H:%M:%S" : "";
        if (next == '%') {
            result.parts_.push_back({0, '%'});
        } else if (!shorthand.empty()) {
            for (std::size_t k = 0; k < shorthand.size(); ++k) {
                if (shorthand[k] == '%') {
                    add(shorthand[++k]);
                } else {
                    result.parts_.push_back({0, shorthand[k]});
                }
            }
        } else if (next != '\0' && std::string_view("YmdHMSIpbfz").find(next) != std::string_view::npos) {
            add(next);
        } else {
            return refuse(fmt::format("has the unknown conversion '%{}'", next == '\0' ? ' ' : next));
        }
    }
    const auto has = [&](char conversion) { return conversions.find(conversion) != std::string::npos; };
    if (!has('Y') || (!has('m') && !has('b')) || !has('d')) {
        return refuse("is neither rfc3339 nor epoch_s, epoch_ms, epoch_us, epoch_ns, nor a pattern with %Y, %m and %d");
    }
    if (has('I') != has('p')) return refuse("needs %I and %p together");
    if (has('z') && result.zone_ != nullptr) return refuse("says the zone itself by %z and takes none");
    if (!has('z') && result.zone_ == nullptr)
        return refuse("writes local time: it needs a zone, such as Europe/Berlin");
    return result;
}

std::optional<Timestamp> TimeForm::read(std::string_view text) const {
    switch (kind_) {
        case Kind::rfc3339:
            return parse_timestamp(text);
        case Kind::epoch:
            return parse_decimal_int64(text, epoch_scale_);
        case Kind::pattern:
            return read_pattern(text);
    }
    return std::nullopt;
}

std::optional<Timestamp> TimeForm::read_pattern(std::string_view text) const {
    Taker taker(text);
    Parsed parsed;
    for (const Part& part : parts_) {
        if (part.conversion == 0 ? !taker.literal(part.literal) : !read_part(part.conversion, taker, parsed)) {
            return std::nullopt;
        }
    }
    if (!taker.at_end() || !settle(parsed)) return std::nullopt;
    const std::int32_t date =
        days_from_civil(parsed.year, static_cast<unsigned>(parsed.month), static_cast<unsigned>(parsed.day));
    const Duration of_day = parsed.hour * kHour + parsed.minute * kMinute + parsed.second * kSecond + parsed.nanosecond;
    // A day of margin keeps the zone's arithmetic inside int64, whatever its offset.
    const Int128 instant = Int128{date} * kDay + of_day;
    if (instant < Int128{INT64_MIN} + kDay || instant > Int128{INT64_MAX} - kDay) return std::nullopt;
    if (parsed.offset_minutes) return static_cast<Timestamp>(instant) - *parsed.offset_minutes * kMinute;
    return zone_->instant(date, of_day);
}

}  // namespace takt
