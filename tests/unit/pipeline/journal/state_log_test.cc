#include "pipeline/journal/state_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/simulated_disk.h"

namespace takt {
namespace {

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
    for (const std::uint64_t epoch : {1, 2}) ASSERT_TRUE(log->append(epoch_of(plan, epoch)).ok());
    if (with_snapshot) ASSERT_TRUE(log->snapshot(state_of(plan, 2), 2).ok());
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
    for (const bool with_snapshot : {false, true}) {
        SimulatedDisk disk(1);
        write_two(disk, plan_of({"floor", "lab"}), with_snapshot);
        for (const auto& sources : std::vector<std::vector<std::string>>{
                 {"lab", "floor"}, {"floor", "laboratory"}, {"floor"}, {"floor", "lab", "store"}}) {
            const auto past = open(disk, plan_of(sources))->recover();
            ASSERT_FALSE(past.ok());
            EXPECT_EQ(past.error().code, "C632");
            EXPECT_THAT(past.error().message, HasSubstr(with_snapshot ? "the state of" : "the journal of"));
            EXPECT_THAT(past.error().message, HasSubstr(fmt::format("the sources floor, lab, and this config has {}:",
                                                                    fmt::join(sources, ", "))));
        }
        EXPECT_TRUE(open(disk, plan_of({"floor", "lab"}))->recover().ok());
    }
}

TEST(StateLog, AnotherConfigOrVersionIsRefused) {
    for (const bool with_snapshot : {false, true}) {
        SimulatedDisk disk(1);
        write_two(disk, plan_of({"floor"}), with_snapshot);
        const auto config = open(disk, plan_of({"floor"}, "decaf"))->recover();
        ASSERT_FALSE(config.ok());
        EXPECT_EQ(config.error().code, "C632");
        StateLog::Options later = kOptions;
        later.engine_version = "0.2.0";
        const auto version = open(disk, plan_of({"floor"}), later)->recover();
        ASSERT_FALSE(version.ok());
        EXPECT_EQ(version.error().code, "F722");
    }
}

}  // namespace
}  // namespace takt
