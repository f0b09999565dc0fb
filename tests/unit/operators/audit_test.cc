// Equation 3 on the real engine: what rows bring is what panes post, still hold, or round away. That every epoch of
// every other test balances, the harness asserts.
#include <gmock/gmock.h>

#include "tests/unit/operators/operator_harness.h"

namespace takt {
namespace {

using harness::OperatorHarness;

const char* const kHourly = R"(
postings:
  cost:
    by: [key]
    window: { tumbling: 1h }
    lateness: 2h
    quantity: sum(quantity)
    unit: other
    amount: sum(quantity * decimal("0.125"))
    amount_digits: 2
    currency: '"EUR"'
)";

TEST(Audit, WhatRowsBringIsOpenThenPostedOrRoundedAway) {
    OperatorHarness audit(kHourly);
    audit.push("id=a at=06:10 key=x other=pcs quantity=1.5");
    audit.push("id=b at=06:20 key=y other=pcs quantity=1");
    audit.end_epoch();
    EXPECT_EQ(audit.value("cost", "quantity"), "2.5 pcs = 0 + 2.5, 0");
    EXPECT_EQ(audit.value("cost", "amount"), "0.3125 EUR = 0 + 0.3125, 0");
    (void)audit.save();
    audit.watermark("07:00");
    // 0.1875 is posted as 0.19, 0.125 as 0.12.
    EXPECT_EQ(audit.value("cost", "quantity"), "2.5 pcs = 2.5 + 0, 0");
    EXPECT_EQ(audit.value("cost", "amount"), "0.3125 EUR = 0.3125 + 0, 0.0025");
    audit.push("id=c at=06:30 key=x other=pcs quantity=0.01");
    audit.end_epoch();
    // A revision of the quantity; the amount stays 0.19.
    EXPECT_EQ(audit.value("cost", "amount"), "0.31375 EUR = 0.31375 + 0, 0.00375");
    (void)audit.save();
    EXPECT_EQ(audit.audit().postings.size(), 1u);
    EXPECT_EQ(audit.audit().postings[0].count, 3u);
    EXPECT_EQ(audit.audit().received.count, 3u);
}

TEST(Audit, UnitsAreBookedApart) {
    OperatorHarness audit(kHourly);
    for (const char* event : {"id=a at=06:10 key=x other=pcs quantity=1", "id=b at=06:10 key=y other=kg quantity=2",
                              "id=c at=06:10 key=z other=pcs quantity=4"})
        audit.push(event);
    audit.watermark("07:00");
    EXPECT_EQ(audit.value("cost", "quantity"), "2 kg = 2 + 0, 0; 5 pcs = 5 + 0, 0");
    ASSERT_EQ(audit.audit().postings.size(), 2u);
    EXPECT_EQ(audit.audit().postings[1].unit, "pcs");
    EXPECT_EQ(audit.audit().postings[1].count, 2u);
}

TEST(Audit, ARowCountsOnceForEachOfItsWindows) {
    OperatorHarness audit(R"(
postings:
  load: { by: [key], window: { hopping: 1h, every: 20m }, quantity: sum(quantity) }
)");
    audit.push("id=a at=06:10 key=x quantity=1.5");
    audit.end_epoch();
    EXPECT_EQ(audit.value("load", "quantity"), "4.5 = 0 + 4.5, 0");
    (void)audit.save();
    audit.watermark("06:20");
    EXPECT_EQ(audit.value("load", "quantity"), "4.5 = 1.5 + 3, 0");
    (void)audit.save();
    audit.finish();
    EXPECT_EQ(audit.value("load", "quantity"), "4.5 = 4.5 + 0, 0");
}

TEST(Audit, SingleEventsRoundToo) {
    OperatorHarness audit(R"(
postings:
  each: { by: [key], amount: quantity, amount_digits: 1, currency: other }
)");
    audit.push("id=a at=06:10 key=x other=EUR quantity=1.25");
    audit.push("id=b at=06:10 key=x other=USD quantity=1.11");
    audit.push("id=c at=06:10 key=x other=EUR");
    audit.end_epoch();
    EXPECT_EQ(audit.value("each", "amount"), "1.25 EUR = 1.25 + 0, 0.05; 1.11 USD = 1.11 + 0, 0.01");
}

const char* const kTwoSteps = R"(
steps:
  - aggregate: shifts
    by: [key]
    window: { tumbling: 1h }
    lateness: 2h
    values: { made: sum(quantity), rows: count(), most: max(quantity) }
postings:
  day: { from: shifts, by: [key], window: { tumbling: 24h }, lateness: 2h, quantity: sum(made) }
)";

TEST(Audit, PanesOfAnAggregateBringToTheNextStepWhatTheyWereBrought) {
    OperatorHarness audit(kTwoSteps);
    audit.push("id=a at=06:10 key=x quantity=1");
    audit.push("id=b at=07:10 key=x quantity=2");
    audit.watermark("07:00");
    EXPECT_EQ(audit.value("shifts", "made"), "3 = 1 + 2, 0");
    EXPECT_EQ(audit.value("shifts", "rows"), "2 = 1 + 1, 0");
    EXPECT_EQ(audit.value("shifts", "most"), "") << "a maximum does not add up";
    EXPECT_EQ(audit.value("day", "quantity"), "1 = 0 + 1, 0");
    audit.push("id=c at=06:20 key=x quantity=4");
    audit.watermark("08:00");
    EXPECT_EQ(audit.value("shifts", "made"), "7 = 7 + 0, 0");
    EXPECT_EQ(audit.value("day", "quantity"), "7 = 0 + 7, 0");
    (void)audit.save();
    audit.finish();
    EXPECT_EQ(audit.value("day", "quantity"), "7 = 7 + 0, 0");
}

TEST(Audit, SessionsThatRunTogetherHoldWhatBothWereBrought) {
    OperatorHarness audit(R"(
steps:
  - aggregate: runs
    by: [key]
    window: { session: 10m }
    lateness: 2h
    values: { made: sum(quantity) }
postings:
  run: { from: runs, by: [key], quantity: made }
)");
    audit.push("id=a at=06:00 key=x quantity=1");
    audit.push("id=b at=06:15 key=x quantity=2");
    audit.watermark("06:12");
    EXPECT_EQ(audit.value("runs", "made"), "3 = 1 + 2, 0");
    audit.push("id=c at=06:08 key=x quantity=4");
    audit.end_epoch();
    EXPECT_EQ(audit.value("runs", "made"), "7 = 1 + 6, 0");
    (void)audit.save();
    audit.finish();
    EXPECT_EQ(audit.value("runs", "made"), "7 = 7 + 0, 0");
}

TEST(Audit, GoesOnInAnotherLife) {
    for (const char* const parts : {kHourly, kTwoSteps}) {
        OperatorHarness whole(parts);
        OperatorHarness first(parts, {.lanes = 3});
        const auto morning = [](OperatorHarness& audit) {
            audit.push("id=a at=06:10 key=x other=pcs quantity=1.5");
            audit.push("id=b at=06:10 key=y other=kg quantity=0.111");
            audit.watermark("07:00");
            audit.push("id=c at=06:40 key=y other=kg quantity=0.123456");
            audit.push("id=d at=07:40 key=y other=kg quantity=7");
            audit.end_epoch();
        };
        const auto noon = [](OperatorHarness& audit) {
            audit.push("id=e at=06:50 key=x other=pcs quantity=0.000001");
            audit.finish();
        };
        morning(whole);
        noon(whole);
        morning(first);
        OperatorHarness second(parts, {.lanes = 2});
        ASSERT_TRUE(second.load(first.save()).ok());
        EXPECT_EQ(second.save().audit, first.audit());
        noon(second);
        EXPECT_EQ(second.audit(), whole.audit());
    }
}

TEST(Audit, EventsAreAMultisetByOutcome) {
    const std::string parts = R"(
steps:
  - filter: kept
    drop: { noise: kind == "noise" }
  - dedup: once
    by: id
    horizon: 48h
postings:
  each: { by: [key], quantity: quantity }
)";
    OperatorHarness audit(parts);
    for (const char* event :
         {"id=a at=06:10 key=x quantity=1", "id=n at=06:10 kind=noise", "id=a at=06:10 key=x quantity=1", "x"})
        audit.push(event);
    audit.end_epoch();
    const AuditTotals& totals = audit.audit();
    EXPECT_EQ(totals.received.count, 4u);
    EventSum expected;
    for (std::uint64_t sequence = 1; sequence <= 4; ++sequence)
        expected.add(event_hash(source_seed("in"), sequence, 0));
    EXPECT_EQ(totals.received, expected);
    const auto only = [](std::uint64_t sequence) {
        EventSum sum;
        sum.add(event_hash(source_seed("in"), sequence, 0));
        return sum;
    };
    EXPECT_EQ(totals.outcomes[kAccepted], only(1));
    EXPECT_EQ(totals.outcomes[kMalformed], only(4));
    EXPECT_THAT(totals.outcomes, testing::Contains(only(2)));
    EXPECT_THAT(totals.outcomes, testing::Contains(only(3)));
    EXPECT_EQ(totals.sources[0].received, 4u);
}

}  // namespace
}  // namespace takt
