#include "pipeline/runtime/storm_breaker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/pipeline/runtime/durable_run.h"

namespace takt {
namespace {

using testing::HasSubstr;
using testing::Not;

/// A plan with one source, and epochs of it.
class Storm : public testing::Test {
  protected:
    Storm() {
        plan_.sources.emplace_back().name = "floor";
        missing_ = plan_.outcomes.add({OutcomeKind::dead_letter, "MISSING_FIELD", "plant_it", "complete", true});
    }
    /// At this ingest second, so many events were accepted and refused.
    EpochResult epoch(std::int64_t second, std::uint64_t accepted, std::uint64_t refused) {
        EpochResult epoch;
        epoch.epoch = ++number_;
        epoch.cuts.resize(1);
        epoch.cuts[0].last_ingest_time = second * kSecond;
        epoch.rows = accepted + refused;
        epoch.outcomes.resize(plan_.outcomes.size());
        epoch.outcomes[kAccepted] = accepted;
        epoch.outcomes[missing_] = refused;
        return epoch;
    }
    Plan plan_;
    OutcomeCode missing_ = 0;
    std::uint64_t number_ = 0;
};

TEST_F(Storm, WithoutALimitAnythingGoes) {
    StormBreaker breaker(plan_);
    EXPECT_FALSE(breaker.add(epoch(1, 0, 1'000'000)));
}

TEST_F(Storm, StopsBeyondTheMostWithinTheSpan) {
    plan_.dead_letters = {.most = 10, .within = 10 * kSecond};
    StormBreaker breaker(plan_);
    EXPECT_FALSE(breaker.add(epoch(1, 0, 6)));
    EXPECT_FALSE(breaker.add(epoch(5, 0, 4)));   // exactly as many as are let stand
    EXPECT_FALSE(breaker.add(epoch(12, 5, 5)));  // the first six are too long ago
    const auto storm = breaker.add(epoch(15, 0, 2));
    ASSERT_TRUE(storm);
    EXPECT_EQ(storm->code, "F623");
    EXPECT_THAT(storm->message, HasSubstr("MISSING_FIELD 11"));
    EXPECT_THAT(storm->message, HasSubstr("Epoch 4"));
}

TEST_F(Storm, StopsBeyondTheShareOnceThereAreEnoughEvents) {
    plan_.dead_letters = {.share = 0.25, .least_events = 100};
    StormBreaker breaker(plan_);
    EXPECT_FALSE(breaker.add(epoch(1, 0, 20)));
    EXPECT_FALSE(breaker.add(epoch(2, 60, 5)));  // 25 of 85
    EXPECT_FALSE(breaker.add(epoch(3, 15, 0)));  // 25 of 100: not more than a quarter
    EXPECT_TRUE(breaker.add(epoch(4, 0, 1)));
}

TEST_F(Storm, RetriesDoNotCount) {
    plan_.dead_letters = {.most = 1};
    StormBreaker breaker(plan_);
    EpochResult retries = epoch(1, 1, 0);
    retries.cut.replays.resize(5);
    retries.replay_outcomes.assign(5, missing_);
    retries.dead_letters.resize(5);
    EXPECT_FALSE(breaker.add(retries));
}

TEST(StormOfARun, StopsBeforeTheEpochIsDurableAndAgainAtTheNextStart) {
    std::vector<std::vector<durable::Event>> inputs = {durable::make_events(1, 1000)};
    for (std::size_t i = 600; i < 1000; ++i) inputs[0][i].id = 0;
    durable::Durable kept;
    const DeadLetterLimit limit{.most = 100, .within = kHour};
    std::uint64_t durable_epochs = 0;
    for (int start = 0; start < 2; ++start) {
        durable::MemoryLog log(kept, durable::Death::none, 0);
        const Status ended = durable::run(kept, inputs, log, 2, 50, 50, limit);
        ASSERT_FALSE(ended.ok());
        EXPECT_EQ(ended.error().code, "F623") << ended.error().text();
        std::uint64_t refused = 0;
        for (const EpochResult& epoch : kept.epochs) refused += epoch.dead_letters.size();
        EXPECT_LE(refused, 100u);
        EXPECT_GE(kept.epochs.size(), 12u);
        if (start == 0) durable_epochs = kept.epochs.size();
        EXPECT_LE(kept.epochs.size(), durable_epochs + 2);
    }
    // With room for all of them it goes on where it stopped.
    durable::MemoryLog log(kept, durable::Death::none, 0);
    EXPECT_TRUE(durable::run(kept, inputs, log, 2, 50, 50, {.most = 400, .within = kHour}).ok());
    std::uint64_t counted = 0;
    for (const auto& [outcome, count] : kept.totals) counted += count;
    EXPECT_EQ(counted, 1000u);
}

}  // namespace
}  // namespace takt
