#include "pipeline/journal/state_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "pipeline/journal/outbox.h"
#include "tests/support/simulated_disk.h"

namespace takt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Plan plan_of(const std::vector<std::string>& sources, const std::string& config_hash = "c0ffee") {
    Plan plan;
    plan.pipeline = "plant_to_ledger";
    plan.config_hash = config_hash;
    for (const std::string& name : sources) plan.sources.emplace_back().name = name;
    return plan;
}

EpochResult epoch_of(const Plan& plan, std::uint64_t epoch) {
    EpochResult result;
    result.epoch = epoch;
    result.outcomes.resize(plan.outcomes.size());
    result.pane_outcomes.resize(plan.outcomes.size());
    for (std::size_t source = 0; source < plan.sources.size(); ++source)
        result.cuts.push_back({.last_sequence = 100 * epoch + source});
    return result;
}

EngineState state_of(const Plan& plan, std::uint64_t epoch) {
    EngineState state;
    state.epoch = epoch;
    for (const SourcePlan& source : plan.sources) state.sources.push_back(source.name);
    state.cuts = epoch_of(plan, epoch).cuts;
    state.total_outcomes.resize(plan.outcomes.size());
    state.outcomes = plan.outcomes.all();
    return state;
}

const StateLog::Options kOptions = {
    .engine_version = "0.1.0", .tzdb_version = "2024a", .journal = {.segment_bytes = 1u << 16}, .snapshots = {}};

std::unique_ptr<StateLog> open(Disk& disk, const Plan& plan, const StateLog::Options& options = kOptions) {
    auto log = StateLog::open(disk, "./state", plan, options);
    EXPECT_TRUE(log.ok()) << log.error().text();
    return std::move(log).value();
}

/// Epochs 1 and 2, and a snapshot of the latter where it is wanted.
void write_two(Disk& disk, const Plan& plan, bool with_snapshot) {
    const auto log = open(disk, plan);
    ASSERT_TRUE(log->recover().ok());
    for (const std::uint64_t epoch : {1, 2}) ASSERT_TRUE(log->append(epoch_of(plan, epoch), {}).ok());
    if (with_snapshot) {
        ASSERT_TRUE(log->snapshot(state_of(plan, 2), 2).ok());
    }
}

TEST(StateLog, GivesBackTheStateAndEveryEpoch) {
    for (const bool with_snapshot : {false, true}) {
        SimulatedDisk disk(1);
        const Plan plan = plan_of({"floor", "lab"});
        write_two(disk, plan, with_snapshot);
        const auto past = open(disk, plan)->recover();
        ASSERT_TRUE(past.ok()) << past.error().text();
        EXPECT_EQ(past->state.has_value(), with_snapshot);
        ASSERT_EQ(past->epochs.size(), 2u);
        EXPECT_EQ(past->epochs[1].epoch, 2u);
        EXPECT_EQ(past->epochs[1].cuts[1].last_sequence, 201u);
    }
}

TEST(StateLog, CutsThatAreOfOtherSourcesAreRefused) {
    SimulatedDisk disk(1);
    write_two(disk, plan_of({"floor", "lab"}), false);
    for (const auto& sources : std::vector<std::vector<std::string>>{
             {"lab", "floor"}, {"floor", "laboratory"}, {"floor"}, {"floor", "lab", "store"}}) {
        const Plan plan = plan_of(sources);
        const auto past = open(disk, plan)->recover();
        ASSERT_FALSE(past.ok());
        EXPECT_EQ(past.error().code, "C632");
        EXPECT_THAT(past.error().message, HasSubstr("the journal of"));
        EXPECT_THAT(past.error().message, HasSubstr(fmt::format("the sources floor, lab, and this config has {}:",
                                                                fmt::join(sources, ", "))));
    }
    const Plan same = plan_of({"floor", "lab"});
    EXPECT_TRUE(open(disk, same)->recover().ok());
}

TEST(StateLog, AnotherConfigOrVersionIsRefusedForEpochsThatMustBeMadeAgain) {
    for (const bool with_snapshot : {false, true}) {
        SimulatedDisk disk(1);
        const Plan plan = plan_of({"floor"});
        write_two(disk, plan, with_snapshot);
        if (with_snapshot) {
            const auto log = open(disk, plan);
            ASSERT_TRUE(log->recover().ok());
            ASSERT_TRUE(log->append(epoch_of(plan, 3), {}).ok());
        }
        const Plan changed = plan_of({"floor"}, "decaf");
        const auto config = open(disk, changed)->recover();
        ASSERT_FALSE(config.ok());
        EXPECT_EQ(config.error().code, "C632");
        EXPECT_THAT(config.error().message, HasSubstr("Start once with that config and stop it cleanly"));
        StateLog::Options later = kOptions;
        later.engine_version = "0.2.0";
        const auto version = open(disk, plan, later)->recover();
        ASSERT_FALSE(version.ok());
        EXPECT_EQ(version.error().code, "F722");
    }
}

/// What each frame of the journal was written under.
std::vector<std::string> configs_of_frames(Disk& disk) {
    std::vector<std::string> configs;
    auto reader = Journal::look(disk, "./state/journal");
    EXPECT_TRUE(reader.ok());
    while (true) {
        auto frame = (*reader)->next();
        EXPECT_TRUE(frame.ok());
        if (!*frame) return configs;
        configs.push_back((*frame)->config_hash);
    }
}

TEST(StateLog, AChangedConfigGoesOnWithASnapshotOfTheEnd) {
    SimulatedDisk disk(1);
    const Plan before = plan_of({"floor", "lab"});
    write_two(disk, before, true);
    const Plan now = plan_of({"store", "lab", "floor"}, "decaf");
    {
        const auto log = open(disk, now);
        const auto past = log->recover();
        ASSERT_TRUE(past.ok()) << past.error().text();
        EXPECT_EQ(past->state->epoch, 3u);
        EXPECT_EQ(past->state->cuts[1].last_sequence, 201u);
        EXPECT_EQ(past->state->cuts[2].last_sequence, 200u);
        ASSERT_EQ(past->epochs.size(), 3u);
        EXPECT_EQ(past->epochs[2].rows, 0u);
        ASSERT_TRUE(log->append(epoch_of(now, 4), {}).ok());
    }
    EXPECT_THAT(configs_of_frames(disk), ElementsAre("c0ffee", "c0ffee", "decaf", "decaf"));
    EXPECT_TRUE(open(disk, now)->recover().ok());
    const auto back = open(disk, before)->recover();
    ASSERT_FALSE(back.ok());
    EXPECT_EQ(back.error().code, "C632");
}

TEST(StateLog, StateThatWouldGoIsRefusedUnlessItIsNamed) {
    SimulatedDisk disk(1);
    const Plan before = plan_of({"floor", "lab"});
    write_two(disk, before, true);
    const Plan now = plan_of({"floor"});
    StateLog::Options options = kOptions;
    options.drop_state = {"sources.store"};
    const auto refused = open(disk, now, options)->recover();
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, "C636");
    EXPECT_THAT(refused.error().message, HasSubstr("drops state: source lab (uid sources.lab): gone"));
    EXPECT_TRUE(open(disk, before)->recover().ok()) << "a refusal changes nothing";
    options.drop_state = {"sources.lab"};
    const auto past = open(disk, now, options)->recover();
    ASSERT_TRUE(past.ok()) << past.error().text();
    EXPECT_THAT(past->state->sources, ElementsAre("floor"));
    EXPECT_TRUE(open(disk, now)->recover().ok()) << "what is gone need not be named again";
}

TEST(StateLog, ACrashWhileTheConfigChangesLeavesTheOneOrTheOther) {
    const Plan before = plan_of({"floor", "lab"});
    const Plan now = plan_of({"floor"}, "decaf");
    StateLog::Options drop = kOptions;
    drop.drop_state = {"sources.lab"};
    int changed = 0;
    int unchanged = 0;
    for (std::uint64_t operation = 1;; ++operation) {
        SimulatedDisk disk(operation);
        write_two(disk, before, true);
        disk.cut_power_at(disk.operations() + operation);
        bool crashed = false;
        try {
            (void)open(disk, now, drop)->recover();
        } catch (const SimulatedDisk::PowerCut&) {
            crashed = true;
        }
        if (!crashed) break;
        disk.start_again(SimulatedDisk::Kept::some);
        // Without the option: what was decided stays decided.
        const auto after = open(disk, now)->recover();
        if (after.ok()) {
            ++changed;
            EXPECT_EQ(after->state->epoch, 3u);
            EXPECT_EQ(after->epochs.back().epoch, 3u);
            continue;
        }
        ASSERT_EQ(after.error().code, "C636") << after.error().text();
        ++unchanged;
        const auto old = open(disk, before)->recover();
        ASSERT_TRUE(old.ok()) << old.error().text();
        EXPECT_EQ(old->state->epoch, 2u);
    }
    EXPECT_GT(changed, 0);
    EXPECT_GT(unchanged, 0);
}

Plan plan_with_ledger() {
    Plan plan = plan_of({"floor"});
    plan.sinks.emplace_back().name = "ledger";
    return plan;
}

/// With so many postings.
EpochResult epoch_with(const Plan& plan, std::uint64_t epoch, int postings) {
    EpochResult result = epoch_of(plan, epoch);
    for (int number = 0; number < postings; ++number) {
        Posting& posting = result.postings.emplace_back();
        posting.key = fmt::format("{}-{}", epoch, number);
        posting.payload_hash = "p";
        posting.type = "goods_receipt";
        posting.epoch = epoch;
    }
    return result;
}

SinkAnswers answers_settled(std::uint64_t epoch) {
    SinkAnswers answers;
    answers.positions.push_back({"ledger", -3, 70 + epoch, epoch});
    return answers;
}

TEST(StateLog, KnowsWhatEachSinkHasNotAnswered) {
    SimulatedDisk disk(1);
    const Plan plan = plan_with_ledger();
    std::string name;
    {
        const auto log = open(disk, plan);
        const auto past = log->recover();
        ASSERT_TRUE(past.ok());
        name = past->run.state;
        EXPECT_EQ(name.size(), 32u);
        EXPECT_EQ(past->run.incarnation, 1u);
        ASSERT_EQ(past->sinks.size(), 1u);
        EXPECT_EQ(past->sinks[0].until, 0u);
        ASSERT_TRUE(log->append(epoch_with(plan, 1, 2), {}).ok());
        ASSERT_TRUE(log->append(epoch_with(plan, 2, 3), answers_settled(1)).ok());
        SinkAnswers answers;
        answers.confirmations.push_back({"ledger", "2-0", DeliveryState::accepted, 1, "17", "", "", 0});
        answers.confirmations.push_back({"ledger", "2-1", DeliveryState::unknown, 3, "", "late", "", 0});
        answers.confirmations.push_back({"ledger", "2-2", DeliveryState::refused, 1, "", "CLOSED", "", 0});
        ASSERT_TRUE(log->append(epoch_with(plan, 3, 1), answers).ok());
    }
    const auto past = open(disk, plan)->recover();
    ASSERT_TRUE(past.ok()) << past.error().text();
    EXPECT_EQ(past->run.state, name);
    EXPECT_EQ(past->run.incarnation, 2u);
    const SinkPast& ledger = past->sinks.at(0);
    EXPECT_EQ(ledger.until, 3u);
    EXPECT_EQ(ledger.position, (SinkPosition{"ledger", -3, 71, 1}));
    EXPECT_EQ(ledger.waiting, (std::map<std::string, std::uint32_t>{{"2-1", 3}, {"3-0", 0}}));
    ASSERT_EQ(ledger.held.size(), 1u);
    EXPECT_EQ(ledger.held[0].said.reason, "CLOSED");
    EXPECT_TRUE(ledger.undelivered.empty());
}

TEST(StateLog, ANewSinkIsOwedNothingOfBefore) {
    SimulatedDisk disk(1);
    {
        const Plan plan = plan_with_ledger();
        const auto log = open(disk, plan);
        ASSERT_TRUE(log->recover().ok());
        ASSERT_TRUE(log->append(epoch_with(plan, 1, 2), {}).ok());
    }
    Plan plan = plan_with_ledger();
    plan.sinks.emplace_back().name = "archive";
    const auto past = open(disk, plan)->recover();
    ASSERT_TRUE(past.ok());
    EXPECT_EQ(past->sinks.at(0).waiting.size(), 2u);
    EXPECT_TRUE(past->sinks.at(1).waiting.empty());
    EXPECT_EQ(past->sinks.at(1).position.settled, 1u);
}

/// Epochs 1 to `last`, each with two postings, of which the ledger takes the first one; snapshots on the way.
void write_long(Disk& disk, const Plan& plan, std::uint64_t first, std::uint64_t last) {
    const auto log = open(disk, plan);
    ASSERT_TRUE(log->recover().ok());
    for (std::uint64_t epoch = first; epoch <= last; ++epoch) {
        SinkAnswers answers;
        if (epoch > 1) {
            answers = answers_settled(epoch - 1);
            answers.confirmations.push_back(
                {"ledger", fmt::format("{}-1", epoch - 1), DeliveryState::refused, 1, "", "CLOSED", "", 0});
        }
        ASSERT_TRUE(log->append(epoch_with(plan, epoch, 2), answers).ok());
        if (epoch % 10 == 0) {
            ASSERT_TRUE(log->snapshot(state_of(plan, epoch), epoch - 1).ok());
        }
    }
}

TEST(StateLog, WhatSinksHaveNotTakenSurvivesTheFramesThatToldOfIt) {
    SimulatedDisk disk(1);
    const Plan plan = plan_with_ledger();
    write_long(disk, plan, 1, 150);
    write_long(disk, plan, 151, 300);
    const auto outbox = read_outbox(disk, "./state");
    ASSERT_TRUE(outbox.ok()) << outbox.error().text();
    ASSERT_EQ(outbox->size(), 1u);
    EXPECT_EQ((*outbox)[0].total(DeliveryState::accepted).count, 299u);
    EXPECT_EQ((*outbox)[0].total(DeliveryState::refused).count, 299u);
    EXPECT_EQ((*outbox)[0].total(DeliveryState::ready).count, 2u);
    const auto past = open(disk, plan)->recover();
    ASSERT_TRUE(past.ok()) << past.error().text();
    EXPECT_GT(past->epochs.front().epoch, 150u) << "no segment was removed";
    EXPECT_EQ(past->sinks.at(0).held.size(), 299u);
    EXPECT_EQ(past->sinks.at(0).waiting.size(), 2u);
}

TEST(StateLog, ASinkThatComesBackGetsWhatItWasOwed) {
    SimulatedDisk disk(1);
    Plan both = plan_with_ledger();
    both.sinks.emplace_back().name = "archive";
    write_long(disk, both, 1, 20);
    write_long(disk, plan_with_ledger(), 21, 300);
    const auto past = open(disk, both)->recover();
    ASSERT_TRUE(past.ok()) << past.error().text();
    const SinkPast& archive = past->sinks.at(1);
    EXPECT_EQ(archive.waiting.size(), 40u);
    ASSERT_EQ(archive.undelivered.size(), 40u);
    EXPECT_EQ(archive.undelivered.front().key, "1-0");
    EXPECT_EQ(archive.undelivered.back().key, "20-1");
}

TEST(StateLog, ACrashAtAnyStepOfARemovalLosesNothing) {
    std::uint64_t operations = 0;
    const Plan plan = plan_with_ledger();
    {
        SimulatedDisk disk(1);
        write_long(disk, plan, 1, 150);
        operations = disk.operations();
    }
    std::mt19937_64 chance(1);
    for (int round = 0; round < 60; ++round) {
        SimulatedDisk disk(1 + static_cast<std::uint64_t>(round));
        disk.cut_power_at(operations / 2 + chance() % (operations / 2));
        try {
            write_long(disk, plan, 1, 150);
        } catch (const SimulatedDisk::PowerCut&) {
        }
        disk.start_again(SimulatedDisk::Kept::some);
        const auto log = open(disk, plan);
        const auto past = log->recover();
        ASSERT_TRUE(past.ok()) << past.error().text();
        const std::uint64_t last = past->sinks.at(0).until;
        ASSERT_GT(last, 30u);
        EXPECT_EQ(past->sinks.at(0).held.size(), last - 1);
        EXPECT_EQ(past->sinks.at(0).waiting.size(), 2u);
        const auto outbox = read_outbox(disk, "./state");
        ASSERT_TRUE(outbox.ok()) << outbox.error().text();
        EXPECT_EQ((*outbox)[0].total(DeliveryState::accepted).count, last - 1);
    }
}

}  // namespace
}  // namespace takt
