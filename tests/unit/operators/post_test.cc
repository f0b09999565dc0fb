#include <gmock/gmock.h>

#include <fstream>
#include <set>

#include "tests/unit/operators/operator_harness.h"

namespace takt::harness {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kCost = R"(
postings:
  cost:
    by: [kind, key]
    window: { tumbling: 1h }
    lateness: 2h
    quantity: sum(quantity)
    unit: '"pcs"'
    amount: sum(quantity * decimal("0.333"))
    currency: '"EUR"'
    debit: '"100"'
    credit: '"200"'
    cost_center: other
)";

TEST(Post, APaneIsPostedOnceWhenTheWatermarkReachesItsEnd) {
    OperatorHarness post(kCost);
    post.push("id=1 at=06:10 kind=make key=k quantity=3 other=C1");
    post.watermark("06:59:59.999999999");
    EXPECT_THAT(post.postings(), IsEmpty());
    post.watermark("07:00");
    post.watermark("08:00");
    post.finish();
    ASSERT_THAT(post.posted(), ElementsAre("cost make,k r1 3/1.00"));
    const Posting& posting = post.postings()[0];
    EXPECT_EQ(posting.pipeline, "test");
    EXPECT_EQ(posting.previous_key, "");
    EXPECT_EQ(*posting.window_start, instant("06:00"));
    EXPECT_EQ(*posting.window_end, instant("07:00"));
    EXPECT_EQ(format_date(posting.posting_date), "2026-03-10");
    EXPECT_EQ(posting.correlation_id, "C1");
    EXPECT_EQ(posting.unit, "pcs");
    EXPECT_EQ(posting.currency, "EUR");
    EXPECT_EQ(posting.lineage.events, 1u);
    EXPECT_EQ(posting.lineage.ids, hash128("1"));
    EXPECT_EQ(posting.key.size(), 32u);
    EXPECT_EQ(posting.payload_hash.size(), 32u);
    EXPECT_EQ(posting.config_hash, post.plan().config_hash);
}

TEST(Post, LinesBalanceAndCarryTheDifference) {
    OperatorHarness post(kCost);
    post.push("id=1 at=06:10 kind=make key=k quantity=3 other=C1");
    post.watermark("07:00");
    post.push("id=2 at=06:20 kind=make key=k quantity=-10 other=C1");
    post.finish();
    ASSERT_THAT(post.posted(), ElementsAre("cost make,k r1 3/1.00", "cost make,k r2 -10/-3.33"));
    for (const Posting& posting : post.postings()) {
        ASSERT_THAT(posting.lines, SizeIs(2));
        EXPECT_EQ(posting.lines[0].account, "100");
        EXPECT_EQ(posting.lines[0].side, Side::debit);
        EXPECT_EQ(posting.lines[1].account, "200");
        EXPECT_EQ(posting.lines[1].side, Side::credit);
        EXPECT_EQ(posting.lines[0].amount, posting.amount);
        EXPECT_EQ(posting.lines[1].amount, posting.amount);
        EXPECT_EQ(posting.lines[0].cost_center, "C1");
    }
}

TEST(Post, ALateEventPostsTheDifferenceOfRoundedTotalsAsRevision2) {
    OperatorHarness post(kCost);
    post.push("id=1 at=06:10 kind=make key=k quantity=1");  // 0.333
    post.watermark("07:00");
    post.push("id=2 at=06:20 kind=make key=k quantity=1");  // 0.666: 0.67, not 0.33 again
    post.watermark("08:00");
    post.finish();
    ASSERT_THAT(post.posted(), ElementsAre("cost make,k r1 1/0.33", "cost make,k r2 1/0.34"));
    const Posting& second = post.postings()[1];
    EXPECT_EQ(second.amount_cumulative, 67);
    EXPECT_EQ(second.quantity_cumulative, 2'000'000);
    EXPECT_EQ(second.previous_key, post.postings()[0].key);
    EXPECT_EQ(second.lineage.events, 2u) << "a revision stands for the whole pane";
}

TEST(Post, ARevisionOfNothingIsNotPosted) {
    OperatorHarness post(kCost);
    post.push("id=1 at=06:10 kind=make key=k quantity=5");
    post.push("id=2 at=06:10 kind=zero key=z quantity=5");
    post.push("id=3 at=06:20 kind=zero key=z quantity=-5");
    post.watermark("07:00");
    post.push("id=4 at=06:30 kind=make key=k quantity=2");
    post.push("id=5 at=06:30 kind=make key=k quantity=-2");
    post.watermark("07:30");
    EXPECT_THAT(post.posted(), ElementsAre("cost make,k r1 5/1.66")) << "1.665 goes to the even 1.66";
    post.push("id=6 at=06:40 kind=zero key=z quantity=1");
    post.finish();
    EXPECT_THAT(post.posted(), ElementsAre("cost make,k r1 5/1.66", "cost zero,z r1 1/0.33"))
        << "revisions count what was posted";
}

TEST(Post, AmountsAreRoundedHalfToEvenAtTheTotal) {
    const auto amount_of = [](const std::vector<std::string>& quantities) {
        OperatorHarness post("postings:\n  cost: { by: [key], window: { tumbling: 1h }, amount: sum(quantity) }\n");
        for (const std::string& quantity : quantities)
            post.push("id=" + quantity + " at=06:10 key=k quantity=" + quantity);
        post.finish();
        return post.posted().at(0);
    };
    EXPECT_EQ(amount_of({"0.125"}), "cost k r1 -/0.12");
    EXPECT_EQ(amount_of({"0.135"}), "cost k r1 -/0.14");
    EXPECT_EQ(amount_of({"0.125001"}), "cost k r1 -/0.13");
    EXPECT_EQ(amount_of({"-0.125"}), "cost k r1 -/-0.12");
    EXPECT_EQ(amount_of({"0.004", "0.0040"}), "cost k r1 -/0.01") << "each alone would be nothing";
}

TEST(Post, QuantityZeroWithAnAmountIsPosted) {
    OperatorHarness post(
        "postings:\n  cost: { by: [key], window: { tumbling: 1h }, quantity: sum(quantity), amount: sum(quantity * "
        "number) }\n");
    post.push("id=1 at=06:10 key=k quantity=2 number=3");
    post.push("id=2 at=06:10 key=k quantity=-2 number=5");
    post.finish();
    EXPECT_THAT(post.posted(), ElementsAre("cost k r1 0/-4.00"));
}

Posting only(const std::string& parts, const std::string& event) {
    OperatorHarness post(parts);
    post.push(event);
    post.finish();
    CHECK(post.postings().size() == 1);
    return post.postings()[0];
}

TEST(Post, TheIdempotencyKeyIsOfKeyWindowAndRevisionAndTheHashOfWhatIsPosted) {
    const Posting first = only(kCost, "id=1 at=06:10 kind=make key=k quantity=3");
    const Posting again = only(kCost, "id=1 at=06:10 kind=make key=k quantity=3");
    EXPECT_EQ(again.key, first.key);
    EXPECT_EQ(again.payload_hash, first.payload_hash);
    const Posting more = only(kCost, "id=9 at=06:50 kind=make key=k quantity=4");
    EXPECT_EQ(more.key, first.key);
    EXPECT_NE(more.payload_hash, first.payload_hash) << "the amount is another";

    std::set<std::string> keys = {first.key};
    keys.insert(only(kCost, "id=1 at=07:10 kind=make key=k quantity=3").key);
    keys.insert(only(kCost, "id=1 at=06:10 kind=make key=j quantity=3").key);
    keys.insert(only(kCost, "id=1 at=06:10 kind=mak key=ek quantity=3").key);
    OperatorHarness revised(kCost);
    revised.push("id=1 at=06:10 kind=make key=k quantity=3");
    revised.watermark("07:00");
    revised.push("id=2 at=06:10 kind=make key=k quantity=3");
    revised.finish();
    keys.insert(revised.postings()[1].key);
    EXPECT_THAT(keys, SizeIs(5));
}

TEST(Post, TheKeyDoesNotChangeFromVersionToVersion) {
    // The contract with sinks: a changed key would post everything again.
    EXPECT_EQ(only(kCost, "id=1 at=06:10 kind=make key=k quantity=3").key, "29ac0da048e7fa5c3e18f8347d76fef0");
}

constexpr const char* kEach =
    "postings:\n  moved: { by: [key], where: kind == \"move\", quantity: quantity, unit: other }\n";

TEST(Post, WithoutAWindowEachEventIsPosted) {
    OperatorHarness post(kEach);
    post.push("id=1 at=06:10 kind=move key=k quantity=3 other=pcs");
    post.push("id=2 at=06:10 kind=move key=k");
    post.push("id=3 at=06:10 kind=make key=k");
    post.end_epoch();
    EXPECT_THAT(post.posted(), ElementsAre("moved k r1 3/-", "moved k r1 -/-"));
    EXPECT_FALSE(post.postings()[0].window_start.has_value());
    EXPECT_THAT(post.postings()[0].lines, IsEmpty());
    EXPECT_EQ(post.outcomes(), (Outcomes{{"accepted", 2}, {"filtered.unrouted", 1}}));
}

TEST(Post, TwoEventsOfOneKeyAreTwoDocuments) {
    OperatorHarness post(kEach);
    post.push("id=1 at=06:10 kind=move key=k quantity=3");
    post.push("id=2 at=06:10 kind=move key=k quantity=3");
    post.push("at=06:10 kind=move key=k quantity=3");
    post.push("at=06:10 kind=move key=k quantity=3");
    post.finish();
    std::set<std::string> keys;
    for (const Posting& posting : post.postings()) keys.insert(posting.key);
    EXPECT_THAT(keys, SizeIs(4));

    OperatorHarness again(kEach);
    again.push("id=0 at=06:00 kind=make");
    again.push("id=1 at=06:10 kind=move key=k quantity=3");
    again.finish();
    EXPECT_EQ(again.postings()[0].key, post.postings()[0].key) << "an event's own id tells it, not its place";
}

TEST(Post, TwoPanesOfOneKeyAreTwoDocuments) {
    OperatorHarness post(R"(
steps:
  - aggregate: hourly
    by: [key, kind]
    window: { tumbling: 1h }
    lateness: 1h
    values: { total: sum(quantity) }
postings:
  each: { by: [key], quantity: total }
)");
    post.push("id=1 at=06:10 key=k kind=a quantity=1");
    post.push("id=2 at=06:10 key=k kind=b quantity=1");
    post.push("id=3 at=07:10 key=k kind=a quantity=1");
    post.watermark("07:00");
    post.push("id=4 at=06:10 key=k kind=a quantity=1");
    post.finish();
    std::set<std::string> keys;
    for (const Posting& posting : post.postings()) keys.insert(posting.key);
    EXPECT_THAT(post.postings(), SizeIs(4));
    EXPECT_THAT(keys, SizeIs(4));
}

TEST(Post, AnEventIsTooLateStrictlyAfterTheLateness) {
    OperatorHarness post(kCost);
    post.watermark("09:00");  // exactly the end of 06:00-07:00 and 2 h
    post.push("id=1 at=06:10 kind=make key=k quantity=3");
    post.watermark("09:00:00.000000001");
    EXPECT_THAT(post.posted(), ElementsAre("cost make,k r1 3/1.00"));
    post.push("id=2 at=06:10 kind=make key=k quantity=3");
    post.push("id=3 at=07:00 kind=make key=k quantity=3");
    post.finish();
    EXPECT_EQ(post.outcomes(), (Outcomes{{"accepted", 2}, {"dead_letter.TOO_LATE", 1}}));
    ASSERT_THAT(post.dead_letters(), SizeIs(1));
    EXPECT_EQ(post.dead_letters()[0].event_id, "2");
    EXPECT_EQ(post.dead_letters()[0].owner, "plant_it");
    EXPECT_THAT(post.dead_letters()[0].text, HasSubstr("2026-03-10T09:00:00Z"));
}

TEST(Post, LatenessIsJudgedByTheWatermarkAtTheEpochsStart) {
    OperatorHarness post(
        "pipeline: test\nsources: { in: { memory: {}, time: { event: at, out_of_order: 0s } } }\nsinks: { out: { "
        "memory: {} } }\n"
        "postings:\n  hourly: { by: [key], window: { tumbling: 1h }, quantity: count() }\n");
    post.push("at=09:00 key=k");
    post.push("at=06:00 key=k");  // hours behind, but within the same epoch
    post.end_epoch();
    EXPECT_EQ(post.outcomes(), (Outcomes{{"accepted", 2}}));
}

TEST(Post, TheDateOfANightShiftIsThatOfItsStart) {
    const std::string path = testing::TempDir() + "takt_post_test_shifts.csv";
    std::ofstream(path) << "plant,shift,start,end\nP1,day,06:00,22:00\nP1,night,22:00,06:00\n";
    OperatorHarness post(fmt::format(R"(
calendars:
  shifts: {{ csv: "{}", key: plant }}
postings:
  made: {{ by: [key], window: {{ shift: shifts, of: key }}, zone: '"Europe/Berlin"', quantity: count() }}
)",
                                     path));
    post.push("id=1 at=2026-03-10T21:30:00Z key=P1");  // 22:30 local
    post.push("id=2 at=2026-03-11T04:59:59Z key=P1");  // 05:59:59 local, the day after
    post.push("id=3 at=2026-03-11T05:00:00Z key=P1");  // the day shift
    post.push("id=4 at=2026-03-11T05:00:00Z key=P2");  // no such plant
    post.finish();
    ASSERT_THAT(post.posted(), ElementsAre("made P1 r1 2/-", "made P1 r1 1/-"));
    EXPECT_EQ(format_date(post.postings()[0].posting_date), "2026-03-10");
    EXPECT_EQ(*post.postings()[0].window_start, instant("21:00"));
    EXPECT_EQ(format_date(post.postings()[1].posting_date), "2026-03-11");
    EXPECT_EQ(post.outcomes().at("dead_letter.MISSING_MASTER_DATA"), 1u);
}

TEST(Post, TheTextsAreThoseOfThePanesFirstEventHoweverInputWasCut) {
    for (const bool cut : {false, true}) {
        OperatorHarness post(kCost);
        post.push("id=1 at=06:10 kind=make key=k quantity=3 other=C1");
        if (cut) post.watermark("06:00");
        post.push("id=2 at=06:05 kind=make key=k quantity=3 other=C2");
        post.finish();
        EXPECT_EQ(post.postings()[0].lines[0].cost_center, "C1");
        EXPECT_EQ(post.postings()[0].correlation_id, "C1");
    }
}

TEST(Post, APaneIsForgottenAfterItsLateness) {
    OperatorHarness post(kCost);
    for (int i = 0; i < 50; ++i) post.push(fmt::format("id={} at=06:10 kind=make key=k{} quantity=1", i, i));
    post.watermark("09:00");
    EXPECT_EQ(post.states()[0].entries, 50u);
    post.watermark("09:00:00.000000001");
    EXPECT_EQ(post.states()[0].entries, 0u);
}

TEST(Post, SeveralSourcesHaveRangesOfTheirOwn) {
    OperatorHarness post(
        "pipeline: test\nsources:\n  b: { memory: {}, id: id, time: { event: at, out_of_order: 3650d } }\n"
        "  a: { memory: {}, id: id, time: { event: at, out_of_order: 3650d } }\nsinks: { out: { memory: {} } }\n"
        "steps:\n  - filter: all\n    drop: { none: 'false' }\n"
        "postings:\n  hourly: { by: [key], window: { tumbling: 1h }, quantity: count() }\n");
    post.push("id=1 at=06:00 key=j", 0);
    post.push("id=2 at=06:00 key=k", 0);
    post.push("id=3 at=06:00 key=k", 1);
    post.push("id=4 at=06:00 key=k", 1);
    post.finish();
    const Lineage& lineage = post.postings()[1].lineage;
    ASSERT_THAT(lineage.ranges, SizeIs(2));
    EXPECT_EQ(lineage.ranges[0].source, "a");
    EXPECT_EQ(lineage.ranges[0].first_sequence, 1u);
    EXPECT_EQ(lineage.ranges[0].last_sequence, 2u);
    EXPECT_EQ(lineage.ranges[1].source, "b");
    EXPECT_EQ(lineage.ranges[1].first_sequence, 2u);
    EXPECT_EQ(lineage.ranges[1].last_sequence, 2u);
    EXPECT_EQ(lineage.events, 3u);
}

}  // namespace
}  // namespace takt::harness
