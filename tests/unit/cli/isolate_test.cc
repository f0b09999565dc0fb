// Messages that kill whoever reads them are found by processes that die of them.
#include "cli/isolate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/pipeline/runtime/durable_run.h"

namespace takt {

void PrintTo(const QuarantinedMessage& message, std::ostream* out) {
    *out << message.source << ':' << message.sequence;
}

namespace {

using namespace durable;
using testing::ElementsAre;
using testing::IsEmpty;

/// The search over what a log has, as a start of the daemon makes it.
std::vector<QuarantinedMessage> search(Durable& durable, const std::vector<std::vector<Event>>& inputs) {
    const auto made = make_plan(inputs, 64);
    return isolate(made->plan, {[&]() -> Result<EpochLog::Past> {
                                    MemoryLog log(durable, Death::none, 0);
                                    return log.recover();
                                },
                                [&](const QuarantinedMessage& message) -> Status {
                                    durable.quarantine.push_back(message);
                                    return {};
                                }});
}

TEST(Isolate, FindsEachMessageThatKillsAndNoOther) {
    std::vector<std::vector<Event>> inputs = {make_events(1, 900), make_events(2, 700)};
    Durable durable;
    // Some epochs are durable before the first deadly message is read.
    MemoryLog first(durable, Death::when_it_is_durable, 3);
    ASSERT_FALSE(run(durable, inputs, first, 1, 20, 100).ok());
    const std::vector<SourceCut> cuts = durable.epochs.back().cuts;
    ASSERT_LT(cuts[0].last_sequence, 800u);
    inputs[0][cuts[0].last_sequence].amount = kDeadlyAmount;
    inputs[0][899].amount = kDeadlyAmount;
    inputs[1][650].amount = kDeadlyAmount;
    EXPECT_THAT(search(durable, inputs), ElementsAre(QuarantinedMessage{0, cuts[0].last_sequence + 1},
                                                     QuarantinedMessage{0, 900}, QuarantinedMessage{1, 651}));
    EXPECT_THAT(search(durable, inputs), IsEmpty());
    MemoryLog last(durable, Death::none, 0);
    EXPECT_TRUE(run(durable, inputs, last, 2, 33, 100).ok());
    EXPECT_EQ(durable.totals["dead_letter/CRASH"], 3u);
}

TEST(Isolate, TakesNothingOutWhereNothingKills) {
    const std::vector<std::vector<Event>> inputs = {make_events(1, 300)};
    Durable durable;
    EXPECT_THAT(search(durable, inputs), IsEmpty());
    EXPECT_THAT(durable.quarantine, IsEmpty());
}

TEST(Isolate, TakesNothingOutWhereTheStateItselfKills) {
    std::vector<std::vector<Event>> inputs = {make_events(1, 600)};
    Durable durable;
    MemoryLog first(durable, Death::when_it_is_durable, 3);
    ASSERT_FALSE(run(durable, inputs, first, 1, 20, 100).ok());
    inputs[0][10].amount = kDeadlyAmount;  // in an epoch that is durable
    EXPECT_THAT(search(durable, inputs), IsEmpty());
}

}  // namespace
}  // namespace takt
