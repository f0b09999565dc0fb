#include "pipeline/journal/state_audit.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "pipeline/journal/journal.h"
#include "pipeline/journal/state_directory.h"
#include "tests/support/simulated_disk.h"

namespace takt {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr OutcomeCode kRefused = 5;

FrameContext context() {
    FrameContext context;
    context.engine_version = "0.1.0";
    context.config_hash = "c0ffee";
    context.tzdb_version = "2024a";
    context.sources = {"floor"};
    EXPECT_EQ(context.outcomes.add({OutcomeKind::dead_letter, "NO_PRICE", "plant_it", "priced", false}), kRefused);
    return context;
}

/// Makes epochs as an engine would: two accepted events, one dead letter and two postings each.
class Maker {
  public:
    Frame next() {
        Frame frame;
        EpochResult& result = frame.result;
        result.epoch = ++epoch_;
        result.outcomes.resize(context().outcomes.size());
        result.pane_outcomes.resize(context().outcomes.size());
        totals_.outcomes.resize(context().outcomes.size());
        totals_.sources.resize(1);
        for (const OutcomeCode code : {kAccepted, kRefused, kAccepted}) {
            const Hash128 event = event_hash(source_seed("floor"), ++sequence_, 0);
            totals_.received.add(event);
            totals_.outcomes[code].add(event);
            ++totals_.sources[0].received;
            ++result.outcomes[code];
            ++result.rows;
            if (code != kRefused) continue;
            DeadLetter& letter = result.dead_letters.emplace_back();
            letter.source = "floor";
            letter.sequence = sequence_;
            letter.reason = "NO_PRICE";
        }
        result.cuts = {{.last_sequence = sequence_}};
        for (const char* pane : {"a", "b"}) {
            Posting posting;
            posting.type = "costs";
            posting.revision = static_cast<std::uint32_t>(epoch_);
            posting.key = fmt::format("{}-{}", pane, epoch_);
            if (epoch_ > 1) posting.previous_key = fmt::format("{}-{}", pane, epoch_ - 1);
            posting.payload_hash = "payload of " + posting.key;
            posting.has_quantity = false;
            posting.amount = 100;
            posting.amount_cumulative = static_cast<Int128>(100 * epoch_);
            posting.currency = "EUR";
            posting.lines = {{"1", "", Side::debit, 100}, {"2", "", Side::credit, 100}};
            posting.epoch = epoch_;
            totals_.add(posting);
            result.postings.push_back(posting);
        }
        totals_.add({.step = "costs",
                     .measure = "amount",
                     .unit = "EUR",
                     .scale = 2,
                     .posts = true,
                     .adds_up = true,
                     .contributed = 200,
                     .settled = 200});
        result.audit = totals_;
        return frame;
    }

  private:
    std::uint64_t epoch_ = 0;
    std::uint64_t sequence_ = 0;
    AuditTotals totals_;
};

/// Three epochs, the second one of which was changed before it was written.
Result<StateAudit> audit_of(const std::function<void(Frame&)>& change) {
    SimulatedDisk disk(1);
    {
        auto state = StateDirectory::open(disk, "./state", {.pipeline = "plant"});
        EXPECT_TRUE(state.ok()) << state.error().text();
        auto journal = Journal::open(disk, state->journal_folder(), context());
        EXPECT_TRUE(journal.ok()) << journal.error().text();
        Maker maker;
        for (int epoch = 1; epoch <= 3; ++epoch) {
            Frame frame = maker.next();
            if (epoch == 1) frame.routes = {{"ledger", {}}};
            if (epoch == 2) change(frame);
            EXPECT_TRUE((*journal)->append(frame).ok());
        }
        // It is looked at while its owner lives.
        return audit_state(disk, "./state");
    }
}

std::string broken(const std::function<void(Frame&)>& change) {
    const auto audit = audit_of(change);
    if (!audit) return audit.error().text();
    std::string text;
    for (const Imbalance& one : audit->imbalances)
        text += fmt::format("{}: {}\n", static_cast<int>(one.equation), one.text);
    return text;
}

TEST(StateAudit, AGoodJournalBalances) {
    const auto audit = audit_of([](Frame&) {});
    ASSERT_TRUE(audit) << audit.error().text();
    EXPECT_THAT(audit->imbalances, IsEmpty());
    EXPECT_EQ(audit->pipeline, "plant");
    EXPECT_EQ(audit->first_epoch, 1u);
    EXPECT_EQ(audit->last_epoch, 3u);
    EXPECT_EQ(audit->totals.received.count, 9u);
    EXPECT_EQ(audit->outcomes[kRefused].rule, "NO_PRICE");
    EXPECT_EQ(audit->cuts[0].last_sequence, 9u);
    ASSERT_EQ(audit->sinks.size(), 1u);
    EXPECT_EQ(generated_for(audit->sinks[0], audit->totals), delivered_or_not(audit->sinks[0]));
    EXPECT_EQ(audit->sinks[0].total(DeliveryState::ready).count, 6u);
}

TEST(StateAudit, APostingThatIsGoneIsNamed) {
    const std::string text = broken([](Frame& frame) { frame.result.postings.pop_back(); });
    EXPECT_THAT(text, HasSubstr("4: epoch 2: generated are 4 postings"));
    EXPECT_THAT(text, HasSubstr("4: posting b-3 (costs, revision 3): the one before it, b-2, is not there"));
    EXPECT_THAT(text, HasSubstr("4: sink ledger: generated are 6 postings, 6.00 EUR"));
}

TEST(StateAudit, AnotherPostingOfTheSameAmountIsSeen) {
    const std::string text = broken([](Frame& frame) {
        Posting& posting = frame.result.postings.back();
        posting.key = "c-1";
        posting.previous_key.clear();
        posting.revision = 1;
        posting.amount_cumulative = posting.amount;
    });
    EXPECT_THAT(text, HasSubstr("4: epoch 2: generated are 4 postings, quantity 0.000000, amount 4.00, hash"));
    EXPECT_THAT(text, HasSubstr("4: sink ledger: generated are 6 postings, 6.00 EUR, hash"));
    // Numbers and amounts are right: only the revisions and the hashes are not.
    EXPECT_THAT(text, Not(HasSubstr("6: ")));
    EXPECT_THAT(text, Not(HasSubstr("3: ")));
}

TEST(StateAudit, ADeadLetterThatIsGoneOrAnotherIsSeen) {
    EXPECT_THAT(broken([](Frame& frame) { frame.result.dead_letters.clear(); }),
                HasSubstr("2: epoch 2: dead-lettered were 1 events"));
    EXPECT_THAT(broken([](Frame& frame) { frame.result.dead_letters[0].sequence = 2; }),
                HasSubstr("2: epoch 2: dead-lettered were 1 events"));
}

TEST(StateAudit, TotalsThatWereChangedAreSeen) {
    EXPECT_THAT(broken([](Frame& frame) { ++frame.result.cuts[0].last_sequence; }),
                HasSubstr("1: source floor: cut 7"));
    EXPECT_THAT(broken([](Frame& frame) { frame.result.audit.outcomes[kAccepted].hash.low += 1; }),
                HasSubstr("2: received"));
    EXPECT_THAT(broken([](Frame& frame) { frame.result.audit.values[0].settled += 1; }),
                HasSubstr("3: costs amount in EUR"));
    EXPECT_THAT(broken([](Frame& frame) { frame.result.postings[0].lines[0].amount += 1; }),
                HasSubstr("6: posting a-2 (costs): debit 1.01 is not credit 1.00"));
}

TEST(StateAudit, AFolderThatIsNoStateIsRefused) {
    SimulatedDisk disk(1);
    const auto audit = audit_state(disk, "./nothing");
    ASSERT_FALSE(audit);
    EXPECT_EQ(audit.error().code, "C704");
}

}  // namespace
}  // namespace takt
