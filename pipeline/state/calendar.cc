#include "pipeline/state/calendar.h"

// The library comes from Debian, built to read the system's database; its headers must be told the same.
#define USE_OS_TZDB 1
#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>

#include "pipeline/base/check.h"
#include "pipeline/base/int128.h"
#include "pipeline/state/zone_rule.h"

namespace takt {
namespace {

constexpr std::int64_t kFirstSecond = kBeginningOfTime / kSecond;
constexpr std::int64_t kLastSecond = kEndOfTime / kSecond;
/// More than the longest shift plus the largest jump of a local clock (a day, at the date line).
constexpr Duration kCalm = 3 * kDay;
/// A whole year that still fits int64 nanoseconds.
constexpr int kLastYear = 2261;
/// More than any zone's distance from UTC.
constexpr Duration kMaxOffset = 26 * kHour;
constexpr const char* kZoneFolder = "/usr/share/zoneinfo/";

std::int64_t floor_divide(std::int64_t value, std::int64_t divisor) {
    return value / divisor - (value % divisor < 0 ? 1 : 0);
}

int year_of(Timestamp time) {
    return civil_from_days(static_cast<std::int32_t>(floor_divide(time, kDay))).year;
}

Timestamp clamp(Int128 time) {
    if (time > kEndOfTime) return kEndOfTime;
    if (time < kBeginningOfTime) return kBeginningOfTime;
    return static_cast<Timestamp>(time);
}

/// The POSIX rule at the end of a zone's file: what holds after its last listed transition (2037). Empty when there is
/// none.
std::optional<ZoneRule> rule_after_last_transition(const std::string& name) {
    std::ifstream file(kZoneFolder + name, std::ios::binary);
    std::string line, last;
    while (std::getline(file, line)) last = line;
    return ZoneRule::parse(last);
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0]++;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, substituted});
        }
    }
    return row.back();
}

Error unknown_zone(std::string_view name) {
    std::string nearest;
    std::size_t best = name.size() / 3 + 1;
    for (const date::time_zone& zone : date::get_tzdb().zones) {
        const std::size_t distance = edit_distance(name, zone.name());
        if (distance < best) {
            best = distance;
            nearest = zone.name();
        }
    }
    const std::string hint = nearest.empty() ? std::string("; it expects an IANA name such as Europe/Berlin")
                                             : fmt::format("; did you mean '{}'?", nearest);
    return Error{"C410", fmt::format("unknown time zone '{}'{}", name, hint)};
}

}  // namespace

void TimeZone::add_period(Timestamp start, Duration offset) {
    if (!periods_.empty() && periods_.back().offset == offset) return;
    Period period;
    period.start = start;
    period.offset = offset;
    periods_.push_back(period);
}

void TimeZone::add_rule(const std::optional<ZoneRule>& rule) {
    if (!rule) return;
    for (int year = year_of(periods_.back().start); year <= kLastYear; ++year) {
        auto transitions = rule->transitions(year);
        std::sort(transitions.begin(), transitions.end());
        for (const auto& [start, offset] : transitions) {
            if (start > periods_.back().start) add_period(start, offset);
        }
    }
}

void TimeZone::close_periods() {
    for (std::size_t i = 0; i < periods_.size(); ++i) {
        Period& period = periods_[i];
        if (i + 1 < periods_.size()) period.end = periods_[i + 1].start;
        period.calm_start = saturating_add(period.start, kCalm);
        period.calm_end = saturating_subtract(period.end, kCalm);
    }
}

std::string TimeZone::rules_version() {
    const std::string version = date::get_tzdb().version;
    return version.empty() ? "unknown" : version;
}

Result<std::shared_ptr<const TimeZone>> TimeZone::find(std::string_view iana_name) {
    static std::mutex mutex;
    static std::map<std::string, std::shared_ptr<const TimeZone>, std::less<>> known;  // shared: handed to whoever asks
    const std::lock_guard lock(mutex);
    if (const auto found = known.find(iana_name); found != known.end()) return found->second;
    std::shared_ptr<TimeZone> zone(new TimeZone(std::string(iana_name)));
    try {
        using std::chrono::seconds;
        const date::time_zone* source = date::locate_zone(zone->name_);
        const auto add = [&](std::int64_t second, const date::sys_info& info) {
            zone->add_period(second <= kFirstSecond ? kBeginningOfTime : second * kSecond,
                             info.offset.count() * kSecond);
            return info.end.time_since_epoch().count();
        };
        for (std::int64_t second = kFirstSecond; second < kLastSecond;) {
            second = add(second, source->get_info(date::sys_seconds(seconds(second))));
        }
        zone->add_rule(rule_after_last_transition(zone->name_));
    } catch (const std::exception&) {
        if (zone->periods_.empty()) return unknown_zone(iana_name);
    }
    zone->close_periods();
    known.emplace(zone->name_, zone);
    return std::shared_ptr<const TimeZone>(zone);
}

const TimeZone::Period& TimeZone::search(Timestamp time) const {
    const auto after = std::upper_bound(periods_.begin(), periods_.end(), time,
                                        [](Timestamp t, const Period& period) { return t < period.start; });
    const auto index = static_cast<std::uint32_t>(after - periods_.begin() - 1);
    last_.store(index, std::memory_order_relaxed);
    return periods_[index];
}

std::int32_t TimeZone::local_date(Timestamp time) const {
    return static_cast<std::int32_t>(floor_divide(local_nanoseconds(time), kDay));
}

Timestamp TimeZone::instant(std::int32_t local_date, Duration of_day) const {
    const Int128 local = Int128{local_date} * kDay + of_day;
    for (const Period* at = &period(saturating_subtract(clamp(local), kMaxOffset)); at != &periods_.back(); ++at) {
        if (Int128{at->end} + at->offset > local) return std::max(at->start, clamp(local - at->offset));
    }
    return std::max(periods_.back().start, clamp(local - periods_.back().offset));
}

/// The window [start(index), start(index + 1)) that contains the instant; `index` is near it.
template <typename Start>
Window TimeZone::between(Timestamp time, std::int32_t index, Start&& start) const {
    Window window{start(index), start(index + 1)};
    while (window.start > time) window = {start(--index), window.start};
    while (window.end <= time && window.end < kEndOfTime) window = {window.end, start(++index + 1)};
    return window;
}

Window TimeZone::day(Timestamp time) const {
    return between(time, local_date(time), [this](std::int32_t date) { return instant(date, 0); });
}

Window TimeZone::week(Timestamp time) const {
    // 1970-01-01 was a Thursday.
    const auto index = static_cast<std::int32_t>(floor_divide(local_date(time) + 3, 7));
    return between(time, index, [this](std::int32_t week) { return instant(week * 7 - 3, 0); });
}

Window TimeZone::month(Timestamp time) const {
    const CivilDate date = civil_from_days(local_date(time));
    return between(time, date.year * 12 + static_cast<std::int32_t>(date.month) - 1, [this](std::int32_t month) {
        return instant(days_from_civil(month / 12, static_cast<unsigned>(month % 12) + 1, 1), 0);
    });
}

ShiftPlan::ShiftPlan(std::shared_ptr<const TimeZone> zone, std::vector<Shift> shifts)
    : zone_(std::move(zone)), shifts_(std::move(shifts)) {
    static std::atomic<std::uint64_t> plans{0};
    id_ = ++plans;
    order_.resize(shifts_.size());
    std::iota(order_.begin(), order_.end(), 0);
    const auto start_of = [this](std::int32_t index) { return shifts_[static_cast<std::size_t>(index)].start; };
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::int32_t a, std::int32_t b) { return start_of(a) < start_of(b); });
    for (const std::int32_t index : order_) starts_.push_back(start_of(index));
}

Result<std::shared_ptr<const ShiftPlan>> ShiftPlan::make(std::shared_ptr<const TimeZone> zone,
                                                         std::vector<Shift> shifts) {
    CHECK(zone != nullptr);
    if (shifts.empty()) return Error{"C411", "a plan needs at least one shift"};
    for (const Shift& shift : shifts) {
        if (shift.start < 0 || shift.start >= kDay || shift.end < 0 || shift.end > kDay) {
            return Error{"C411", fmt::format("shift '{}' must start and end between 00:00 and 24:00", shift.name)};
        }
    }
    std::shared_ptr<const ShiftPlan> plan(new ShiftPlan(std::move(zone), std::move(shifts)));
    for (std::size_t i = 0; i < plan->order_.size(); ++i) {
        const Shift& shift = plan->shifts_[static_cast<std::size_t>(plan->order_[i])];
        const Shift& next = plan->shifts_[static_cast<std::size_t>(plan->order_[(i + 1) % plan->order_.size()])];
        const auto length_to = [&](Duration end) {
            return end % kDay > shift.start ? end % kDay - shift.start : end % kDay - shift.start + kDay;
        };
        const bool only = &shift == &next;
        const Duration length = length_to(shift.end);
        const Duration room = !only && next.start == shift.start ? 0 : length_to(next.start);
        if (length == room) continue;
        return Error{
            "C412",
            fmt::format("there is {} between shift '{}' and shift '{}'; a plan covers the day without gap or overlap",
                        length < room ? "a gap" : "an overlap", shift.name, next.name)};
    }
    return plan;
}

Timestamp ShiftPlan::boundary(std::int64_t number) const {
    const auto per_day = static_cast<std::int64_t>(starts_.size());
    const std::int64_t date = floor_divide(number, per_day);
    return zone_->instant(static_cast<std::int32_t>(date), starts_[static_cast<std::size_t>(number - date * per_day)]);
}

ShiftPlan::Found ShiftPlan::find(Timestamp time) const {
    const TimeZone::Period& period = zone_->period(time);
    if (time < period.calm_start || time >= period.calm_end) return find_near_transition(time);
    const std::int64_t local = time + period.offset;
    std::int64_t date = floor_divide(local, kDay);
    const Duration of_day = local - date * kDay;
    std::size_t after = 0;
    for (const Duration start : starts_) after += start <= of_day ? 1 : 0;
    Duration end = after < starts_.size() ? starts_[after] : starts_[0] + kDay;
    if (after == 0) {
        --date;
        end += kDay;
        after = starts_.size();
    }
    const Timestamp midnight = date * kDay - period.offset;
    return {{midnight + starts_[after - 1], midnight + end}, order_[after - 1], static_cast<std::int32_t>(date)};
}

ShiftPlan::Found ShiftPlan::find_near_transition(Timestamp time) const {
    struct Remembered {
        std::uint64_t plan = 0;
        Found found;
    };
    thread_local std::array<Remembered, 256> remembered;
    // About two hours a place: the few windows that are current at the same time do not drive each other out.
    const auto place = static_cast<std::uint64_t>(time >> 43) + id_ * 37;
    Remembered& last = remembered[place % remembered.size()];
    if (last.plan == id_ && last.found.window.start <= time && time < last.found.window.end) return last.found;

    const auto per_day = static_cast<std::int64_t>(starts_.size());
    std::int64_t number = zone_->local_date(time) * per_day;
    Window window{boundary(number), boundary(number + 1)};
    while (window.start > time) window = {boundary(--number), window.start};
    while (window.end <= time && window.end < kEndOfTime) window = {window.end, boundary(++number + 1)};
    const auto shift = static_cast<std::size_t>(number - floor_divide(number, per_day) * per_day);
    last = {id_, {window, order_[shift], zone_->local_date(window.start)}};
    return last.found;
}

Window tumbling_window(Timestamp time, Duration size, Duration offset) {
    CHECK(size > 0);
    Duration since = 0;
    if (!__builtin_sub_overflow(time, offset, &since)) {
        const Duration rest = since % size;
        Window window;
        if (!__builtin_sub_overflow(time, rest < 0 ? rest + size : rest, &window.start) &&
            !__builtin_add_overflow(window.start, size, &window.end)) {
            return window;
        }
    }
    const Int128 wide = Int128{time} - offset;
    const Int128 rest = wide % size;
    const Int128 start = Int128{time} - (rest < 0 ? rest + size : rest);
    return {clamp(start), clamp(start + size)};
}

}  // namespace takt
