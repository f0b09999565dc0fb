// A run with a log that ends anywhere, and the next one: together they post what one run without end would have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>

#include "tests/unit/pipeline/runtime/durable_run.h"

namespace takt {
namespace {

using namespace durable;

/// A log with a snapshot of its end that remembers no answer of the sink: what it posted last is to be sent again.
class UnansweredLog final : public EpochLog {
  public:
    explicit UnansweredLog(Durable& durable) : durable_(durable) {}

    Result<Past> recover() override {
        Past past;
        if (!state_) return past;
        past.state = state_;
        past.epochs = durable_.epochs;
        SinkPast sink;
        sink.until = durable_.epochs.back().epoch;
        for (const EpochResult& epoch : durable_.epochs) {
            for (const Posting& posting : epoch.postings) sink.waiting.emplace(posting.key, 1);
        }
        past.sinks.push_back(std::move(sink));
        return past;
    }
    Status append(const EpochResult& epoch, const SinkAnswers& answers) override {
        durable_.epochs.push_back(epoch);
        for (const SinkPosition& position : answers.positions) settled = std::max(settled, position.settled);
        return {};
    }
    Status snapshot(const EngineState& state, std::uint64_t) override {
        state_ = state;
        return {};
    }

    std::uint64_t settled = 0;  ///< up to which epoch the sink has said all

  private:
    Durable& durable_;
    std::optional<EngineState> state_;
};

/// Every key in the order of its effect: what one sink sees of one epoch, and of all, is in order.
TEST(Recovery, WhereverARunEndsTheNextOneGoesOn) {
    const std::vector<std::vector<Event>> inputs = {make_events(1, 1500), make_events(2, 700)};
    std::uint64_t deaths = 0;
    std::uint64_t repeats = 0;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        std::mt19937_64 random(seed);
        Durable durable;
        for (int life = 0;; ++life) {
            ASSERT_LT(life, 20) << "it does not come to its end, seed " << seed;
            const Death death = life < 4 ? static_cast<Death>(1 + random() % 2) : Death::none;
            MemoryLog log(durable, death, 1 + random() % 8);
            const Status ended = run(durable, inputs, log, static_cast<std::uint32_t>(1 + random() % 3),
                                     1 + random() % 200, 50 + random() % 100);
            if (ended.ok()) break;
            ASSERT_EQ(ended.error().code, "F999") << ended.error().text() << ", seed " << seed;
            ++deaths;
        }
        repeats += durable.repeats;
        // The same cuts in one life give the same postings in the same order, and each once.
        std::vector<std::string> expected;
        std::map<std::string, std::uint64_t> totals;
        for (const EpochResult& epoch : durable.epochs) {
            for (const Posting& posting : epoch.postings) expected.push_back(posting.key);
        }
        ASSERT_EQ(durable.posted, expected) << "seed " << seed;
        std::vector<std::uint64_t> anchored(inputs.size());
        for (const EpochResult& epoch : durable.epochs) {
            for (std::size_t i = 0; i < inputs.size(); ++i) {
                const SourceCut& cut = epoch.cuts[i];
                ASSERT_GE(cut.anchor_sequence, anchored[i]) << "what was proved is forgotten, seed " << seed;
                ASSERT_EQ(cut.anchor, cut.anchor_sequence == 0 ? "" : EventSource::anchor_of(cut.anchor_sequence));
                anchored[i] = cut.anchor_sequence;
            }
        }
        std::uint64_t events = 0;
        for (const auto& [outcome, count] : durable.totals) events += count;
        ASSERT_EQ(events, inputs[0].size() + inputs[1].size()) << "seed " << seed;
    }
    EXPECT_GT(deaths, 100u);
    EXPECT_GT(repeats, 100u) << "no death lay between the log and the sink";
}

/// What died with a process before it was in the log is gone, and nothing else.
TEST(Recovery, MessagesThatNobodyElseKeepsComeFromTheLog) {
    const std::vector<std::vector<Event>> inputs = {make_events(1, 600)};
    std::uint64_t from_the_log = 0;
    std::uint64_t lost = 0;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        std::mt19937_64 random(seed);
        Durable durable;
        Broker broker{make_events(2, 1500), 0, {}};
        for (int life = 0;; ++life) {
            ASSERT_LT(life, 20) << "it does not come to its end, seed " << seed;
            std::uint64_t kept = 0;
            for (const EpochResult& epoch : durable.epochs) kept += epoch.input_records.size();
            from_the_log += kept;
            const Death death = life < 4 ? static_cast<Death>(1 + random() % 2) : Death::none;
            MemoryLog log(durable, death, 1 + random() % 8);
            const Status ended = run(durable, inputs, log, static_cast<std::uint32_t>(1 + random() % 3),
                                     1 + random() % 60, 50 + random() % 100, {}, false, &broker);
            ASSERT_EQ(broker.opened_at.back(), kept + 1) << "seed " << seed;
            if (ended.ok()) break;
            ASSERT_EQ(ended.error().code, "F999") << ended.error().text() << ", seed " << seed;
        }
        std::vector<std::string> expected;
        std::uint64_t kept = 0;
        for (const EpochResult& epoch : durable.epochs) {
            for (const Posting& posting : epoch.postings) expected.push_back(posting.key);
            for (const InputRecord& record : epoch.input_records) ASSERT_EQ(record.sequence, ++kept) << "seed " << seed;
        }
        ASSERT_EQ(durable.posted, expected) << "seed " << seed;
        std::uint64_t events = 0;
        for (const auto& [outcome, count] : durable.totals) events += count;
        ASSERT_EQ(events, inputs[0].size() + kept) << "seed " << seed;
        lost += broker.events.size() - kept;
    }
    EXPECT_GT(from_the_log, 1000u);
    EXPECT_GT(lost, 0u) << "no death lay between the broker and the log";
}

TEST(Recovery, AQuarantinedMessageIsADeadLetterAndNothingElse) {
    std::vector<std::vector<Event>> inputs = {make_events(1, 300), make_events(2, 300)};
    inputs[0][120].amount = kDeadlyAmount;
    inputs[1][0].amount = kDeadlyAmount;
    inputs[1][299].amount = kDeadlyAmount;
    Durable durable;
    durable.quarantine = {{1, 300}, {0, 121}, {1, 1}};
    for (int life = 0; life < 3; ++life) {
        MemoryLog log(durable, life < 2 ? Death::when_it_is_durable : Death::none, 3);
        const Status ended = run(durable, inputs, log, 2, 37, 50);
        ASSERT_EQ(ended.ok(), life == 2);
    }
    std::vector<std::string> refused;
    for (const EpochResult& epoch : durable.epochs) {
        for (const DeadLetter& letter : epoch.dead_letters) {
            if (letter.reason != "CRASH") continue;
            refused.push_back(fmt::format("{}:{}", letter.source, letter.sequence));
            Event event;
            ASSERT_EQ(letter.bytes.size(), sizeof event);
            std::memcpy(&event, letter.bytes.data(), sizeof event);
            EXPECT_EQ(event.amount, kDeadlyAmount);
        }
    }
    EXPECT_THAT(refused, testing::UnorderedElementsAre("a:121", "b:1", "b:300"));
    EXPECT_EQ(durable.totals["dead_letter/CRASH"], 3u);
    std::uint64_t events = 0;
    for (const auto& [outcome, count] : durable.totals) events += count;
    EXPECT_EQ(events, 600u);
    const AuditTotals& books = durable.epochs.back().audit;
    EXPECT_EQ(books.received.count, 600u);
}

TEST(Recovery, StopsWhereTheEpochsComeOutOtherwise) {
    std::vector<std::vector<Event>> inputs = {make_events(1, 400)};
    Durable durable;
    MemoryLog first(durable, Death::when_it_is_durable, 4);
    ASSERT_FALSE(run(durable, inputs, first, 1, 50, 50).ok());
    for (std::size_t i = 0; i < 100; ++i) inputs[0][i].amount += 1;
    MemoryLog second(durable, Death::none, 0);
    const Status ended = run(durable, inputs, second, 1, 50, 50);
    ASSERT_FALSE(ended.ok());
    EXPECT_EQ(ended.error().code, "F621") << ended.error().text();
}

/// Nothing is made again, and nothing new comes before the stop: what is sent again is answered, and that is kept.
TEST(Recovery, AStopRightAfterTheStartKeepsWhatSinksAnswered) {
    const std::vector<std::vector<Event>> inputs = {make_events(1, 400)};
    Durable durable;
    UnansweredLog log(durable);
    ASSERT_TRUE(run(durable, inputs, log, 1, 50, 50).ok());
    const std::uint64_t last = durable.epochs.back().epoch;
    const std::uint64_t posted = durable.posted.size();
    ASSERT_GT(posted, 0u);
    log.settled = 0;
    ASSERT_TRUE(run(durable, inputs, log, 1, 50, 50, {}, true).ok());
    EXPECT_EQ(durable.repeats, posted);
    EXPECT_GE(log.settled, last);
}

TEST(Recovery, StopsWhereTheSourceHasLessThanTheLog) {
    std::vector<std::vector<Event>> inputs = {make_events(1, 400)};
    Durable durable;
    MemoryLog first(durable, Death::when_it_is_durable, 4);
    ASSERT_FALSE(run(durable, inputs, first, 1, 50, 50).ok());
    inputs[0].resize(120);
    MemoryLog second(durable, Death::none, 0);
    const Status ended = run(durable, inputs, second, 1, 50, 50);
    ASSERT_FALSE(ended.ok());
    EXPECT_EQ(ended.error().code, "F620") << ended.error().text();
}

TEST(Recovery, WaitsForRoomAndLosesNothing) {
    const std::vector<std::vector<Event>> inputs = {make_events(1, 400)};
    Durable durable;
    MemoryLog log(durable, Death::none, 0);
    log.rooms_missing = 3;
    ASSERT_TRUE(run(durable, inputs, log, 2, 50, 50).ok());
    std::uint64_t events = 0;
    for (const auto& [outcome, count] : durable.totals) events += count;
    EXPECT_EQ(events, 400u);
    // The last epoch is without input: it has what the sink said of the one before.
    EXPECT_EQ(durable.epochs.at(durable.epochs.size() - 2).cut.flush, true);
    EXPECT_EQ(durable.epochs.back().messages, 0u);
}

}  // namespace
}  // namespace takt
