#include "pipeline/state/pane_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <tuple>

#include "pipeline/base/hash.h"

namespace takt {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// A pane's memory in these tests: a sum.
std::int64_t& sum(PaneTable::Pane& pane) {
    return *reinterpret_cast<std::int64_t*>(pane.block());
}

std::vector<std::string> sorted(std::vector<std::string> texts) {
    std::sort(texts.begin(), texts.end());
    return texts;
}

struct PaneLog {
    PaneTable panes;
    std::vector<std::string> fired;   ///< "key@start=sum"
    std::vector<std::string> purged;  ///< "key@start"

    explicit PaneLog(Duration lateness) : panes(16, lateness) {}

    PaneTable::Pane& add(std::string_view key, const Window& window, std::int64_t value) {
        PaneTable::Pane& pane = panes.upsert({hash64(key), key, window});
        sum(pane) += value;
        return pane;
    }
    void advance(Timestamp watermark) {
        fired.clear();
        purged.clear();
        panes.advance(
            watermark,
            [&](PaneTable::Pane& pane) {
                fired.push_back(std::string(pane.key()) + "@" + std::to_string(pane.window().start) + "=" +
                                std::to_string(sum(pane)));
            },
            [&](PaneTable::Pane& pane) {
                purged.push_back(std::string(pane.key()) + "@" + std::to_string(pane.window().start));
            });
    }
};

TEST(PaneTable, SumsWhatBelongsToOneKeyAndWindow) {
    PaneLog table(0);
    table.add("a", {0, 10}, 1);
    table.add("b", {0, 10}, 2);
    table.add("a", {10, 20}, 4);
    table.add("a", {0, 10}, 8);
    table.add("a", {0, 20}, 16);
    EXPECT_EQ(table.panes.size(), 4u);
    table.advance(20);
    EXPECT_THAT(table.fired, testing::UnorderedElementsAre("a@0=9", "b@0=2", "a@10=4", "a@0=16"));
}

TEST(PaneTable, TellsKeysWithTheSameHashApart) {
    PaneTable panes(16, 0);
    sum(panes.upsert({7, "one", {0, 10}})) += 1;
    sum(panes.upsert({7, "two", {0, 10}})) += 2;
    sum(panes.upsert({7, "", {0, 10}})) += 4;
    EXPECT_EQ(panes.size(), 3u);
    EXPECT_EQ(sum(panes.upsert({7, "one", {0, 10}})), 1);
    EXPECT_EQ(sum(panes.upsert({7, "", {0, 10}})), 4);
}

TEST(PaneTable, FiresWhenTheWatermarkReachesTheEndAndNotBefore) {
    PaneLog table(100);
    table.add("a", {0, 10}, 1);
    table.advance(9);
    EXPECT_THAT(table.fired, IsEmpty());
    table.advance(10);
    EXPECT_THAT(table.fired, ElementsAre("a@0=1"));
    table.advance(11);
    EXPECT_THAT(table.fired, IsEmpty());
}

TEST(PaneTable, FiresAgainOnceForAnEpochWithLateEvents) {
    PaneLog table(100);
    table.add("a", {0, 10}, 1);
    table.add("b", {0, 10}, 1);
    table.advance(10);
    EXPECT_TRUE(table.add("a", {0, 10}, 2).fired());
    table.add("a", {0, 10}, 4);
    table.advance(10);
    EXPECT_THAT(table.fired, ElementsAre("a@0=7"));
    table.advance(50);
    EXPECT_THAT(table.fired, IsEmpty());
    table.add("a", {0, 10}, 8);
    table.advance(50);
    EXPECT_THAT(table.fired, ElementsAre("a@0=15"));
}

TEST(PaneTable, FiresAPaneThatIsMadeLate) {
    PaneLog table(100);
    table.advance(50);
    EXPECT_FALSE(table.add("a", {0, 10}, 1).fired());
    table.advance(50);
    EXPECT_THAT(table.fired, ElementsAre("a@0=1"));
    table.advance(50);
    EXPECT_THAT(table.fired, IsEmpty());
}

TEST(PaneTable, PurgesOnlyWhenTheWatermarkIsLaterThanEndAndLateness) {
    PaneLog table(100);
    table.add("a", {0, 10}, 1);
    table.advance(110);
    EXPECT_THAT(table.fired, ElementsAre("a@0=1"));
    EXPECT_THAT(table.purged, IsEmpty());
    table.add("a", {0, 10}, 2);
    table.advance(111);
    EXPECT_THAT(table.fired, ElementsAre("a@0=3")) << "what came last fires before it goes";
    EXPECT_THAT(table.purged, ElementsAre("a@0"));
    EXPECT_EQ(table.panes.size(), 0u);
    EXPECT_EQ(sum(table.add("a", {0, 10}, 0)), 0) << "a pane begins with zero, whatever was there before";
}

TEST(PaneTable, FiresEverythingAtTheEndOfTime) {
    PaneLog table(8 * kHour);
    table.add("a", {0, 10}, 1);
    table.add("b", {10, kEndOfTime}, 2);
    table.advance(kEndOfTime);
    EXPECT_EQ(table.fired.size(), 2u);
}

TEST(PaneTable, LeavesAPaneAndItsBlockWhereTheyAre) {
    PaneLog table(0);
    PaneTable::Pane* first = &table.add("first", {0, 10}, 5);
    for (int i = 0; i < 100'000; ++i) table.add(std::to_string(i), {0, 10}, 1);
    EXPECT_EQ(first, &table.add("first", {0, 10}, 0));
    EXPECT_EQ(sum(*first), 5);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first->block()) % 16, 0u);
}

/// Keys, windows, lateness and epochs at random against a plain map.
TEST(PaneTable, FiresAndPurgesLikeAPlainMap) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
        std::mt19937_64 random(seed);
        const Duration lateness = seed % 3 == 0 ? 0 : static_cast<Duration>(random() % 200);
        const std::uint64_t keys = seed % 2 == 0 ? 5 : 40;
        struct Known {
            std::int64_t sum = 0;
            bool fired = false;
            bool changed = true;
        };
        std::map<std::tuple<Timestamp, Timestamp, std::string>, Known> model;
        PaneLog table(lateness);
        Timestamp watermark = 0;
        for (int epoch = 0; epoch < 300; ++epoch) {
            std::vector<std::string> texts;
            std::vector<PaneTable::Want> wants;
            texts.reserve(60);  // wants look into them
            for (int i = 0; i < 60; ++i) {
                const Timestamp time = watermark - lateness + static_cast<Timestamp>(random() % 150);
                const Duration size = random() % 2 == 0 ? 10 : 60;
                const Window window = tumbling_window(time, size, 0);
                if (watermark > window.end + lateness) continue;
                const std::string& key = texts.emplace_back(std::to_string(random() % keys));
                // Keys of several digits all have the same hash.
                wants.push_back({key.size() == 1 ? hash64(key) : 42, key, window});
            }
            std::vector<PaneTable::Pane*> found;
            std::vector<std::uint32_t> made;
            std::vector<std::uint32_t> expected_made;
            table.panes.upsert(wants, found, made);
            ASSERT_EQ(found.size(), wants.size());
            for (std::uint32_t i = 0; i < wants.size(); ++i) {
                const auto value = static_cast<std::int64_t>(random() % 100);
                const auto [known, fresh] =
                    model.try_emplace({wants[i].window.end, wants[i].window.start, std::string(wants[i].key)});
                if (fresh) expected_made.push_back(i);
                EXPECT_EQ(found[i]->fired(), known->second.fired);
                EXPECT_EQ(found[i]->key(), wants[i].key);
                sum(*found[i]) += value;
                known->second.sum += value;
                known->second.changed = true;
            }
            EXPECT_EQ(made, expected_made);
            watermark += static_cast<Timestamp>(random() % 30);
            table.advance(watermark);
            std::vector<std::string> fired, purged;
            for (auto at = model.begin(); at != model.end();) {
                auto& [place, known] = *at;
                const auto& [end, start, key] = place;
                if (end <= watermark && (known.changed || !known.fired)) {
                    fired.push_back(key + "@" + std::to_string(start) + "=" + std::to_string(known.sum));
                    known.fired = true;
                    known.changed = false;
                }
                const bool gone = watermark > end + lateness;
                if (gone) purged.push_back(key + "@" + std::to_string(start));
                at = gone ? model.erase(at) : std::next(at);
            }
            ASSERT_EQ(sorted(table.fired), sorted(fired)) << seed << " " << epoch;
            ASSERT_EQ(sorted(table.purged), sorted(purged)) << seed << " " << epoch;
            ASSERT_EQ(table.panes.size(), model.size());
        }
        std::size_t visited = 0;
        table.panes.for_each([&](PaneTable::Pane& pane) {
            const auto known = model.find({pane.window().end, pane.window().start, std::string(pane.key())});
            ASSERT_NE(known, model.end());
            EXPECT_EQ(sum(pane), known->second.sum);
            ++visited;
        });
        EXPECT_EQ(visited, model.size());
    }
}

TEST(PaneTable, TakesLittleMemoryBesideBlocksAndKeysAndUsesItAgain) {
    PaneLog table(0);
    constexpr std::uint64_t kPanes = 200'000;
    const auto fill = [&](Timestamp start) {
        for (std::uint64_t i = 0; i < kPanes; ++i)
            table.add("order-" + std::to_string(1'000'000 + i), {start, start + 10}, 1);
    };
    fill(0);
    const std::uint64_t full = table.panes.size_bytes();
    EXPECT_LE(full / kPanes, 16 + 13 + 96u);
    for (Timestamp start = 10; start < 50; start += 10) {
        table.advance(start + 1);
        EXPECT_EQ(table.panes.size(), 0u);
        fill(start);
        EXPECT_LE(table.panes.size_bytes(), full + full / 8);
    }
}

}  // namespace
}  // namespace takt
