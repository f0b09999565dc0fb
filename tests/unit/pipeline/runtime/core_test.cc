#include "pipeline/runtime/core.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <numeric>
#include <thread>

#include "tests/unit/pipeline/runtime/synthetic_plan.h"

namespace takt {
namespace {

using synthetic::Event;
using synthetic::make_block;
using synthetic::sale;
using testing::ElementsAre;
using testing::SizeIs;

/// A core over a synthetic plan that keeps its results.
class CoreHarness {
  public:
    explicit CoreHarness(const synthetic::Options& options = {}, Core::Options core = {})
        : made_(synthetic::make_plan(options)),
          core_(std::make_unique<Core>(made_->plan, core,
                                       [this](EpochResult&& result) { results_.push_back(std::move(result)); })) {}

    void feed(std::uint32_t source, const std::vector<Event>& events, Timestamp ingest_time = 0) {
        core_->feed(source, make_block(events, next_sequence_[source], ingest_time));
        next_sequence_[source] += events.size();
    }
    const EpochResult& cut(CutOptions options = {}) {
        core_->cut(std::move(options));
        core_->drain();
        return results_.back();
    }
    Core& core() { return *core_; }
    const synthetic::Codes& codes() const { return made_->codes; }
    const std::vector<EpochResult>& results() const { return results_; }
    std::uint64_t count(OutcomeCode code) const { return results_.back().outcomes[code]; }

  private:
    std::unique_ptr<synthetic::SyntheticPlan> made_;
    std::vector<EpochResult> results_;
    std::unique_ptr<Core> core_;
    std::map<std::uint32_t, std::uint64_t> next_sequence_ = {{0, 1}, {1, 1}};
};

Event of_kind(std::uint64_t id, Event::Kind kind, std::int64_t time = 10'000) {
    return {.id = id, .key = 7, .time = time, .amount = 10, .kind = kind};
}

TEST(Core, PostsAWindowWhenTheWatermarkPassesItsEnd) {
    CoreHarness core;
    core.feed(0, {sale(1, 10'100), sale(2, 10'900), sale(3, 11'499)});
    EXPECT_THAT(core.cut().postings, SizeIs(0)) << "the watermark is 10'999";
    core.feed(0, {sale(4, 11'500)});
    const EpochResult& second = core.cut();
    EXPECT_EQ(second.watermark_after, 11'000);
    ASSERT_THAT(second.postings, SizeIs(1));
    EXPECT_EQ(second.postings[0].key, "left/11000/7/1");
    EXPECT_EQ(static_cast<int>(second.postings[0].amount), 20);
    EXPECT_EQ(second.postings[0].epoch, 2);
}

TEST(Core, GivesEveryRowOneOutcome) {
    CoreHarness core;
    core.feed(0, {sale(1, 10'000), sale(1, 10'000), sale(0, 10'000), of_kind(2, Event::noise),
                  of_kind(3, Event::incomplete), of_kind(4, Event::both_branches),
                  of_kind(5, Event::rejected_and_taken), of_kind(6, Event::nowhere), of_kind(7, Event::too_early)});
    const EpochResult& result = core.cut({.flush = true});
    EXPECT_EQ(result.rows, 9);
    EXPECT_EQ(core.count(kAccepted), 3) << "one sale, both branches, rejected left but taken right";
    EXPECT_EQ(core.count(core.codes().duplicate), 1);
    EXPECT_EQ(core.count(kMalformed), 1);
    EXPECT_EQ(core.count(core.codes().noise), 1);
    EXPECT_EQ(core.count(core.codes().incomplete), 1);
    EXPECT_EQ(core.count(kUnroutedAfterDedup), 1);
    EXPECT_EQ(core.count(core.codes().clock), 1);
    EXPECT_THAT(result.postings, SizeIs(2)) << "left and right of one window and key";
}

TEST(Core, CountsWhatNoTerminalTakesAsUnroutedWithoutADeduplication) {
    CoreHarness core({.dedup = false});
    core.feed(0, {of_kind(6, Event::nowhere), sale(1, 10'000), sale(1, 10'000)});
    core.cut();
    EXPECT_EQ(core.count(kUnrouted), 1);
    EXPECT_EQ(core.count(kAccepted), 2);
}

TEST(Core, LetsADuplicateGoBeforeAVerdictThatHoldsOnlyForFreshRows) {
    CoreHarness core;
    core.feed(0, {sale(3, 10'000), of_kind(3, Event::incomplete), of_kind(8, Event::incomplete), sale(8, 10'000)});
    const EpochResult& result = core.cut();
    EXPECT_EQ(core.count(core.codes().duplicate), 1);
    EXPECT_EQ(core.count(core.codes().incomplete), 1);
    EXPECT_EQ(core.count(kAccepted), 2) << "what was rejected is not remembered";
    EXPECT_THAT(result.dead_letters, SizeIs(1));
}

TEST(Core, WritesDeadLettersWithBytesSubjectSequenceAndReason) {
    CoreHarness core;
    core.feed(0, {sale(1, 10'000), sale(0, 10'000), of_kind(5, Event::incomplete)});
    const EpochResult& result = core.cut();
    ASSERT_THAT(result.dead_letters, SizeIs(2));
    const DeadLetter& malformed = result.dead_letters[0];
    EXPECT_EQ(malformed.reason, "DECODE");
    EXPECT_EQ(malformed.text, "another size");
    EXPECT_EQ(malformed.event_id, "");
    EXPECT_EQ(malformed.bytes.size(), 5);
    EXPECT_EQ(malformed.subject, "plant.a");
    EXPECT_EQ(malformed.sequence, 2);
    const DeadLetter& incomplete = result.dead_letters[1];
    EXPECT_EQ(incomplete.source, "a");
    EXPECT_EQ(incomplete.event_id, "id-5");
    EXPECT_EQ(incomplete.reason, "MISSING_FIELD");
    EXPECT_EQ(incomplete.text, "no field");
    EXPECT_EQ(incomplete.owner, "plant_it");
    EXPECT_EQ(incomplete.step, "complete");
    EXPECT_EQ(incomplete.epoch, 1);
}

TEST(Core, JudgesLatenessAgainstTheWatermarkOfTheEpochsStart) {
    CoreHarness core;
    core.feed(0, {sale(1, 10'100), sale(2, 14'000), sale(3, 10'200)});  // the last is late, but not in this epoch
    EXPECT_EQ(core.cut().watermark_after, 13'500);
    EXPECT_EQ(core.count(kAccepted), 3);
    core.feed(0, {sale(4, 10'300), sale(5, 10'999), sale(6, 11'000)});  // 11'000 + 2'000 < 13'500 <= 12'000 + 2'000
    const EpochResult& second = core.cut();
    EXPECT_EQ(core.count(core.codes().too_late), 2);
    EXPECT_EQ(core.count(kAccepted), 1);
    ASSERT_THAT(second.dead_letters, SizeIs(2));
    EXPECT_EQ(second.dead_letters[0].reason, "TOO_LATE");
    EXPECT_THAT(second.dead_letters[0].text, testing::HasSubstr("the watermark is"));
}

TEST(Core, PostsLateRowsAsANewRevision) {
    CoreHarness core;
    core.feed(0, {sale(1, 10'100), sale(2, 12'000)});
    EXPECT_THAT(core.cut().postings, SizeIs(1));
    core.feed(0, {sale(3, 10'200)});
    const EpochResult& second = core.cut();
    ASSERT_THAT(second.postings, SizeIs(1));
    EXPECT_EQ(second.postings[0].revision, 2);
}

TEST(Core, HoldsTheWatermarkAtTheSlowestSource) {
    CoreHarness core({.sources = 2});
    core.feed(0, {sale(1, 20'000)});
    EXPECT_EQ(core.cut().watermark_after, kBeginningOfTime) << "b has said nothing";
    core.feed(1, {sale(2, 15'000)});
    EXPECT_EQ(core.cut().watermark_after, 14'500);
    EXPECT_EQ(core.cut({.idle = {1}}).watermark_after, 19'500);
    EXPECT_EQ(core.cut().watermark_after, 19'500) << "it never goes back";
    core.feed(0, {sale(3, 30'000)});
    EXPECT_EQ(core.cut({.idle = {0, 1}}).watermark_after, 19'500) << "nobody counts";
    EXPECT_EQ(core.cut({.ended = {1}}).watermark_after, 29'500);
    EXPECT_EQ(core.cut({.ended = {0}}).watermark_after, 29'500);
    EXPECT_EQ(core.cut({.flush = true}).watermark_after, kEndOfTime);
}

TEST(Core, DoesNotLetRejectedClocksMoveTheWatermark) {
    CoreHarness core;
    core.feed(0, {sale(1, 10'000), of_kind(2, Event::too_early, 99'000), of_kind(3, Event::noise, 12'000)});
    EXPECT_EQ(core.cut().watermark_after, 11'500) << "what a filter dropped counts";
}

TEST(Core, TakesTheWatermarkOfATest) {
    CoreHarness core;
    core.feed(0, {sale(1, 10'000)});
    EXPECT_EQ(core.cut({.watermark = 50'000}).watermark_after, 50'000);
    EXPECT_EQ(core.cut({.watermark = 40'000}).watermark_after, 50'000);
}

TEST(Core, HoldsTheWatermarkAtTheSlowestPartitionUntilItIsIdle) {
    CoreHarness core({.partitions = true, .time = {.out_of_order = 0, .idle = 100}});
    Event slow = sale(1, 10'000);
    Event fast = sale(2, 20'000);
    fast.partition = 1;
    core.feed(0, {slow, fast}, 1'000);
    EXPECT_EQ(core.cut().watermark_after, 10'000);
    fast.id = 3;
    core.feed(0, {fast}, 1'100);
    EXPECT_EQ(core.cut().watermark_after, 10'000);
    fast.id = 4;
    core.feed(0, {fast}, 1'101);
    EXPECT_EQ(core.cut().watermark_after, 20'000) << "the slow one has been silent for more than 100 ns of ingest time";
}

TEST(Core, ReportsHowFarEachSourceWasRead) {
    CoreHarness core({.sources = 2});
    core.feed(1, {sale(1, 10'000), sale(2, 12'000), sale(3, 11'000)}, 77);
    const EpochResult& result = core.cut();
    EXPECT_EQ(result.cuts[0].last_sequence, 0);
    EXPECT_EQ(result.cuts[1].last_sequence, 3);
    EXPECT_EQ(result.cuts[1].highest_event_time, 12'000);
    EXPECT_EQ(result.cuts[1].last_ingest_time, 77);
    EXPECT_EQ(result.messages, 3);
    EXPECT_EQ(result.message_bytes, 3 * sizeof(Event));
}

TEST(Core, RunsPanesThroughTheirSegmentInTheSameEpoch) {
    CoreHarness core({.panes = true});
    std::vector<Event> events;
    for (std::uint64_t key = 0; key < 6; ++key) {
        Event event = of_kind(key + 1, Event::both_branches, 10'100);
        event.key = key;
        events.push_back(event);
    }
    core.feed(0, events);
    const EpochResult& result = core.cut({.flush = true});
    EXPECT_EQ(result.pane_rows, 6);
    EXPECT_EQ(result.pane_outcomes[kAccepted], 6);
    std::vector<std::string> grouped;
    for (const Posting& posting : result.postings) {
        if (posting.type == "grouped")
            grouped.push_back(fmt::format("{} {}", posting.key, static_cast<int>(posting.amount)));
    }
    EXPECT_THAT(grouped, ElementsAre("grouped/12000/0/1 20", "grouped/12000/1/1 20", "grouped/12000/2/1 20"));
}

std::string run_random(std::uint32_t lanes, std::uint32_t threads, std::uint32_t chunk_messages,
                       const synthetic::Options& options, std::size_t block_size) {
    const auto made = synthetic::make_plan(options);
    std::string text;
    {
        Core core(made->plan, {.lanes = lanes, .threads = threads, .chunk_messages = chunk_messages},
                  [&](EpochResult&& result) {
                      EXPECT_EQ(std::accumulate(result.outcomes.begin(), result.outcomes.end(), std::uint64_t{0}),
                                result.rows);
                      text += synthetic::to_text(result);
                  });
        std::vector<std::vector<Event>> inputs;
        for (std::size_t i = 0; i < options.sources; ++i)
            inputs.push_back(synthetic::random_events(12'000, 7 + static_cast<unsigned>(i)));
        constexpr std::size_t kEpoch = 1500;
        for (std::size_t first = 0; first < inputs[0].size(); first += kEpoch) {
            for (std::uint32_t source = 0; source < inputs.size(); ++source) {
                for (std::size_t at = first; at < first + kEpoch; at += block_size) {
                    const std::size_t end = std::min(first + kEpoch, at + block_size);
                    const std::vector<Event> events(inputs[source].begin() + static_cast<std::ptrdiff_t>(at),
                                                    inputs[source].begin() + static_cast<std::ptrdiff_t>(end));
                    core.feed(source, make_block(events, at + 1));
                }
            }
            core.cut({});
        }
        core.cut({.flush = true});
    }
    return text;
}

TEST(Core, AnswersTheSameForAnyNumberOfLanesThreadsAndChunks) {
    for (const synthetic::Options& options :
         {synthetic::Options{}, synthetic::Options{.dedup = false}, synthetic::Options{.sources = 2, .panes = true}}) {
        const std::string expected = run_random(1, 1, 1024, options, 1500);
        EXPECT_THAT(expected, testing::HasSubstr("TOO_LATE"));
        EXPECT_THAT(expected, testing::HasSubstr("/2 ")) << "revisions";
        for (const std::uint32_t lanes : {1u, 2u, 3u, 8u}) {
            for (const std::uint32_t threads : {1u, 2u, 4u}) {
                SCOPED_TRACE(fmt::format("{} lanes, {} threads", lanes, threads));
                ASSERT_EQ(run_random(lanes, threads, threads == 2 ? 1024 : 100, options, 700), expected);
            }
        }
    }
}

TEST(Core, BlocksTheFeederWhileAllCreditsAreUsed) {
    const auto made = synthetic::make_plan({});
    std::mutex mutex;
    std::condition_variable changed;
    bool open = false;
    std::uint64_t epochs = 0;
    Core core(made->plan, {.threads = 2, .credit_chunks = 4}, [&](EpochResult&&) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return open; });
        ++epochs;
    });
    std::atomic<std::uint64_t> fed = 0;
    std::thread feeder([&] {
        for (std::uint64_t i = 0; i < 20; ++i) {
            core.feed(0, make_block({sale(i + 1, 10'000)}, i + 1));
            core.cut({});
            ++fed;
        }
    });
    while (core.in_flight().chunks < 4) std::this_thread::yield();
    EXPECT_LE(fed, 2u) << "two chunks and two cuts use up all credits";
    EXPECT_EQ(core.in_flight().chunks, core.in_flight().chunks_limit);
    {
        std::lock_guard lock(mutex);
        open = true;
    }
    changed.notify_all();
    feeder.join();
    core.drain();
    EXPECT_EQ(epochs, 20u) << "nothing was dropped";
}

TEST(Core, LimitsTheBytesInFlightButAlwaysLetsOneChunkGo) {
    const auto made = synthetic::make_plan({});
    std::mutex mutex;
    std::condition_variable changed;
    bool open = false;
    Core core(made->plan, {.threads = 2, .credit_chunks = 16, .credit_bytes = 100}, [&](EpochResult&&) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return open; });
    });
    core.cut({});  // holds the committer, so that nothing behind it gives its credits back
    std::atomic<std::uint64_t> fed = 0;
    std::thread feeder([&] {
        for (std::uint64_t i = 0; i < 5; ++i) {
            core.feed(0, make_block({sale(2 * i + 1, 10'000), sale(2 * i + 2, 10'000)}, 2 * i + 1));
            ++fed;
        }
    });
    while (core.in_flight().chunks < 1) std::this_thread::yield();
    EXPECT_LE(core.in_flight().bytes, 2 * sizeof(Event));
    EXPECT_LE(fed, 1u);
    {
        std::lock_guard lock(mutex);
        open = true;
    }
    changed.notify_all();
    feeder.join();
    core.drain();
    EXPECT_EQ(core.in_flight().bytes, 0u);
}

}  // namespace
}  // namespace takt
