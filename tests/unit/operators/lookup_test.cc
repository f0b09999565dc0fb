#include <gmock/gmock.h>

#include "tests/unit/operators/operator_harness.h"

namespace takt::harness {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr const char* kTables = R"(
tables:
  prices:
    key: item
    valid_from: valid_from
    columns: { price: decimal(2), plant: string }
    rows:
      - [a, "2026-03-10T06:00:00Z", "1.00", P1]
      - [a, "2026-03-10T07:00:00Z", "2.00", P2]
  units:
    key: [item, unit]
    or: { item: "*" }
    columns: { factor: int }
    rows:
      - [a, box, 12]
      - ["*", box, 10]
      - ["*", min, 60]
)";

TEST(Lookup, FindsTheRowThatHoldsAsOfTheEventsTime) {
    OperatorHarness lookup(std::string(kTables) + "steps:\n  - lookup: priced\n    with: { found: 'prices[key]' }\n" +
                           post_rows("id, found.price"));
    lookup.push("id=1 at=06:00 key=a");  // the instant itself belongs to the row
    lookup.push("id=2 at=06:59:59.999999999 key=a");
    lookup.push("id=3 at=07:00 key=a");
    lookup.push("id=4 at=05:59:59.999999999 key=a");  // before the first
    lookup.finish();
    EXPECT_THAT(lookup.posted(), ElementsAre("row 1,1 r1 1/-", "row 2,1 r1 1/-", "row 3,2 r1 1/-"));
    EXPECT_EQ(lookup.outcomes(), (Outcomes{{"accepted", 3}, {"dead_letter.MISSING_MASTER_DATA", 1}}));
}

TEST(Lookup, TheDeadLetterNamesTableKeyAndTime) {
    OperatorHarness lookup(std::string(kTables) +
                           "steps:\n  - lookup: priced\n    with: { unit: 'units[key, other]' }\n" +
                           post_rows("id, unit.factor"));
    lookup.push("id=1 at=06:00 key=a other=pallet");
    lookup.finish();
    ASSERT_THAT(lookup.dead_letters(), SizeIs(1));
    const DeadLetter& letter = lookup.dead_letters()[0];
    EXPECT_EQ(letter.text, "table 'units' has no row for [a, pallet] at 2026-03-10T06:00:00Z");
    EXPECT_EQ(letter.reason, "MISSING_MASTER_DATA");
    EXPECT_EQ(letter.owner, "master_data");
    EXPECT_EQ(letter.step, "priced");
}

TEST(Lookup, ReasonAndOwnerOfWhatIsMissingAreOptions) {
    OperatorHarness lookup(std::string(kTables) +
                           "steps:\n  - lookup: priced\n    with: { found: 'prices[key]' }\n    missing: { reason: "
                           "NO_PRICE, owner: sales }\n" +
                           post_rows("id, found.price"));
    lookup.push("id=1 at=06:00 key=b");
    lookup.finish();
    ASSERT_THAT(lookup.dead_letters(), SizeIs(1));
    EXPECT_EQ(lookup.dead_letters()[0].reason, "NO_PRICE");
    EXPECT_EQ(lookup.dead_letters()[0].owner, "sales");
}

TEST(Lookup, TheFallbackCountsOnlyWhereNoRowOfTheExactKeyHolds) {
    OperatorHarness lookup(std::string(kTables) +
                           "steps:\n  - lookup: found\n    with: { unit: 'units[key, other]' }\n" +
                           post_rows("id, unit.factor"));
    lookup.push("id=1 at=06:00 key=a other=box");
    lookup.push("id=2 at=06:01 key=b other=box");
    lookup.push("id=3 at=06:02 key=a other=min");
    lookup.finish();
    EXPECT_THAT(lookup.posted(), ElementsAre("row 1,12 r1 1/-", "row 2,10 r1 1/-", "row 3,60 r1 1/-"));
}

TEST(Lookup, WhenLeavesOtherRowsWithoutARow) {
    OperatorHarness lookup(std::string(kTables) + R"(
steps:
  - lookup: found
    with:
      unit: { in: 'units[key, other]', when: other != "piece" }
  - project: factored
    set: { factor: 'has(unit.factor) ? unit.factor : 1' }
)" + post_rows("id, factor"));
    lookup.push("id=1 at=06:00 key=a other=piece");
    lookup.push("id=2 at=06:01 key=a other=box");
    lookup.push("id=3 at=06:02 key=a other=piece");
    lookup.push("id=4 at=06:03 key=a other=unknown");
    lookup.finish();
    EXPECT_THAT(lookup.posted(), ElementsAre("row 1,1 r1 1/-", "row 2,12 r1 1/-", "row 3,1 r1 1/-"));
    EXPECT_EQ(lookup.outcomes().at("dead_letter.MISSING_MASTER_DATA"), 1u);
}

TEST(Lookup, ARowThatIsNotWhatIsMeantCountsAsMissing) {
    OperatorHarness lookup(std::string(kTables) + R"(
steps:
  - lookup: found
    with:
      price: { in: 'prices[key]', that: price.plant == other }
)" + post_rows("id, price.price"));
    lookup.push("id=1 at=06:30 key=a other=P1");
    lookup.push("id=2 at=07:30 key=a other=P1");  // the row of 07:00 is P2's; the older one is no way out
    lookup.finish();
    EXPECT_THAT(lookup.posted(), ElementsAre("row 1,1 r1 1/-"));
    ASSERT_THAT(lookup.dead_letters(), SizeIs(1));
    EXPECT_THAT(lookup.dead_letters()[0].text, AllOf(HasSubstr("'prices'"), HasSubstr("[a]")));
}

TEST(Lookup, WhatAnotherBranchRefusesIsStillLookedUp) {
    OperatorHarness lookup(std::string(kTables) + R"(
steps:
  - filter: one_branch
    from: in
    drop: { all: 'true' }
  - lookup: other_branch
    from: in
    with:
      price: { in: 'prices[key]', that: price.plant == "P1" }
postings:
  never: { from: one_branch, by: [id], quantity: decimal("1") }
  row: { from: other_branch, by: [id, price.price], quantity: decimal("1") }
)");
    lookup.push("id=1 at=06:30 key=a");
    lookup.finish();
    EXPECT_THAT(lookup.posted(), ElementsAre("row 1,1 r1 1/-"));
    EXPECT_EQ(lookup.outcomes(), (Outcomes{{"accepted", 1}}));
}

TEST(Lookup, AKeyMayBeAnExpressionAndARowMayUseTheOneBefore) {
    OperatorHarness lookup(std::string(kTables) + R"(
steps:
  - lookup: found
    with:
      price: 'prices["" + key]'
      unit: 'units[price.plant == "P1" ? "a" : "b", other]'
)" + post_rows("id, unit.factor"));
    lookup.push("id=1 at=06:30 key=a other=box");
    lookup.push("id=2 at=07:30 key=a other=box");
    lookup.finish();
    EXPECT_THAT(lookup.posted(), ElementsAre("row 1,12 r1 1/-", "row 2,10 r1 1/-"));
}

TEST(Lookup, MistakesStandAtTheirOwnColumn) {
    const auto with = [](const std::string& reference) {
        return mistakes_of(around(std::string(kTables) + "steps:\n  - lookup: found\n    with: { row: '" + reference +
                                  "' }\n" + post_rows("id, row.price")));
    };
    EXPECT_THAT(with("price[key]"),
                AllOf(HasSubstr("error C177: no table 'price'"), HasSubstr("did you mean 'prices'?")));
    EXPECT_THAT(with("prices"), HasSubstr("error C176"));
    EXPECT_THAT(with("prices[key, kind]"),
                HasSubstr("error C178: the key of table 'prices' is [item], not one of 2 parts"));
    EXPECT_THAT(with("prices[number]"), AllOf(HasSubstr("test.yaml:23:26: error C179"), HasSubstr("this is a int")));
    EXPECT_THAT(with("prices[kez]"), AllOf(HasSubstr("test.yaml:23:26: error C20"), HasSubstr("did you mean 'key'?")));
}

}  // namespace
}  // namespace takt::harness
