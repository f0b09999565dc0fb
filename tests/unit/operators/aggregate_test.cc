#include <gmock/gmock.h>

#include "tests/unit/operators/operator_harness.h"

namespace takt::harness {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string aggregate(const std::string& values, const std::string& more = "window: { tumbling: 1h }",
                      const std::string& by = "key") {
    return "steps:\n  - aggregate: pane\n    by: [" + by + "]\n    " + more + "\n    values: { " + values + " }\n";
}

TEST(Aggregate, EachFunctionOverTheRowsOfAPane) {
    OperatorHarness pane(aggregate("rows: count(), total: sum(quantity), whole: sum(number), low: min(number), high: "
                                   "max(number), mean: avg(number), "
                                   "oldest: first(kind), newest: last(kind), kinds: distinct(kind)") +
                         post_rows("rows, total, whole, low, high, mean, oldest, newest, kinds"));
    pane.push("id=1 at=06:30 key=k kind=middle quantity=0.1 number=-5");
    pane.push("id=2 at=06:59:59.999999999 key=k kind=end quantity=0.2 number=7");
    pane.push("id=3 at=06:00 key=k kind=start quantity=0.7 number=2");
    pane.push("id=4 at=06:20 key=k kind=middle");  // no numbers: counted, and nothing else
    pane.finish();
    EXPECT_THAT(pane.posted(), ElementsAre("row 4,1,4,-5,7,1.333333,start,end,3 r1 1/-"));
}

TEST(Aggregate, WhatHasNoValueIsAbsent) {
    OperatorHarness pane(aggregate("low: min(number), mean: avg(number), power: time_avg(number), total: sum(number)") +
                         R"(
  - project: told
    set: { told: '(has(low) ? "low " : "") + (has(mean) ? "mean " : "") + (has(power) ? "power " : "") + (has(total) ? "total" : "")' }
)" + post_rows("told"));
    pane.push("id=1 at=06:30 key=k");
    pane.finish();
    EXPECT_THAT(pane.posted(), ElementsAre("row total r1 1/-"));
}

TEST(Aggregate, PanesAreByKeyAndWindowAndTheEndIsExclusive) {
    OperatorHarness pane(aggregate("rows: count()") + post_rows("key, window_start, window_end, revision, rows"));
    pane.push("id=1 at=06:00 key=k");
    pane.push("id=2 at=06:59:59.999999999 key=k");
    pane.push("id=3 at=07:00 key=k");
    pane.push("id=4 at=06:30 key=j");
    pane.finish();
    EXPECT_THAT(pane.posted(), ElementsAre("row j,2026-03-10T06:00:00Z,2026-03-10T07:00:00Z,1,1 r1 1/-",
                                           "row k,2026-03-10T06:00:00Z,2026-03-10T07:00:00Z,1,2 r1 1/-",
                                           "row k,2026-03-10T07:00:00Z,2026-03-10T08:00:00Z,1,1 r1 1/-"));
}

TEST(Aggregate, HoppingWindowsCountAnEventInEachOfThem) {
    OperatorHarness pane(aggregate("rows: count(), ids: distinct(id)", "window: { hopping: 30m, every: 10m }") +
                         post_rows("window_start, rows, ids"));
    pane.push("id=1 at=06:05 key=k");
    pane.push("id=2 at=06:10 key=k");
    pane.finish();
    EXPECT_THAT(pane.posted(),
                ElementsAre("row 2026-03-10T05:40:00Z,1,1 r1 1/-", "row 2026-03-10T05:50:00Z,2,2 r1 1/-",
                            "row 2026-03-10T06:00:00Z,2,2 r1 1/-", "row 2026-03-10T06:10:00Z,1,1 r1 1/-"));
    EXPECT_EQ(pane.outcomes(), (Outcomes{{"accepted", 2}}));
}

TEST(Aggregate, ALateEventOfHoppingWindowsCountsOnlyWhereItIsInTime) {
    OperatorHarness pane(aggregate("rows: count()", "window: { hopping: 30m, every: 10m }") +
                         post_rows("window_start, rows"));
    pane.watermark("06:25");
    pane.push("id=1 at=06:05 key=k");  // 05:40-06:10 and 05:50-06:20 are over, 06:00-06:30 is not
    pane.push("id=2 at=05:54 key=k");  // all are over
    pane.finish();
    EXPECT_THAT(pane.posted(), ElementsAre("row 2026-03-10T06:00:00Z,1 r1 1/-"));
    EXPECT_EQ(pane.outcomes(), (Outcomes{{"accepted", 1}, {"dead_letter.TOO_LATE", 1}}));
}

TEST(Aggregate, ALateEventEmitsTheDifferenceAndTheNewExtremes) {
    OperatorHarness pane(aggregate("rows: count(), total: sum(quantity), high: max(number), newest: last(at)",
                                   "window: { tumbling: 1h }\n    lateness: 2h") +
                         post_rows("revision, rows, total, high, newest"));
    pane.push("id=1 at=06:30 key=k quantity=10 number=7");
    pane.watermark("07:00");
    pane.push("id=2 at=06:10 key=k quantity=-2.5 number=3");
    pane.push("id=3 at=06:40 key=k quantity=1 number=9");
    pane.watermark("07:30");
    pane.watermark("07:31");  // nothing changed
    pane.finish();
    EXPECT_THAT(pane.posted(),
                ElementsAre("row 1,1,10,7,2026-03-10T06:30:00Z r1 1/-", "row 2,2,-1.5,9,2026-03-10T06:40:00Z r1 1/-"));
}

TEST(Aggregate, CumulativeRevisionsTellTheWholeValueAgain) {
    OperatorHarness pane(aggregate("rows: count(), total: sum(quantity)",
                                   "window: { tumbling: 1h }\n    lateness: 2h\n    emit: cumulative") +
                         R"(
postings:
  daily: { by: [key], window: { tumbling: 24h }, lateness: 1d, quantity: last(total), amount: last(rows) }
)");
    pane.push("id=1 at=06:30 key=k quantity=10");
    pane.watermark("07:00");
    pane.push("id=2 at=06:10 key=k quantity=-2.5");
    pane.finish();
    EXPECT_THAT(pane.posted(), ElementsAre("daily k r1 7.5/2.00"));
}

TEST(Aggregate, CumulativeRevisionsAreNotSummedUpAgain) {
    const std::string cumulative =
        aggregate("total: sum(quantity)", "window: { tumbling: 1h }\n    lateness: 2h\n    emit: cumulative");
    EXPECT_THAT(
        mistakes_of(around(cumulative +
                           "postings:\n  daily: { by: [key], window: { tumbling: 24h }, quantity: sum(total) }\n")),
        HasSubstr("error C164"));
    EXPECT_THAT(mistakes_of(around(cumulative + "postings:\n  each: { by: [key], quantity: total }\n")),
                HasSubstr("error C164"));
    EXPECT_THAT(
        mistakes_of(around(
            cumulative +
            "  - aggregate: again\n    by: [key]\n    window: { tumbling: 24h }\n    values: { all: sum(total) }\n" +
            post_rows("all"))),
        HasSubstr("error C174"));
}

TEST(Aggregate, TheIntegralOfExactSamplesIsExactInAnyOrder) {
    // 10 for 10 s rising to 13, then to 3 within half a second: (10+13)/2*10 + (13+3)/2*0.5 = 119.
    const std::vector<std::string> samples = {"id=1 at=06:00 key=k number=10", "id=2 at=06:00:10 key=k number=13",
                                              "id=3 at=06:00:10.5 key=k number=3"};
    std::vector<std::size_t> order = {0, 1, 2};
    do {
        OperatorHarness pane(aggregate("area: integral(number), mean: time_avg(number)") + post_rows("area, mean"));
        for (const std::size_t i : order) pane.push(samples[i]);
        pane.finish();
        EXPECT_THAT(pane.posted(), ElementsAre("row 119,11.333333 r1 1/-"));  // 119 / 10.5
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Aggregate, TheIntegralKeepsHalfAUnitOfANanosecond) {
    OperatorHarness pane(aggregate("area: integral(number)") + post_rows("area"));
    pane.push("id=1 at=06:00 key=k number=0");
    pane.push("id=2 at=06:00:00.000000001 key=k number=1");
    pane.finish();
    EXPECT_THAT(pane.posted(), ElementsAre("row 0.0000000005 r1 1/-"));
}

TEST(Aggregate, OneSampleHasNoAreaAndItsOwnMean) {
    OperatorHarness pane(aggregate("area: integral(number), mean: time_avg(number)") + post_rows("area, mean"));
    pane.push("id=1 at=06:00 key=k number=5");
    pane.finish();
    EXPECT_THAT(pane.posted(), ElementsAre("row 0,5 r1 1/-"));
}

TEST(Aggregate, ALateSampleMovesTheIntegralByTheDifference) {
    OperatorHarness pane(aggregate("area: integral(number)", "window: { tumbling: 1h }\n    lateness: 1h") +
                         post_rows("revision, area"));
    pane.push("id=1 at=06:00 key=k number=0");
    pane.push("id=2 at=06:00:10 key=k number=0");
    pane.watermark("07:00");
    pane.push("id=3 at=06:00:05 key=k number=4");  // a peak between them: 4 * 10 / 2
    pane.finish();
    EXPECT_THAT(pane.posted(), ElementsAre("row 1,0 r1 1/-", "row 2,20 r1 1/-"));
}

TEST(Aggregate, ValuesInDoubleHaveDoubleResults) {
    OperatorHarness pane(
        aggregate(
            "total: sum(value), mean: avg(value), low: min(value), area: integral(value), power: time_avg(value)") +
        R"(
  - project: told
    set: { told: 'string(total) + " " + string(mean) + " " + string(low) + " " + string(area) + " " + string(power)' }
)" + post_rows("told"));
    pane.push("id=1 at=06:00 key=k value=1.5");
    pane.push("id=2 at=06:00:02 key=k value=2.5");
    pane.finish();
    EXPECT_THAT(pane.posted(), ElementsAre("row 4 2 1.5 4 2 r1 1/-"));
}

TEST(Aggregate, LineageOfAPostingOverDeltasCountsEachEventOnce) {
    OperatorHarness pane(
        aggregate("total: sum(quantity)", "window: { tumbling: 1h }\n    lateness: 2h") +
        "postings:\n  daily: { by: [key], window: { tumbling: 24h }, lateness: 1d, quantity: sum(total) }\n");
    pane.push("id=1 at=06:30 key=k quantity=1");
    pane.push("id=2 at=06:31 key=k quantity=1");
    pane.push("id=x at=06:31 key=j quantity=1");
    pane.watermark("07:00");
    pane.push("id=3 at=06:10 key=k quantity=1");
    pane.finish();
    ASSERT_THAT(pane.postings(), SizeIs(2));
    const Lineage& lineage = pane.postings()[1].lineage;
    EXPECT_EQ(lineage.events, 3u);
    Hash128 ids = hash128("1");
    ids += hash128("2");
    ids += hash128("3");
    EXPECT_EQ(lineage.ids, ids);
    ASSERT_THAT(lineage.ranges, SizeIs(1));
    EXPECT_EQ(lineage.ranges[0].source, "in");
    EXPECT_EQ(lineage.ranges[0].first_sequence, 1u);
    EXPECT_EQ(lineage.ranges[0].last_sequence, 4u);
}

constexpr const char* kSession = "window: { session: 30m }";

TEST(Aggregate, EventsLessThanTheGapApartAreOneSession) {
    OperatorHarness pane(aggregate("rows: count()", kSession) + post_rows("key, window_start, window_end, rows"));
    pane.push("id=1 at=06:00 key=k");
    pane.push("id=2 at=06:29:59.999999999 key=k");
    pane.push("id=3 at=06:59:59.999999999 key=k");  // exactly the gap: another session
    pane.push("id=4 at=06:10 key=j");
    pane.finish();
    EXPECT_THAT(pane.posted(),
                ElementsAre("row j,2026-03-10T06:10:00Z,2026-03-10T06:40:00Z,1 r1 1/-",
                            "row k,2026-03-10T06:00:00Z,2026-03-10T06:59:59.999999999Z,2 r1 1/-",
                            "row k,2026-03-10T06:59:59.999999999Z,2026-03-10T07:29:59.999999999Z,1 r1 1/-"));
}

TEST(Aggregate, AnEventBetweenTwoSessionsMakesThemOneWhateverTheOrder) {
    std::vector<std::string> events = {
        "id=1 at=06:00 key=k number=5 quantity=1 kind=a", "id=2 at=06:20 key=k number=1 quantity=2 kind=b",
        "id=3 at=06:40 key=k number=3 quantity=4 kind=a", "id=4 at=07:05 key=k number=2 quantity=8 kind=c"};
    std::vector<std::size_t> order = {0, 1, 2, 3};
    do {
        OperatorHarness pane(
            aggregate("rows: count(), total: sum(quantity), mean: avg(number), low: min(number), high: max(number), "
                      "oldest: first(kind), newest: last(kind), "
                      "kinds: distinct(kind), area: integral(number)",
                      kSession) +
            post_rows("window_start, window_end, rows, total, mean, low, high, oldest, newest, kinds, area"));
        for (const std::size_t i : order) pane.push(events[i]);
        pane.finish();
        // (5+1)/2*1200 + (1+3)/2*1200 + (3+2)/2*1500
        EXPECT_THAT(pane.posted(),
                    ElementsAre("row 2026-03-10T06:00:00Z,2026-03-10T07:35:00Z,4,15,2.75,1,5,a,c,3,9750 r1 1/-"));
        ASSERT_THAT(pane.postings(), SizeIs(1));
        EXPECT_EQ(pane.postings()[0].lineage.events, 4u);
        EXPECT_EQ(pane.postings()[0].lineage.ranges.at(0).last_sequence, 4u);
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Aggregate, ALateEventThatJoinsToldSessionsEmitsTheDifferenceToBoth) {
    OperatorHarness pane(
        aggregate("rows: count(), total: sum(quantity)", std::string(kSession) + "\n    lateness: 2h") +
        post_rows("window_start, revision, rows, total"));
    pane.push("id=1 at=06:00 key=k quantity=1");
    pane.push("id=2 at=06:50 key=k quantity=2");
    pane.watermark("07:30");
    EXPECT_THAT(pane.posted(), SizeIs(2));
    pane.push("id=3 at=06:25 key=k quantity=4");
    pane.watermark("07:31");
    EXPECT_THAT(pane.posted(), testing::Contains("row 2026-03-10T06:00:00Z,2,1,4 r1 1/-"));
    pane.push("id=4 at=07:10 key=k quantity=8");  // it goes on until 07:40
    pane.watermark("07:39");
    EXPECT_THAT(pane.posted(), SizeIs(3));
    pane.watermark("07:40");
    EXPECT_THAT(pane.posted(), testing::Contains("row 2026-03-10T06:00:00Z,3,1,8 r1 1/-"));
    EXPECT_THAT(pane.posted(), SizeIs(4));
    std::uint64_t events = 0;
    for (const Posting& posting : pane.postings()) events += posting.lineage.events;
    EXPECT_EQ(events, 4u);
    pane.watermark("09:40:00.000000001");
    EXPECT_EQ(pane.states()[0].entries, 0u);
}

TEST(Aggregate, LocalDaysFollowTheZoneThroughSummerTime) {
    OperatorHarness pane(aggregate("rows: count()", "window: { day: local }\n    zone: '\"Europe/Berlin\"'") +
                         post_rows("window_start, window_end, rows"));
    pane.push("id=1 at=2026-03-28T23:00:00Z key=k");  // midnight of the 29th, which has 23 hours
    pane.push("id=2 at=2026-03-29T21:59:59.999999999Z key=k");
    pane.push("id=3 at=2026-03-29T22:00:00Z key=k");
    pane.finish();
    EXPECT_THAT(pane.posted(), ElementsAre("row 2026-03-28T23:00:00Z,2026-03-29T22:00:00Z,2 r1 1/-",
                                           "row 2026-03-29T22:00:00Z,2026-03-30T22:00:00Z,1 r1 1/-"));
}

TEST(Aggregate, AnUnknownZoneIsADeadLetter) {
    OperatorHarness pane(aggregate("rows: count()", "window: { day: local }\n    zone: other\n    owner: erp_team") +
                         post_rows("rows"));
    pane.push("id=1 at=06:00 key=k other=Mars/Olympus");
    pane.finish();
    ASSERT_THAT(pane.dead_letters(), SizeIs(1));
    EXPECT_EQ(pane.dead_letters()[0].reason, "MISSING_MASTER_DATA");
    EXPECT_EQ(pane.dead_letters()[0].owner, "erp_team");
    EXPECT_EQ(pane.dead_letters()[0].text, "unknown time zone");
    EXPECT_THAT(pane.posted(), IsEmpty());
}

TEST(Aggregate, OffsetMovesTheWindows) {
    OperatorHarness pane(aggregate("rows: count()", "window: { tumbling: 1h, offset: 15m }") +
                         post_rows("window_start, rows"));
    pane.push("id=1 at=06:14:59.999999999 key=k");
    pane.push("id=2 at=06:15 key=k");
    pane.finish();
    EXPECT_THAT(pane.posted(), ElementsAre("row 2026-03-10T05:15:00Z,1 r1 1/-", "row 2026-03-10T06:15:00Z,1 r1 1/-"));
}

TEST(Aggregate, PanesOfPanesKeepTheirTime) {
    OperatorHarness pane(aggregate("total: sum(quantity)") + R"(
  - aggregate: daily
    by: [key]
    window: { tumbling: 24h }
    values: { total: sum(total), hours: count() }
)" + post_rows("window_start, total, hours"));
    pane.push("id=1 at=06:30 key=k quantity=1");
    pane.push("id=2 at=2026-03-10T23:30:00Z key=k quantity=2");  // its pane ends where the day ends
    pane.push("id=3 at=2026-03-11T00:00:00Z key=k quantity=4");
    pane.finish();
    EXPECT_THAT(pane.posted(),
                ElementsAre("row 2026-03-10T00:00:00Z,3,2 r1 1/-", "row 2026-03-11T00:00:00Z,4,1 r1 1/-"));
}

TEST(Aggregate, TakenNamesAreMistakes) {
    EXPECT_THAT(mistakes_of(around(aggregate("key: count()") + post_rows("key"))),
                HasSubstr("error C172: 'key' is a column of each pane already"));
    EXPECT_THAT(mistakes_of(around(aggregate("revision: count()") + post_rows("key"))),
                HasSubstr("error C172: 'revision'"));
    EXPECT_THAT(
        mistakes_of(around(aggregate("rows: count()", "window: { tumbling: 1h }", "key, key") + post_rows("key"))),
        HasSubstr("error C172: 'key'"));
    EXPECT_THAT(
        mistakes_of(around(
            aggregate("rows: count()") +
            "  - aggregate: again\n    by: [window_start]\n    window: { tumbling: 1d }\n    values: { n: count() }\n" +
            post_rows("n"))),
        HasSubstr("error C172: 'window_start'"));
}

TEST(Aggregate, AFunctionOrArgumentThatIsNotThereIsAMistakeAtItsColumn) {
    EXPECT_THAT(mistakes_of(around(aggregate("total: summ(quantity)") + post_rows("key"))),
                testing::AllOf(HasSubstr("test.yaml:8:22: error C151"), HasSubstr("did you mean 'sum'?")));
    EXPECT_THAT(mistakes_of(around(aggregate("total: sum(kind)") + post_rows("key"))),
                HasSubstr("test.yaml:8:26: error C153: sum does not take a string"));
    EXPECT_THAT(mistakes_of(around(aggregate("total: count(kind)") + post_rows("key"))), HasSubstr("error C152"));
    EXPECT_THAT(mistakes_of(around(aggregate("total: quantity") + post_rows("key"))), HasSubstr("error C150"));
}

TEST(Aggregate, ABatchThatOpensAPaneWithSeveralRowsOpensItOnce) {
    OperatorHarness pane(aggregate("rows: count(), kinds: distinct(kind), oldest: first(kind)") +
                         post_rows("rows, kinds, oldest"));
    for (int i = 0; i < 100; ++i) pane.push(fmt::format("id={} at=06:{:02} key=k kind=k{}", i, i % 60, i % 7));
    pane.finish();
    EXPECT_THAT(pane.posted(), ElementsAre("row 100,7,k0 r1 1/-"));
}

}  // namespace
}  // namespace takt::harness
