#include "pipeline/state/calendar.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "tests/unit/pipeline/state/instant.h"

namespace takt {
namespace {

using testing::HasSubstr;

std::shared_ptr<const TimeZone> zone(std::string_view name) {
    auto found = TimeZone::find(name);
    EXPECT_TRUE(found) << name;
    return found.value();
}

std::string text(const Window& window) {
    return fmt::format("{} {}", format_timestamp(window.start), format_timestamp(window.end));
}

Shift shift(std::string_view name, int start_minutes, int end_minutes) {
    return {std::string(name), start_minutes * kMinute, end_minutes * kMinute};
}

std::shared_ptr<const ShiftPlan> plan(std::string_view zone_name, std::vector<Shift> shifts) {
    auto made = ShiftPlan::make(zone(zone_name), std::move(shifts));
    EXPECT_TRUE(made) << (made ? "" : made.error().text());
    return made.value();
}

std::vector<Shift> three_shifts() {
    return {shift("early", 360, 840), shift("late", 840, 1320), shift("night", 1320, 360)};
}

std::vector<Shift> hourly_shifts() {
    std::vector<Shift> shifts;
    for (int hour = 0; hour < 24; ++hour)
        shifts.push_back(shift(fmt::format("h{}", hour), hour * 60, (hour + 1) % 24 * 60));
    return shifts;
}

TEST(TimeZone, RefusesAnUnknownNameWithTheNearestOne) {
    const auto found = TimeZone::find("Europe/Berln");
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().text(), "C410: unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?");
    EXPECT_THAT(TimeZone::find("").error().message, HasSubstr("IANA"));
    EXPECT_FALSE(TimeZone::find("../../etc/passwd"));
}

TEST(TimeZone, TurnsARepeatedLocalTimeIntoItsFirstInstant) {
    const auto berlin = zone("Europe/Berlin");
    const std::int32_t day = days_from_civil(2025, 10, 26);
    EXPECT_EQ(format_timestamp(berlin->instant(day, 2 * kHour)), "2025-10-26T00:00:00Z");
    EXPECT_EQ(format_timestamp(berlin->instant(day, 2 * kHour + 30 * kMinute)), "2025-10-26T00:30:00Z");
    EXPECT_EQ(format_timestamp(berlin->instant(day, 3 * kHour)), "2025-10-26T02:00:00Z");
}

TEST(TimeZone, TurnsASkippedLocalTimeIntoTheInstantOfTheTransition) {
    const auto berlin = zone("Europe/Berlin");
    const std::int32_t day = days_from_civil(2026, 3, 29);
    EXPECT_EQ(format_timestamp(berlin->instant(day, 2 * kHour)), "2026-03-29T01:00:00Z");
    EXPECT_EQ(format_timestamp(berlin->instant(day, 2 * kHour + 59 * kMinute)), "2026-03-29T01:00:00Z");
    EXPECT_EQ(format_timestamp(berlin->instant(day, 3 * kHour)), "2026-03-29T01:00:00Z");
    EXPECT_EQ(format_timestamp(berlin->instant(day, 3 * kHour + kNanosecond)), "2026-03-29T01:00:00.000000001Z");
}

TEST(TimeZone, KnowsTheRulesBeyondTheListedTransitions) {
    const auto berlin = zone("Europe/Berlin");
    EXPECT_EQ(berlin->local_nanoseconds(at("2051-07-01T00:00:00Z")), at("2051-07-01T02:00:00Z"));
    EXPECT_EQ(berlin->local_nanoseconds(at("2051-12-01T00:00:00Z")), at("2051-12-01T01:00:00Z"));
    EXPECT_EQ(zone("Australia/Lord_Howe")->local_nanoseconds(at("2100-01-01T00:00:00Z")), at("2100-01-01T11:00:00Z"));
    EXPECT_EQ(zone("America/St_Johns")->local_nanoseconds(at("2100-01-01T00:00:00Z")), at("2099-12-31T20:30:00Z"));
}

TEST(TimeZone, CutsDaysWeeksAndMonthsAtLocalMidnight) {
    const auto berlin = zone("Europe/Berlin");
    EXPECT_EQ(text(berlin->day(at("2026-03-29T12:00:00Z"))), "2026-03-28T23:00:00Z 2026-03-29T22:00:00Z");
    EXPECT_EQ(text(berlin->day(at("2025-10-26T12:00:00Z"))), "2025-10-25T22:00:00Z 2025-10-26T23:00:00Z");
    EXPECT_EQ(text(berlin->week(at("2026-03-29T21:59:59.999999999Z"))), "2026-03-22T23:00:00Z 2026-03-29T22:00:00Z");
    EXPECT_EQ(text(berlin->week(at("2026-03-29T22:00:00Z"))), "2026-03-29T22:00:00Z 2026-04-05T22:00:00Z");
    EXPECT_EQ(text(berlin->month(at("2026-03-29T12:00:00Z"))), "2026-02-28T23:00:00Z 2026-03-31T22:00:00Z");
    EXPECT_EQ(text(berlin->month(at("2025-12-31T23:00:00Z"))), "2025-12-31T23:00:00Z 2026-01-31T23:00:00Z");
    EXPECT_EQ(text(zone("Etc/UTC")->month(at("1969-12-31T23:00:00Z"))), "1969-12-01T00:00:00Z 1970-01-01T00:00:00Z");
}

TEST(TimeZone, GivesADayThatDoesNotExistNoTime) {
    // Samoa went from 2011-12-29 24:00 to 2011-12-31 00:00.
    const auto apia = zone("Pacific/Apia");
    const Timestamp jump = at("2011-12-30T10:00:00Z");
    EXPECT_EQ(apia->day(jump - 1).end, jump);
    EXPECT_EQ(apia->day(jump).start, jump);
    EXPECT_EQ(format_date(apia->local_date(jump)), "2011-12-31");
    EXPECT_EQ(apia->instant(days_from_civil(2011, 12, 30), 12 * kHour), jump);
}

TEST(TimeZone, GivesARepeatedMidnightToTheDayThatBeganFirst) {
    // St. John's went back from 00:01 to 23:01 of the day before.
    const auto johns = zone("America/St_Johns");
    const Timestamp midnight = at("2009-11-01T02:30:00Z");
    EXPECT_EQ(johns->day(midnight + 30 * kMinute), johns->day(midnight));
    EXPECT_EQ(johns->day(midnight).start, midnight);
    EXPECT_EQ(johns->day(midnight).end - midnight, 25 * kHour);
    EXPECT_EQ(format_date(johns->local_date(midnight + 30 * kMinute)), "2009-10-31");
}

TEST(TimeZone, CutsWindowsOffAtTheEndsOfTime) {
    for (const char* name : {"Europe/Berlin", "America/St_Johns", "Etc/UTC", "Pacific/Apia"}) {
        const auto some = zone(name);
        for (const Timestamp time : {kBeginningOfTime, kEndOfTime - 1, kEndOfTime}) {
            for (const Window window : {some->day(time), some->week(time), some->month(time)}) {
                EXPECT_LE(window.start, time);
                EXPECT_TRUE(time < window.end || time == kEndOfTime) << name << " " << time;
            }
        }
    }
}

TEST(ShiftPlan, GivesTheNightShiftOfATransitionAnHourMoreOrLess) {
    const auto berlin = plan("Europe/Berlin", three_shifts());
    const auto spring = berlin->find(at("2026-03-29T03:59:59.999999999Z"));
    EXPECT_EQ(text(spring.window), "2026-03-28T21:00:00Z 2026-03-29T04:00:00Z");
    EXPECT_EQ(berlin->shifts()[static_cast<std::size_t>(spring.shift)].name, "night");
    EXPECT_EQ(format_date(spring.date), "2026-03-28");
    const auto autumn = berlin->find(at("2025-10-26T04:59:59.999999999Z"));
    EXPECT_EQ(text(autumn.window), "2025-10-25T20:00:00Z 2025-10-26T05:00:00Z");
    EXPECT_EQ(format_date(autumn.date), "2025-10-25");
}

TEST(ShiftPlan, BeginsAShiftAtASkippedTimeWithTheTransition) {
    const auto gap =
        plan("Europe/Berlin", {shift("one", 150, 630), shift("two", 630, 1095), shift("three", 1095, 150)});
    EXPECT_EQ(text(gap->find(at("2026-03-29T00:59:59.999999999Z")).window),
              "2026-03-28T17:15:00Z 2026-03-29T01:00:00Z");
    EXPECT_EQ(text(gap->find(at("2026-03-29T01:00:00Z")).window), "2026-03-29T01:00:00Z 2026-03-29T08:30:00Z");
}

TEST(ShiftPlan, BeginsAShiftAtARepeatedTimeWhenItComesFirst) {
    const auto gap =
        plan("Europe/Berlin", {shift("one", 150, 630), shift("two", 630, 1095), shift("three", 1095, 150)});
    EXPECT_EQ(text(gap->find(at("2025-10-26T00:30:00Z")).window), "2025-10-26T00:30:00Z 2025-10-26T09:30:00Z");
    EXPECT_EQ(gap->find(at("2025-10-26T01:10:00Z")).shift, 0);  // 02:10 for the second time
}

TEST(ShiftPlan, LeavesAShiftThatATransitionSwallowsEmpty) {
    const auto johns = plan("America/St_Johns", hourly_shifts());
    // 2026-03-08: 02:00 becomes 03:00 at 05:30Z.
    const Timestamp jump = at("2026-03-08T05:30:00Z");
    EXPECT_EQ(johns->find(jump - 1).shift, 1);
    EXPECT_EQ(johns->find(jump).shift, 3);
    EXPECT_EQ(johns->find(jump - 1).window.end, jump);
    EXPECT_EQ(johns->find(jump).window.start, jump);
}

TEST(ShiftPlan, TakesHalfAnHourOfSummerTime) {
    const auto howe = plan("Australia/Lord_Howe", {shift("a", 105, 825), shift("b", 825, 105)});
    // 2026-04-05: 02:00 becomes 01:30 at 2026-04-04T15:00Z; the shift begins at 01:45 of the first time.
    EXPECT_EQ(text(howe->find(at("2026-04-04T15:10:00Z")).window), "2026-04-04T14:45:00Z 2026-04-05T03:15:00Z");
    EXPECT_EQ(text(howe->find(at("2026-04-04T14:44:59Z")).window), "2026-04-04T02:45:00Z 2026-04-04T14:45:00Z");
}

TEST(ShiftPlan, TakesTheDateFromTheWindowsStart) {
    // Nuuk goes from 23:00 of Saturday to 00:00 of Sunday: a shift of 23:30 begins on Sunday.
    const auto nuuk = plan("America/Nuuk", {shift("day", 690, 1410), shift("night", 1410, 690)});
    const auto night = nuuk->find(at("2026-03-29T01:00:00Z"));
    EXPECT_EQ(format_timestamp(night.window.start), "2026-03-29T01:00:00Z");
    EXPECT_EQ(format_date(night.date), "2026-03-29");
}

TEST(ShiftPlan, TilesTimeInEveryZone) {
    const std::vector<std::vector<Shift>> plans = {
        three_shifts(),
        hourly_shifts(),
        {shift("all", 90, 90)},
        {shift("a", 105, 150), shift("b", 150, 1435), shift("c", 1435, 105)}};
    std::mt19937_64 random(7);
    for (const char* name :
         {"Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "America/Nuuk", "Africa/Cairo",
          "Asia/Gaza", "America/Scoresbysund", "Asia/Kolkata", "Etc/UTC", "Pacific/Kwajalein"}) {
        for (const auto& shifts : plans) {
            const auto some = plan(name, shifts);
            Timestamp time = at("1987-01-01T00:00:00Z");
            Timestamp expected_start = some->find(time).window.end;
            while (time < at("2045-01-01T00:00:00Z")) {
                time = expected_start;
                const auto found = some->find(time);
                ASSERT_EQ(found.window.start, expected_start) << name << " " << format_timestamp(time);
                ASSERT_LT(found.window.start, found.window.end);
                ASSERT_EQ(some->find(found.window.end - 1).window, found.window)
                    << name << " " << format_timestamp(time);
                ASSERT_EQ(found.date, some->zone().local_date(found.window.start));
                expected_start = found.window.end;
                // Arrive in the middle of a window now and then.
                if (random() % 4 == 0) {
                    time += static_cast<Duration>(random() % static_cast<std::uint64_t>(20 * kDay));
                    const auto jumped = some->find(time);
                    ASSERT_LE(jumped.window.start, time) << name << " " << format_timestamp(time);
                    ASSERT_LT(time, jumped.window.end) << name << " " << format_timestamp(time);
                    expected_start = jumped.window.end;
                }
            }
        }
    }
}

TEST(ShiftPlan, ContainsEveryInstantUpToTheEndOfTime) {
    const auto berlin = plan("Europe/Berlin", three_shifts());
    for (const Timestamp time : {kBeginningOfTime, kBeginningOfTime + kDay, kEndOfTime - kDay, kEndOfTime - 1}) {
        const Window window = berlin->find(time).window;
        EXPECT_LE(window.start, time);
        EXPECT_LT(time, window.end);
    }
    EXPECT_EQ(berlin->find(kEndOfTime).window.end, kEndOfTime);
}

TEST(ShiftPlan, RefusesAGapAndAnOverlapByName) {
    const auto make = [](std::vector<Shift> shifts) { return ShiftPlan::make(zone("Etc/UTC"), std::move(shifts)); };
    EXPECT_EQ(
        make({shift("early", 360, 840), shift("night", 1320, 360)}).error().text(),
        "C412: there is a gap between shift 'early' and shift 'night'; a plan covers the day without gap or overlap");
    EXPECT_THAT(make({shift("early", 360, 900), shift("late", 840, 360)}).error().message,
                HasSubstr("an overlap between shift 'early' and shift 'late'"));
    EXPECT_THAT(make({shift("one", 360, 1080), shift("two", 1080, 300)}).error().message,
                HasSubstr("a gap between shift 'two' and shift 'one'"));
    EXPECT_THAT(make({shift("one", 360, 360), shift("two", 400, 500)}).error().message,
                HasSubstr("an overlap between shift 'one' and shift 'two'"));
    EXPECT_THAT(make({shift("one", 360, 1080), shift("two", 360, 1080)}).error().message, HasSubstr("an overlap"));
    EXPECT_EQ(make({}).error().code, "C411");
    EXPECT_EQ(make({shift("one", 1440, 1440)}).error().code, "C411");
    EXPECT_TRUE(make({shift("day", 0, 720), shift("night", 720, 1440)}));
    EXPECT_TRUE(make({shift("all", 1320, 1320)}));
}

TEST(ShiftPlan, AnswersManyThreadsAlike) {
    const auto berlin = plan("Europe/Berlin", three_shifts());
    const auto johns = plan("America/St_Johns", hourly_shifts());
    const auto sum = [&](std::uint64_t seed) {
        std::mt19937_64 random(seed);
        std::uint64_t total = 0;
        for (int i = 0; i < 20'000; ++i) {
            const auto time =
                at("2026-03-20T00:00:00Z") + static_cast<Duration>(random() % static_cast<std::uint64_t>(300 * kDay));
            for (const auto& some : {berlin, johns}) {
                const auto found = some->find(time);
                EXPECT_TRUE(found.window.start <= time && time < found.window.end);
                total = total * 31 + static_cast<std::uint64_t>(found.window.end);
            }
        }
        return total;
    };
    const std::uint64_t alone = sum(3);
    std::vector<std::uint64_t> totals(4);
    std::vector<std::thread> threads;
    for (std::uint64_t& total : totals) threads.emplace_back([&] { total = sum(3); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_THAT(totals, testing::Each(alone));
}

TEST(TumblingWindow, AlignsToTheEpochAndItsOffset) {
    EXPECT_EQ(tumbling_window(0, kHour, 0), (Window{0, kHour}));
    EXPECT_EQ(tumbling_window(-1, kHour, 0), (Window{-kHour, 0}));
    EXPECT_EQ(tumbling_window(kHour, kHour, 0), (Window{kHour, 2 * kHour}));
    EXPECT_EQ(tumbling_window(0, kHour, 15 * kMinute), (Window{-45 * kMinute, 15 * kMinute}));
    EXPECT_EQ(tumbling_window(kEndOfTime - 1, kHour, 0).end, kEndOfTime);
    EXPECT_EQ(tumbling_window(kEndOfTime - 1, kHour, -kMinute).end, kEndOfTime);
    EXPECT_LE(tumbling_window(kBeginningOfTime + 1, kHour, kMinute).start, kBeginningOfTime + 1);
    EXPECT_GT(tumbling_window(kBeginningOfTime + 1, kHour, kMinute).end, kBeginningOfTime + 1);
    EXPECT_EQ(tumbling_window(kBeginningOfTime, kHour, 0).start, kBeginningOfTime);
}

/// Fields of an RFC 4180 file; what stands in quotes may hold line ends.
std::vector<std::vector<std::string>> read_fields(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<std::vector<std::string>> rows(1, {""});
    bool quoted = false;
    for (char c; file.get(c);) {
        if (c == '"')
            quoted = !quoted;
        else if (c == ',' && !quoted)
            rows.back().emplace_back();
        else if (c == '\n' && !quoted)
            rows.push_back({""});
        else if (c != '\r')
            rows.back().back() += c;
    }
    rows.pop_back();
    return rows;
}

TEST(ShiftPlan, FindsTheWindowsOfTheConformanceCases) {
    const std::filesystem::path cases = std::filesystem::path(TAKT_SOURCE_DIR) / "../shared/conformance/plant";
    if (!std::filesystem::exists(cases)) GTEST_SKIP() << "../shared is not there";
    const auto minutes = [](const std::string& clock) {
        return std::stoi(clock.substr(0, 2)) * 60 + std::stoi(clock.substr(3));
    };
    const std::set<std::string> by_shift = {"goods_receipt", "scrap", "machine_cost", "labor_cost"};
    std::size_t checked = 0;
    for (const auto& folder : std::filesystem::directory_iterator(cases)) {
        if (!std::filesystem::exists(folder.path() / "master/shifts.csv")) continue;
        std::map<std::string, std::vector<Shift>> shifts;
        for (const auto& row : read_fields(folder.path() / "master/shifts.csv")) {
            if (row[0] != "plant") shifts[row[0]].push_back(shift(row[1], minutes(row[2]), minutes(row[3])));
        }
        std::map<std::string, std::shared_ptr<const ShiftPlan>> plans;
        for (const auto& row : read_fields(folder.path() / "master/plants.csv")) {
            if (shifts.count(row[0]) > 0) plans[row[0]] = plan(row[1], shifts[row[0]]);
        }
        for (const auto& row : read_fields(folder.path() / "expected/postings.csv")) {
            const auto found_plan = plans.find(row[1]);
            const bool is_day = row[0] == "energy_cost";
            if (found_plan == plans.end() || (!is_day && by_shift.count(row[0]) == 0)) continue;
            const Window expected{at(row[9]), at(row[10])};
            for (const Timestamp time : {expected.start, expected.end - 1}) {
                const ShiftPlan& some = *found_plan->second;
                const Window window = is_day ? some.zone().day(time) : some.find(time).window;
                EXPECT_EQ(text(window), text(expected)) << folder.path() << " " << row[0] << " " << row[1];
                EXPECT_EQ(format_date(is_day ? some.zone().local_date(window.start) : some.find(time).date), row[11]);
            }
            ++checked;
        }
    }
    EXPECT_GT(checked, 1000u);
}

}  // namespace
}  // namespace takt
