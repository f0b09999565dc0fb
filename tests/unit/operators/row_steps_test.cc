#include <gmock/gmock.h>

#include "tests/unit/operators/operator_harness.h"

namespace takt::harness {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(Filter, TheFirstRuleThatFitsCountsTheRow) {
    OperatorHarness filter(R"(
steps:
  - filter: policy
    drop:
      telemetry: kind == "reading"
      small: number < 10
)" + post_rows("id"));
    filter.push("id=a at=06:00 kind=reading number=1");  // fits both
    filter.push("id=b at=06:00 kind=make number=9");
    filter.push("id=c at=06:00 kind=make number=10");
    filter.finish();
    EXPECT_EQ(filter.outcomes(), (Outcomes{{"filtered.telemetry", 1}, {"filtered.small", 1}, {"accepted", 1}}));
    EXPECT_THAT(filter.posted(), ElementsAre("row c r1 1/-"));
    EXPECT_THAT(filter.dead_letters(), IsEmpty());
}

TEST(Filter, KeepRulesComeAfterDropRulesAndCountWhatDoesNotFit) {
    OperatorHarness filter(R"(
steps:
  - filter: policy
    keep:
      only_made: kind == "make"
    drop:
      test: key == "T"
)" + post_rows("id"));
    filter.push("id=a at=06:00 kind=move key=T");
    filter.push("id=b at=06:00 kind=move key=K");
    filter.push("id=c at=06:00 kind=make key=K");
    filter.finish();
    EXPECT_EQ(filter.outcomes(), (Outcomes{{"filtered.test", 1}, {"filtered.only_made", 1}, {"accepted", 1}}));
}

TEST(Filter, AnAbsentFieldReadsAsItsDefault) {
    OperatorHarness filter("steps:\n  - filter: policy\n    drop: { zero: quantity == decimal(\"0\") }\n" +
                           post_rows("id"));
    filter.push("id=a at=06:00");
    filter.push("id=b at=06:00 quantity=0.000001");
    filter.finish();
    EXPECT_EQ(filter.outcomes(), (Outcomes{{"filtered.zero", 1}, {"accepted", 1}}));
}

TEST(Filter, ARowWhoseExpressionFailsIsADeadLetterOfItsStep) {
    OperatorHarness filter("steps:\n  - filter: policy\n    drop: { odd: 10 / number == 1 }\n" + post_rows("id"));
    filter.push("id=a at=06:00 number=0");
    filter.push("id=b at=06:00 number=5");
    filter.finish();
    EXPECT_EQ(filter.outcomes(), (Outcomes{{"dead_letter.EXPRESSION", 1}, {"accepted", 1}}));
    ASSERT_THAT(filter.dead_letters(), SizeIs(1));
    EXPECT_EQ(filter.dead_letters()[0].step, "policy");
    EXPECT_EQ(filter.dead_letters()[0].event_id, "a");
    EXPECT_FALSE(filter.dead_letters()[0].text.empty());
}

TEST(Require, TheFirstRuleThatIsBrokenNamesReasonAndOwner) {
    OperatorHarness require(R"(
steps:
  - require: complete
    rules:
      NO_KEY: { that: has(key), owner: erp_team }
      NEGATIVE: { that: quantity >= decimal("0") }
)" + post_rows("id"));
    require.push("id=a at=06:00 quantity=-1 other=PO-1");  // breaks both
    require.push("id=b at=06:00 key=k quantity=-1");
    require.push("id=c at=06:00 key=k");
    require.finish();
    EXPECT_EQ(require.outcomes(), (Outcomes{{"dead_letter.NO_KEY", 1}, {"dead_letter.NEGATIVE", 1}, {"accepted", 1}}));
    ASSERT_THAT(require.dead_letters(), SizeIs(2));
    const DeadLetter& first = require.dead_letters()[0];
    EXPECT_EQ(first.owner, "erp_team");
    EXPECT_EQ(first.step, "complete");
    EXPECT_EQ(first.event_id, "a");
    EXPECT_EQ(first.correlation_id, "PO-1");
    EXPECT_EQ(first.bytes, "id=a at=06:00 quantity=-1 other=PO-1");
    EXPECT_EQ(require.dead_letters()[1].owner, "plant_it") << "the default";
}

TEST(Project, LaterColumnsUseEarlierOnes) {
    OperatorHarness project(R"(
steps:
  - project: computed
    set:
      double_number: number * 2
      text: 'double_number > 5 ? "many" : "few"'
)" + post_rows("double_number, text"));
    project.push("id=a at=06:00 number=2");
    project.push("id=b at=06:01 number=3");
    project.finish();
    EXPECT_THAT(project.posted(), ElementsAre("row 4,few r1 1/-", "row 6,many r1 1/-"));
}

TEST(Project, ATakenNameIsAMistake) {
    EXPECT_THAT(mistakes_of(around("steps:\n  - project: computed\n    set: { kind: number + 1 }\n" + post_rows("id"))),
                AllOf(HasSubstr("test.yaml:6:12: error C172: 'kind' is a column already"),
                      HasSubstr("    6 |     set: { kind: number + 1 }")));
}

TEST(Project, KeepHidesAllOtherColumnsFromLaterSteps) {
    const std::string mistakes =
        mistakes_of(around("steps:\n  - project: narrow\n    keep: [id, kind]\n" + post_rows("id, key")));
    EXPECT_THAT(mistakes, HasSubstr("error C132: no column 'key' here"));
    OperatorHarness project("steps:\n  - project: narrow\n    keep: [id, kind]\n" + post_rows("id, kind"));
    project.push("id=a at=06:00 kind=make");
    project.finish();
    EXPECT_THAT(project.posted(), ElementsAre("row a,make r1 1/-"));
}

constexpr const char* kWays = R"(
steps:
  - route: ways
    to:
      big: number > 10
      even: number % 2 == 0
postings:
  big: { from: ways.big, by: [id], quantity: decimal("1") }
  even: { from: ways.even, by: [id], quantity: decimal("1") }
)";

TEST(Route, ARowTakesTheFirstWayThatFitsAndIsCountedWhenNoneDoes) {
    OperatorHarness route(kWays);
    route.push("id=a at=06:00 number=12");  // fits both
    route.push("id=b at=06:01 number=4");
    route.push("id=c at=06:02 number=5");
    route.finish();
    EXPECT_THAT(route.posted(), ElementsAre("big a r1 1/-", "even b r1 1/-"));
    EXPECT_EQ(route.outcomes(), (Outcomes{{"accepted", 2}, {"filtered.unrouted", 1}}));
}

TEST(Route, OtherwiseTakesWhatFitsNoWay) {
    OperatorHarness route(R"(
steps:
  - route: ways
    to: { big: number > 10 }
    otherwise: small
postings:
  big: { from: ways.big, by: [id], quantity: decimal("1") }
  small: { from: ways.small, by: [id], quantity: decimal("1") }
)");
    route.push("id=a at=06:00 number=12");
    route.push("id=b at=06:01 number=4");
    route.finish();
    EXPECT_THAT(route.posted(), ElementsAre("big a r1 1/-", "small b r1 1/-"));
}

TEST(Union, ARowThatCameBothWaysIsThereOnceAndOrderIsKept) {
    OperatorHarness joined(R"(
steps:
  - filter: low
    from: in
    drop: { high: number > 5 }
  - filter: odd
    from: in
    drop: { even: number % 2 == 0 }
  - union: both
    from: [odd, low]
  - aggregate: order
    by: [kind]
    window: { tumbling: 1h }
    values: { first_id: first(id), rows: count() }
)" + post_rows("first_id, rows"));
    joined.push("id=a at=06:00 kind=k number=2");
    joined.push("id=b at=06:00 kind=k number=3");
    joined.push("id=c at=06:00 kind=k number=8");
    joined.push("id=d at=06:00 kind=k number=7");
    joined.finish();
    EXPECT_THAT(joined.posted(), ElementsAre("row a,3 r1 1/-"));
    // What one branch dropped and the other took is accepted; what both dropped has the first one's rule.
    EXPECT_EQ(joined.outcomes(), (Outcomes{{"accepted", 3}, {"filtered.high", 1}}));
}

TEST(Union, OnlyColumnsThatAllInputsHaveAreLeft) {
    const std::string mistakes = mistakes_of(around(R"(
steps:
  - project: one
    from: in
    set: { extra: number + 1 }
  - project: two
    from: in
    set: { extra: number + 2 }
  - union: both
    from: [one, two]
)" + post_rows("id, extra")));
    EXPECT_THAT(mistakes, HasSubstr("error C132: no column 'extra' here"));
}

TEST(Clock, FutureAndAncientEventsAreQuarantinedAndDoNotMoveTheWatermark) {
    OperatorHarness clock(R"(pipeline: test
sources:
  in: { memory: {}, id: id, time: { event: at, out_of_order: 0s, future: 10m, not_before: "2000-01-01T00:00:00Z" } }
sinks: { out: { memory: {} } }
postings:
  hourly: { by: [kind], window: { tumbling: 1h }, quantity: count() }
)");
    clock.push("id=a at=12:10 kind=k");  // recorded at 12:00: exactly the limit
    clock.push("id=b at=12:10:00.000000001 kind=k");
    clock.push("id=c at=1999-12-31T23:59:59.999999999Z kind=k");
    clock.push("id=d kind=k");  // no time at all
    clock.end_epoch();
    EXPECT_EQ(clock.outcomes(),
              (Outcomes{{"accepted", 1}, {"dead_letter.FUTURE_TIME", 1}, {"dead_letter.CLOCK_INVALID", 2}}));
    clock.push("id=e at=11:59 kind=k");  // the watermark is 12:10
    clock.end_epoch();
    EXPECT_EQ(clock.outcomes().at("dead_letter.TOO_LATE"), 1u);
}

}  // namespace
}  // namespace takt::harness
