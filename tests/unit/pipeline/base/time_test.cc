#include "pipeline/base/time.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "pipeline/base/clock.h"

namespace takt {
namespace {

TEST(Timestamp, ReadsTheFormsOfRfc3339) {
    const Timestamp noon = 1'778'565'600 * kSecond;  // 2026-05-12T06:00:00Z
    EXPECT_EQ(parse_timestamp("2026-05-12T06:00:00Z"), noon);
    EXPECT_EQ(parse_timestamp("2026-05-12t06:00:00z"), noon);
    EXPECT_EQ(parse_timestamp("2026-05-12T08:00:00+02:00"), noon);
    EXPECT_EQ(parse_timestamp("2026-05-11T20:30:00-09:30"), noon);
    EXPECT_EQ(parse_timestamp("2026-05-12T06:00:00-00:00"), noon);
    EXPECT_EQ(parse_timestamp("2026-05-13T05:59:00+23:59"), noon);
    EXPECT_EQ(parse_timestamp("2026-05-12T06:00:00.5Z"), noon + 500 * kMillisecond);
    EXPECT_EQ(parse_timestamp("2026-05-12T06:00:00.000000001Z"), noon + 1);
    EXPECT_EQ(parse_timestamp("1970-01-01T00:00:00Z"), 0);
    EXPECT_EQ(parse_timestamp("1969-12-31T23:59:59.999999999Z"), -1);
}

TEST(Timestamp, RefusesWhatIsNone) {
    for (const char* text : {"",
                             "2026-05-12",
                             "2026-05-12T06:00:00",
                             "2026-05-12T06:00:00.Z",
                             "2026-05-12T06:00:00.1234567890Z",
                             "2026-05-12T06:00:60Z",
                             "2026-05-12T24:00:00Z",
                             "2026-05-12T06:60:00Z",
                             "2026-02-29T00:00:00Z",
                             "1900-02-29T00:00:00Z",
                             "2026-04-31T00:00:00Z",
                             "2026-00-01T00:00:00Z",
                             "2026-13-01T00:00:00Z",
                             "2026-01-00T00:00:00Z",
                             "2026-05-12 06:00:00Z",
                             "2026-05-12T06:00Z",
                             "2026-05-12T06:00:00+24:00",
                             "2026-05-12T06:00:00+02:60",
                             "2026-05-12T06:00:00+0200",
                             "2026-05-12T06:00:00+02",
                             "2026-05-12T06:00:00Z ",
                             " 2026-05-12T06:00:00Z",
                             "2026-5-12T06:00:00Z",
                             "2026-05-12T06:00:00,5Z",
                             "+2026-05-12T06:00:00Z",
                             "2026-05-12T06:00:00ZZ",
                             "2026/05/12T06:00:00Z",
                             "2026-05-12T06-00:00Z",
                             "20260512T060000Z",
                             "2026-05-12T06:00:00+2:000"}) {
        EXPECT_EQ(parse_timestamp(text), std::nullopt) << text;
    }
    EXPECT_TRUE(parse_timestamp("2024-02-29T00:00:00Z"));
    EXPECT_TRUE(parse_timestamp("2000-02-29T00:00:00Z"));
}

TEST(Timestamp, ReachesTheLimitsOfInt64AndNotBeyond) {
    EXPECT_EQ(parse_timestamp("2262-04-11T23:47:16.854775807Z"), INT64_MAX);
    EXPECT_EQ(parse_timestamp("2262-04-11T23:47:16.854775808Z"), std::nullopt);
    EXPECT_EQ(parse_timestamp("2262-04-12T01:47:16.854775807+02:00"), INT64_MAX);
    EXPECT_EQ(parse_timestamp("1677-09-21T00:12:43.145224192Z"), INT64_MIN);
    EXPECT_EQ(parse_timestamp("1677-09-21T00:12:43.145224191Z"), std::nullopt);
    EXPECT_EQ(parse_timestamp("0000-01-01T00:00:00Z"), std::nullopt);
    EXPECT_EQ(parse_timestamp("9999-12-31T23:59:59Z"), std::nullopt);
}

TEST(Timestamp, WritesNoMoreDigitsThanNeeded) {
    const Timestamp time = *parse_timestamp("2026-05-12T06:09:00Z");
    EXPECT_EQ(format_timestamp(time), "2026-05-12T06:09:00Z");
    EXPECT_EQ(format_timestamp(time + 20 * kMillisecond), "2026-05-12T06:09:00.020Z");
    EXPECT_EQ(format_timestamp(time + 3 * kMicrosecond), "2026-05-12T06:09:00.000003Z");
    EXPECT_EQ(format_timestamp(time + 1), "2026-05-12T06:09:00.000000001Z");
    EXPECT_EQ(format_timestamp(-1), "1969-12-31T23:59:59.999999999Z");
}

TEST(Timestamp, ReadsWhatItWrites) {
    std::mt19937_64 random(3);
    for (int i = 0; i < 20'000; ++i) {
        const auto time = static_cast<Timestamp>(random());
        ASSERT_EQ(parse_timestamp(format_timestamp(time)), time);
    }
}

TEST(Date, CountsDaysOfTheGregorianCalendar) {
    std::int32_t days = days_from_civil(1600, 1, 1);
    for (int year = 1600; year < 2400; ++year) {
        for (unsigned month = 1; month <= 12; ++month) {
            const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            const unsigned last = month == 2                                                ? (leap ? 29 : 28)
                                  : (month == 4 || month == 6 || month == 9 || month == 11) ? 30
                                                                                            : 31;
            for (unsigned day = 1; day <= last; ++day, ++days) {
                ASSERT_EQ(days_from_civil(year, month, day), days);
                const CivilDate date = civil_from_days(days);
                ASSERT_TRUE(date.year == year && date.month == month && date.day == day) << days;
            }
        }
    }
    EXPECT_EQ(days_from_civil(1970, 1, 1), 0);
    EXPECT_EQ(format_date(-1), "1969-12-31");
}

TEST(Duration, ReadsWhatPeopleWrite) {
    EXPECT_EQ(parse_duration("250ms"), 250 * kMillisecond);
    EXPECT_EQ(parse_duration("1h30m"), 90 * kMinute);
    EXPECT_EQ(parse_duration("7d"), 7 * kDay);
    EXPECT_EQ(parse_duration("0s"), 0);
    EXPECT_EQ(parse_duration("1d2h3m4s5ms6us7ns"),
              kDay + 2 * kHour + 3 * kMinute + 4 * kSecond + 5 * kMillisecond + 6 * kMicrosecond + 7);
    EXPECT_EQ(parse_duration("9223372036854775807ns"), INT64_MAX);
}

TEST(Duration, RefusesEverythingElse) {
    for (const char* text : {"", "5", "m", "-5m", "5 m", "1.5h", "5M", "30m1h", "1h1h", "1hour", "5m ", " 5m",
                             "9223372036854775808ns", "106752d", "1h-5m", "5mm"}) {
        EXPECT_EQ(parse_duration(text), std::nullopt) << text;
    }
}

TEST(Duration, ReadsWhatItWrites) {
    EXPECT_EQ(format_duration(90 * kMinute), "1h30m");
    EXPECT_EQ(format_duration(0), "0s");
    std::mt19937_64 random(4);
    for (int i = 0; i < 10'000; ++i) {
        const auto duration = static_cast<Duration>(random() >> (1 + random() % 62));
        ASSERT_EQ(parse_duration(format_duration(duration)), duration);
    }
}

TEST(Time, SaturatesAtTheEndsOfInt64) {
    EXPECT_EQ(saturating_add(kEndOfTime - 1, 5), kEndOfTime);
    EXPECT_EQ(saturating_add(kBeginningOfTime + 1, -5), kBeginningOfTime);
    EXPECT_EQ(saturating_subtract(kBeginningOfTime + 1, 5), kBeginningOfTime);
    EXPECT_EQ(saturating_subtract(kEndOfTime - 1, -5), kEndOfTime);
    EXPECT_EQ(saturating_subtract(0, INT64_MIN), kEndOfTime);
    EXPECT_EQ(saturating_add(3, 4), 7);
}

TEST(Clock, OfTheMachineGoesOn) {
    const Timestamp wall = system_clock().wall();
    const Timestamp monotonic = system_clock().monotonic();
    EXPECT_GT(wall, *parse_timestamp("2024-01-01T00:00:00Z"));
    EXPECT_GE(system_clock().monotonic(), monotonic);
}

TEST(Clock, OfTestsStandsStillUntilMoved) {
    ManualClock clock;
    EXPECT_EQ(clock.wall(), 0);
    clock.advance(kHour);
    EXPECT_EQ(clock.wall(), kHour);
    EXPECT_EQ(clock.monotonic(), kHour);
}

}  // namespace
}  // namespace takt
