#include "pipeline/observe/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace takt {
namespace {

using testing::HasSubstr;

constexpr Duration kLimit = 30 * kSecond;

EngineStatus status_at(Timestamp now, SourceStatus::State state) {
    EngineStatus status;
    status.phase = EngineStatus::Phase::running;
    status.started = kHour;
    status.now = status.started + now;
    status.last_progress = status.started;
    status.sources.resize(1);
    status.sources[0].name = "floor";
    status.sources[0].state = state;
    status.sources[0].since = status.started;
    return status;
}

TEST(Health, IsGoodWhileNothingWaitsAndTheSourceSaysSo) {
    EXPECT_TRUE(judge_health(status_at(kHour, SourceStatus::State::idle), kLimit).healthy);
}

TEST(Health, IsBadWhenMessagesWaitAndNoEpochComes) {
    EngineStatus status = status_at(kLimit, SourceStatus::State::reading);
    status.sources[0].pending = 7;
    EXPECT_TRUE(judge_health(status, kLimit).healthy);
    status.now += 1;
    const Health health = judge_health(status, kLimit);
    EXPECT_FALSE(health.healthy);
    EXPECT_EQ(health.reason, "no progress for 30 s while 7 messages at source floor wait");
    status.last_progress = status.now - kSecond;
    EXPECT_TRUE(judge_health(status, kLimit).healthy);
}

TEST(Health, IsBadAtOnceWhereTheJournalHasNoRoom) {
    EngineStatus status = status_at(kSecond, SourceStatus::State::idle);
    status.log_error = "E701: state/journal: No space left on device";
    const Health health = judge_health(status, kLimit);
    EXPECT_FALSE(health.healthy);
    EXPECT_EQ(health.reason, "no epoch becomes durable: E701: state/journal: No space left on device");
}

TEST(Health, IsBadWhenChunksAreStuck) {
    EngineStatus status = status_at(kLimit + 1, SourceStatus::State::idle);
    status.chunks_in_flight = 3;
    EXPECT_FALSE(judge_health(status, kLimit).healthy);
}

TEST(Health, DoesNotTrustASourceThatNeitherDeliversNorSaysWhy) {
    EXPECT_TRUE(judge_health(status_at(kLimit, SourceStatus::State::quiet), kLimit).healthy);
    const Health health = judge_health(status_at(kLimit + 1, SourceStatus::State::quiet), kLimit);
    EXPECT_FALSE(health.healthy);
    EXPECT_EQ(health.reason, "source floor has said nothing for 30 s");
}

TEST(Health, NamesTheErrorOfASourceThatDoesNotOpen) {
    EngineStatus status = status_at(kLimit + 1, SourceStatus::State::opening);
    status.sources[0].last_error = "E501: connection refused";
    EXPECT_THAT(judge_health(status, kLimit).reason, HasSubstr("has not opened for 30 s: E501"));
}

TEST(Health, IsBadWhenATableHasLostItsOriginForTooLong) {
    EngineStatus status = status_at(kLimit, SourceStatus::State::idle);
    TableStatus& table = status.tables.emplace_back();
    table.name = "prices";
    table.state = TableStatus::State::stale;
    table.since = status.started;
    table.last_error = "E526: the bucket is gone";
    EXPECT_TRUE(judge_health(status, kLimit).healthy);
    status.now += 1;
    EXPECT_EQ(judge_health(status, kLimit).reason, "table prices has been stale for 30 s: E526: the bucket is gone");
    table.state = TableStatus::State::loading;
    EXPECT_THAT(judge_health(status, kLimit).reason, HasSubstr("table prices has not been loaded for 30 s"));
    table.state = TableStatus::State::current;
    EXPECT_TRUE(judge_health(status, kLimit).healthy);
}

TEST(Health, IsBadWhenASinkIsAwayEvenIfEpochsGoOn) {
    EngineStatus status = status_at(kHour, SourceStatus::State::reading);
    status.last_progress = status.now;
    SinkStatus& sink = status.sinks.emplace_back();
    sink.name = "erp";
    sink.waiting = 4;
    sink.waiting_since = status.now - kLimit - kSecond;
    EXPECT_TRUE(judge_health(status, kLimit).healthy) << "slow, but not failing";
    sink.last_error = "E701: away";
    EXPECT_EQ(judge_health(status, kLimit).reason, "4 postings have waited 31 s for sink erp: E701: away");
}

TEST(Health, IsBadAfterAnError) {
    EngineStatus status = status_at(0, SourceStatus::State::idle);
    status.phase = EngineStatus::Phase::failed;
    status.error = "F801: the stream is another one";
    EXPECT_EQ(judge_health(status, kLimit).reason, status.error);
}

}  // namespace
}  // namespace takt
