#include "pipeline/journal/state_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "pipeline/journal/durable_text.h"
#include "pipeline/journal/outbox.h"
#include "tests/support/simulated_disk.h"

namespace takt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using testing::UnorderedElementsAre;

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

// ---- messages that kill: starts that were killed, and the list of what is not read any more

constexpr const char* kEnd = "./state/END";
constexpr const char* kQuarantine = "./state/QUARANTINE";

/// A start that is killed before it has made an epoch: how many such ones it finds before it.
std::uint64_t start_and_die(Disk& disk, const Plan& plan) {
    return open(disk, plan)->killed_starts();
}

TEST(StateLog, StartsThatWereKilledCountUntilOneMakesAnEpoch) {
    SimulatedDisk disk(1);
    const Plan plan = plan_of({"floor"});
    for (const std::uint64_t killed : {0, 1, 2}) EXPECT_EQ(start_and_die(disk, plan), killed);
    {
        const auto log = open(disk, plan);
        EXPECT_EQ(log->killed_starts(), 3u);
        ASSERT_TRUE(log->recover().ok());
        ASSERT_TRUE(log->append(epoch_of(plan, 1), {}).ok());
    }
    // That one was killed, too, but not before it had made one.
    for (const std::uint64_t killed : {0, 1}) EXPECT_EQ(start_and_die(disk, plan), killed);
    disk.start_again(SimulatedDisk::Kept::nothing);
    EXPECT_EQ(start_and_die(disk, plan), 2u) << "a power cut between them changes nothing";
}

TEST(StateLog, AStartThatOnlyRecoveredHasMadeNoEpoch) {
    SimulatedDisk disk(1);
    const Plan plan = plan_of({"floor"});
    write_two(disk, plan, false);
    {
        const auto log = open(disk, plan);
        EXPECT_EQ(log->killed_starts(), 0u);
        ASSERT_TRUE(log->recover().ok());
        ASSERT_TRUE(log->snapshot(state_of(plan, 2), 2).ok());
    }
    EXPECT_EQ(start_and_die(disk, plan), 1u);
}

TEST(StateLog, AStartThatCameToItsEndWasNotKilled) {
    SimulatedDisk disk(1);
    const Plan plan = plan_of({"floor"});
    for (const std::uint64_t killed : {0, 1}) EXPECT_EQ(start_and_die(disk, plan), killed);
    ASSERT_TRUE(open(disk, plan)->end().ok());
    disk.start_again(SimulatedDisk::Kept::nothing);
    for (const std::uint64_t killed : {0, 1}) EXPECT_EQ(start_and_die(disk, plan), killed);
}

TEST(StateLog, OfAnEndAndAnEpochTheNewerOneCounts) {
    SimulatedDisk disk(1);
    const Plan plan = plan_of({"floor"});
    write_two(disk, plan, false);
    EXPECT_EQ(start_and_die(disk, plan), 0u);
    ASSERT_TRUE(open(disk, plan)->end().ok());
    EXPECT_EQ(start_and_die(disk, plan), 0u) << "the end is newer than the epoch";
    {
        const auto log = open(disk, plan);
        EXPECT_EQ(log->killed_starts(), 1u);
        ASSERT_TRUE(log->recover().ok());
        ASSERT_TRUE(log->append(epoch_of(plan, 3), {}).ok());
    }
    for (const std::uint64_t killed : {0, 1}) EXPECT_EQ(start_and_die(disk, plan), killed);
}

TEST(StateLog, AnEndThatCannotBeIsRefused) {
    SimulatedDisk disk(1);
    const Plan plan = plan_of({"floor"});
    std::uint64_t next = 0;
    {
        const auto log = open(disk, plan);
        ASSERT_TRUE(log->end().ok());
        next = log->incarnation() + 1;
    }
    // As where INCARNATION came from an older copy.
    ASSERT_TRUE(write_durable_text(disk, kEnd, {"takt-end", 1, {{"incarnation", std::to_string(next)}}}).ok());
    const auto later = StateLog::open(disk, "./state", plan, kOptions);
    ASSERT_FALSE(later.ok());
    EXPECT_EQ(later.error().code, "F705");
    EXPECT_THAT(later.error().message, HasSubstr("./state/END is of a later start than this one"));
    std::string bytes = disk.content(kEnd);
    bytes[0] = static_cast<char>(bytes[0] ^ 1);
    disk.set_content(kEnd, bytes);
    const auto damaged = StateLog::open(disk, "./state", plan, kOptions);
    ASSERT_FALSE(damaged.ok());
    EXPECT_EQ(damaged.error().code, "F705");
    EXPECT_THAT(damaged.error().message, HasSubstr("./state/END is damaged"));
}

std::vector<QuarantinedMessage> quarantine_of(StateLog& log) {
    const auto past = log.recover();
    EXPECT_TRUE(past.ok()) << past.error().text();
    return past.ok() ? past->quarantine : std::vector<QuarantinedMessage>();
}

TEST(StateLog, WhatIsQuarantinedStaysSoForEveryLaterStart) {
    SimulatedDisk disk(1);
    const Plan plan = plan_of({"floor", "lab"});
    write_two(disk, plan, true);
    const QuarantinedMessage first{1, 203};
    const QuarantinedMessage second{0, 207};
    const QuarantinedMessage third{0, 205};
    EXPECT_THAT(quarantine_of(*open(disk, plan)), IsEmpty());
    EXPECT_FALSE(disk.exists(kQuarantine));
    {
        const auto log = open(disk, plan);
        ASSERT_TRUE(log->quarantine(first).ok());
        ASSERT_TRUE(log->quarantine(second).ok());
        EXPECT_THAT(quarantine_of(*log), UnorderedElementsAre(first, second));
    }
    // As docs/formats/state.md has it.
    EXPECT_THAT(disk.content(kQuarantine),
                StartsWith("takt-quarantine 1\nmessage 203 lab\nmessage 207 floor\ncrc32c "));
    disk.start_again(SimulatedDisk::Kept::nothing);
    EXPECT_THAT(quarantine_of(*open(disk, plan)), UnorderedElementsAre(first, second));
    ASSERT_TRUE(open(disk, plan)->quarantine(third).ok());
    {
        const auto log = open(disk, plan);
        EXPECT_THAT(quarantine_of(*log), UnorderedElementsAre(first, second, third));
        ASSERT_TRUE(log->append(epoch_of(plan, 3), {}).ok());
        ASSERT_TRUE(log->snapshot(state_of(plan, 3), 3).ok());
        ASSERT_TRUE(log->end().ok());
    }
    EXPECT_THAT(quarantine_of(*open(disk, plan)), UnorderedElementsAre(first, second, third))
        << "epochs, snapshots and ends forget none";
}

TEST(StateLog, AQuarantinedMessageIsKnownByItsSourcesName) {
    SimulatedDisk disk(1);
    const Plan both = plan_of({"floor", "lab"});
    ASSERT_TRUE(open(disk, both)->quarantine({1, 5}).ok());
    const Plan turned = plan_of({"lab", "floor"});
    EXPECT_THAT(quarantine_of(*open(disk, turned)), ElementsAre(QuarantinedMessage{0, 5}));
    const Plan one = plan_of({"floor"});
    {
        const auto log = open(disk, one);
        EXPECT_THAT(quarantine_of(*log), IsEmpty());
        ASSERT_TRUE(log->quarantine({0, 9}).ok());
    }
    EXPECT_THAT(quarantine_of(*open(disk, both)),
                UnorderedElementsAre(QuarantinedMessage{1, 5}, QuarantinedMessage{0, 9}))
        << "that of a source that was gone meanwhile stays on the list";
}

TEST(StateLog, ACrashWhileAMessageIsQuarantinedLeavesItOnTheListOrNot) {
    const Plan plan = plan_of({"floor", "lab"});
    const QuarantinedMessage before{0, 300};
    const QuarantinedMessage now{1, 301};
    int listed = 0;
    int unlisted = 0;
    for (const auto kept : {SimulatedDisk::Kept::nothing, SimulatedDisk::Kept::everything, SimulatedDisk::Kept::some}) {
        bool crashed = true;
        for (std::uint64_t operation = 1; crashed; ++operation) {
            SimulatedDisk disk(operation);
            {
                const auto log = open(disk, plan);
                ASSERT_TRUE(log->quarantine(before).ok());
                disk.cut_power_at(disk.operations() + operation);
                try {
                    ASSERT_TRUE(log->quarantine(now).ok());
                    crashed = false;
                } catch (const SimulatedDisk::PowerCut&) {
                }
            }
            disk.start_again(kept);
            const auto quarantine = quarantine_of(*open(disk, plan));
            if (!crashed) {
                EXPECT_THAT(quarantine, UnorderedElementsAre(before, now)) << "it returned, so it is durable";
            } else if (quarantine.size() > 1) {
                ++listed;
                EXPECT_THAT(quarantine, UnorderedElementsAre(before, now));
            } else {
                ++unlisted;
                EXPECT_THAT(quarantine, ElementsAre(before));
            }
        }
    }
    EXPECT_GT(listed, 0);
    EXPECT_GT(unlisted, 0);
}

/// Else this start would make epochs without it, and the next one, which does not know of it, could not make them
/// again.
TEST(StateLog, AMessageThatCouldNotBeQuarantinedIsNot) {
    const Plan plan = plan_of({"floor"});
    std::uint64_t operation = 1;
    for (;; ++operation) {
        SimulatedDisk disk(operation);
        const auto log = open(disk, plan);
        disk.fail_at(disk.operations() + operation, std::errc::no_space_on_device);
        if (log->quarantine({0, 300}).ok()) break;
        ASSERT_TRUE(log->quarantine({0, 301}).ok());
        EXPECT_THAT(quarantine_of(*log), ElementsAre(QuarantinedMessage{0, 301})) << "operation " << operation;
        EXPECT_THAT(disk.content(kQuarantine), StartsWith("takt-quarantine 1\nmessage 301 floor\ncrc32c "));
    }
    EXPECT_GT(operation, 5u) << "create, write, synchronize, rename, synchronize the folder";
}

TEST(StateLog, ADamagedQuarantineIsRefused) {
    SimulatedDisk disk(1);
    const Plan plan = plan_of({"floor"});
    ASSERT_TRUE(open(disk, plan)->quarantine({0, 17}).ok());
    const std::string good = disk.content(kQuarantine);
    const auto expect_refused = [&](const std::string& bytes, const std::string& code, const std::string& message) {
        disk.set_content(kQuarantine, bytes);
        const auto log = StateLog::open(disk, "./state", plan, kOptions);
        ASSERT_FALSE(log.ok()) << bytes;
        EXPECT_EQ(log.error().code, code) << bytes;
        EXPECT_THAT(log.error().message, HasSubstr("./state/QUARANTINE"));
        EXPECT_THAT(log.error().message, HasSubstr(message));
        EXPECT_EQ(disk.content(kQuarantine), bytes) << "what is left of it is a person's to look at";
    };
    for (std::size_t size = 0; size < good.size(); ++size) expect_refused(good.substr(0, size), "F705", "is damaged");
    for (std::size_t at = 0; at < good.size(); ++at) {
        std::string bytes = good;
        bytes[at] = static_cast<char>(bytes[at] ^ 1);
        expect_refused(bytes, "F705", "is damaged");
    }
    // What no takt has written, with a checksum that holds.
    const auto text = [](const std::string& name, const std::string& value) {
        return DurableText{"takt-quarantine", 1, {{"message", "3 floor"}, {name, value}}}.text();
    };
    expect_refused(text("sequence", "17 floor"), "F705", "is damaged: 'sequence 17 floor'");
    for (const char* const value : {"floor 17", "17", "17floor", "-1 floor", "18446744073709551616 floor", ""})
        expect_refused(text("message", value), "F705", fmt::format("is damaged: 'message {}'", value));
    expect_refused(DurableText{"takt-end", 1, {{"message", "17 floor"}}}.text(), "F705", "takt-quarantine");
    expect_refused(DurableText{"takt-quarantine", 2, {{"message", "17 floor"}}}.text(), "F704", "format version 2");

    disk.set_content(kQuarantine, good);
    EXPECT_THAT(quarantine_of(*open(disk, plan)), ElementsAre(QuarantinedMessage{0, 17})) << "put back, it counts";
}

}  // namespace
}  // namespace takt
