#include "pipeline/state/dedup_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace takt {
namespace {

using Verdict = DedupTable::Verdict;

Hash128 id(std::uint64_t number) {
    return hash128({reinterpret_cast<const char*>(&number), sizeof number});
}

constexpr Timestamp kNow = 1'780'000'000 * kSecond;

TEST(DedupTable, TellsRetriesFromConflicts) {
    DedupTable table;
    EXPECT_EQ(table.find(id(1), 7, 0), Verdict::fresh);
    ASSERT_EQ(table.admit(id(1), 7, kNow, 0), Verdict::fresh);
    EXPECT_EQ(table.find(id(1), 7, 0), Verdict::duplicate);
    EXPECT_EQ(table.find(id(1), 8, 0), Verdict::conflict);
    EXPECT_EQ(table.find(id(1), 7, 0), Verdict::duplicate) << "a conflict leaves what is remembered as it was";
    EXPECT_EQ(table.find(id(2), 7, 0), Verdict::fresh);
}

TEST(DedupTable, ForgetsToTheNanosecondWhetherSweptOrNot) {
    DedupTable table;
    ASSERT_EQ(table.admit(id(1), 7, kNow, kNow - kDay), Verdict::fresh);
    EXPECT_EQ(table.find(id(1), 7, kNow), Verdict::duplicate);
    EXPECT_EQ(table.find(id(1), 7, kNow + 1), Verdict::fresh);
    for (std::uint32_t i = 0; i < kKeyGroups; ++i) table.sweep(kNow);
    EXPECT_EQ(table.find(id(1), 7, kNow), Verdict::duplicate);
    for (std::uint32_t i = 0; i < kKeyGroups; ++i) table.sweep(kNow + 1);
    EXPECT_EQ(table.size(), 0u);
}

TEST(DedupTable, RemembersAForgottenIdAnew) {
    DedupTable table;
    ASSERT_EQ(table.admit(id(1), 7, kNow, kNow - kDay), Verdict::fresh);
    ASSERT_EQ(table.admit(id(1), 8, kNow + kHour, kNow + 1), Verdict::fresh);
    EXPECT_EQ(table.find(id(1), 8, kNow + 1), Verdict::duplicate);
    EXPECT_EQ(table.find(id(1), 7, kNow + 1), Verdict::conflict);
}

TEST(DedupTable, KeepsTimesThatAreYearsApart) {
    DedupTable table;
    const std::vector<Timestamp> times = {kBeginningOfTime, 0, kNow - 900 * kDay, kNow, kNow + 3000 * kDay, kEndOfTime};
    for (std::size_t i = 0; i < times.size(); ++i)
        ASSERT_EQ(table.admit(id(i), i, times[i], kBeginningOfTime), Verdict::fresh);
    for (std::size_t i = 0; i < times.size(); ++i)
        EXPECT_EQ(table.find(id(i), i, kBeginningOfTime), Verdict::duplicate);
    // The watermark jumps; what is old goes, whatever its distance.
    for (std::size_t reached = 1; reached < times.size(); ++reached) {
        for (const bool swept : {false, true}) {
            if (swept) table.sweep(times[reached]);
            for (std::size_t i = 0; i < times.size(); ++i) {
                EXPECT_EQ(table.find(id(i), i, times[reached]), i < reached ? Verdict::fresh : Verdict::duplicate)
                    << reached << " " << i;
            }
        }
        EXPECT_LE(table.size(), times.size());
    }
    ASSERT_EQ(table.admit(id(99), 5, kEndOfTime, kEndOfTime), Verdict::fresh);
    EXPECT_EQ(table.find(id(99), 5, kEndOfTime), Verdict::duplicate);
}

TEST(DedupTable, HoldsNoMoreThanItsLimitAndCountsOnlyWhatIsRemembered) {
    DedupTable table({.max_ids = 1000});
    for (std::uint64_t i = 0; i < 1000; ++i)
        ASSERT_EQ(table.admit(id(i), 0, kNow + static_cast<Timestamp>(i), kNow), Verdict::fresh);
    EXPECT_EQ(table.admit(id(5000), 0, kNow + kHour, kNow), Verdict::full);
    EXPECT_EQ(table.find(id(5000), 0, kNow), Verdict::fresh);
    // Ten are forgotten: ten more fit, not one more, without any sweep from outside.
    for (std::uint64_t i = 0; i < 10; ++i)
        EXPECT_EQ(table.admit(id(6000 + i), 0, kNow + kHour, kNow + 10), Verdict::fresh) << i;
    EXPECT_EQ(table.admit(id(7000), 0, kNow + kHour, kNow + 10), Verdict::full);
    EXPECT_EQ(table.size(), 1000u);
}

/// Ids, times and a horizon at random, against the plainest possible memory. Sweeps must change no answer.
void compare_with_model(std::uint64_t seed, std::uint64_t ids, Duration horizon, int sweeps_per_thousand) {
    std::mt19937_64 random(seed);
    struct Known {
        std::uint64_t content;
        Timestamp time;
    };
    std::map<std::uint64_t, Known> model;
    DedupTable table;
    Timestamp watermark = kNow;
    for (int i = 0; i < 60'000; ++i) {
        const Timestamp oldest = watermark - horizon;
        const std::uint64_t number = random() % ids;
        const std::uint64_t content = random() % 8 == 0 ? 1 : 0;
        const auto known = model.find(number);
        const bool remembered = known != model.end() && known->second.time >= oldest;
        const Verdict expected = !remembered                        ? Verdict::fresh
                                 : known->second.content == content ? Verdict::duplicate
                                                                    : Verdict::conflict;
        ASSERT_EQ(table.find(id(number), content, oldest), expected) << seed << " " << i;
        const Timestamp time = oldest + static_cast<Duration>(random() % static_cast<std::uint64_t>(horizon + kMinute));
        if (expected == Verdict::fresh && random() % 4 != 0) {
            ASSERT_EQ(table.admit(id(number), content, time, oldest), Verdict::fresh);
            model[number] = {content, time};
        }
        if (random() % 16 == 0)
            watermark += static_cast<Duration>(random() % static_cast<std::uint64_t>(horizon / 1000));
        if (random() % 50'000 == 0) watermark += 400 * kDay;
        if (static_cast<int>(random() % 1000) < sweeps_per_thousand) table.sweep(watermark - horizon);
    }
    const Timestamp oldest = watermark - horizon;
    std::size_t live = 0;
    for (const auto& [number, known] : model) {
        EXPECT_EQ(table.find(id(number), known.content, oldest) == Verdict::duplicate, known.time >= oldest);
        live += known.time >= oldest ? 1 : 0;
    }
    std::size_t listed = 0;
    for (std::uint32_t group = 0; group < kKeyGroups; ++group) listed += table.entries(group, oldest).size();
    EXPECT_EQ(listed, live);
    EXPECT_GE(table.size(), live);
}

TEST(DedupTable, AnswersLikeAPlainMap) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
        const std::uint64_t ids = seed % 3 == 0 ? 500 : seed % 3 == 1 ? 20'000 : 1'000'000;
        compare_with_model(seed, ids, seed % 2 == 0 ? 48 * kHour : 5 * kMinute, static_cast<int>(seed % 4) * 10);
    }
}

TEST(DedupTable, ListsTheSameEntriesWhateverTheOrderAndTheSweeps) {
    DedupTable one;
    DedupTable other;
    const auto time_of = [](std::uint64_t i) { return kNow + static_cast<Timestamp>(i * 7919 % 5000) * kSecond; };
    for (std::uint64_t i = 0; i < 5000; ++i) ASSERT_EQ(one.admit(id(i), i, time_of(i), kNow), Verdict::fresh);
    for (std::uint64_t i = 5000; i-- > 0;) ASSERT_EQ(other.admit(id(i), i, time_of(i), kNow - kDay), Verdict::fresh);
    const Timestamp oldest = kNow + 1000 * kSecond;
    for (int i = 0; i < 100; ++i) other.sweep(oldest);
    std::size_t listed = 0;
    for (std::uint32_t group = 0; group < kKeyGroups; ++group) {
        EXPECT_EQ(one.entries(group, oldest), other.entries(group, oldest));
        listed += one.entries(group, oldest).size();
    }
    EXPECT_EQ(listed, 4000u);
}

TEST(DedupTable, TakesAtMost24BytesAnIdAtEverySizeWhileItGrows) {
    DedupTable table;
    double most = 0;
    for (std::uint64_t i = 0; i < 5'000'000; ++i) {
        ASSERT_EQ(table.admit(id(i), i, kNow + static_cast<Timestamp>(i), kNow), Verdict::fresh);
        const bool checked = i < 200'000 ? i % 50 == 0 : i % 5000 == 0;
        if (i < 10'000 || !checked) continue;
        most = std::max(most, static_cast<double>(table.size_bytes()) / static_cast<double>(i + 1));
    }
    RecordProperty("most_bytes_per_id", std::to_string(most));
    EXPECT_LE(most, 24.0);
}

TEST(DedupTable, TakesAtMost24BytesAnIdInSteadyStateAndGivesMemoryBack) {
    DedupTable table;
    constexpr std::uint64_t kHeld = 200'000;
    Timestamp oldest = kNow;
    for (std::uint64_t i = 0; i < 5 * kHeld; ++i) {
        const Timestamp time = kNow + static_cast<Timestamp>(i) * kMillisecond;
        oldest = std::max(kNow, time - static_cast<Duration>(kHeld) * kMillisecond);
        ASSERT_EQ(table.admit(id(i), i, time, oldest), Verdict::fresh);
        if (i % 1000 == 999) table.sweep(oldest);
        if (i % 1000 == 0 && i > 2 * kHeld) {
            ASSERT_LE(table.size_bytes(), 24 * table.size());
            ASSERT_LE(table.size(), kHeld * 5 / 4);
        }
    }
    for (std::uint32_t i = 0; i < kKeyGroups; ++i) table.sweep(oldest + 100 * kDay);
    EXPECT_EQ(table.size(), 0u);
    EXPECT_LE(table.size_bytes(), sizeof(DedupTable) + 64);
}

}  // namespace
}  // namespace takt
