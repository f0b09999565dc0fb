#include <gmock/gmock.h>

#include "tests/unit/operators/operator_harness.h"

namespace takt::harness {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr const char* kOnce = R"(
steps:
  - dedup: once
    by: id
    same: [kind, at, quantity]
    horizon: 1h
)";

TEST(Dedup, ARetryIsADuplicateAndTheSameIdWithOtherContentAConflict) {
    OperatorHarness dedup(kOnce + post_rows("id"));
    dedup.push("id=a at=06:00 kind=make quantity=1.5");
    dedup.push("id=a at=2026-03-10T07:00:00+01:00 kind=make quantity=1.500 key=other");  // the same by value
    dedup.push("id=a at=06:00 kind=make quantity=1.6");
    dedup.finish();
    EXPECT_EQ(dedup.outcomes(), (Outcomes{{"accepted", 1}, {"duplicate", 1}, {"dead_letter.ID_CONFLICT", 1}}));
    EXPECT_THAT(dedup.posted(), SizeIs(1));
    EXPECT_EQ(dedup.dead_letters()[0].owner, "plant_it");
    EXPECT_EQ(dedup.dead_letters()[0].step, "once");
}

TEST(Dedup, AConflictLeavesWhatIsRememberedAsItWas) {
    OperatorHarness dedup(kOnce + post_rows("id"));
    dedup.push("id=a at=06:00 quantity=1");
    dedup.push("id=a at=06:30 quantity=2");  // neither its content nor its time is taken
    dedup.push("id=a at=06:30 quantity=2");
    dedup.push("id=a at=06:00 quantity=1");
    dedup.watermark("07:00:00.000000001");  // a minute past 06:00 + 1h would not do if 06:30 were remembered
    EXPECT_EQ(dedup.outcomes(), (Outcomes{{"accepted", 1}, {"dead_letter.ID_CONFLICT", 2}, {"duplicate", 1}}));
    dedup.push("id=a at=06:30 quantity=2");
    dedup.finish();
    EXPECT_EQ(dedup.outcomes().at("accepted"), 2u) << "forgotten with the time that it was accepted with";
}

TEST(Dedup, TheHorizonEndsToTheNanosecond) {
    OperatorHarness dedup(kOnce + post_rows("id"));
    dedup.push("id=old at=06:00");
    dedup.watermark("07:00");
    dedup.push("id=b at=06:00");               // exactly at watermark - horizon: still in
    dedup.push("id=c at=05:59:59.999999999");  // a nanosecond older
    dedup.push("id=old at=06:00");             // still remembered
    dedup.watermark("07:00:00.000000001");
    EXPECT_EQ(dedup.outcomes(), (Outcomes{{"accepted", 2}, {"dead_letter.BEYOND_DEDUP_HORIZON", 1}, {"duplicate", 1}}));
    dedup.push("id=old at=06:00:00.000000001");  // forgotten, and itself within the horizon
    dedup.finish();
    EXPECT_EQ(dedup.outcomes(), (Outcomes{{"accepted", 3}, {"dead_letter.BEYOND_DEDUP_HORIZON", 1}, {"duplicate", 1}}));
}

TEST(Dedup, ADeadLetterOfALaterStepIsNotRemembered) {
    OperatorHarness dedup(std::string(kOnce) + R"(
  - require: complete
    rules: { NO_KEY: { that: has(key) } }
)" + post_rows("id"));
    dedup.push("id=a at=06:00");
    dedup.push("id=a at=06:00 key=k");  // the corrected delivery gets through
    dedup.push("id=a at=06:00");        // known by now: a duplicate, although it would fail again
    dedup.finish();
    EXPECT_EQ(dedup.outcomes(), (Outcomes{{"dead_letter.NO_KEY", 1}, {"accepted", 1}, {"duplicate", 1}}));
}

TEST(Dedup, TheFirstStepThatClaimsAnEventDecides) {
    OperatorHarness dedup(R"(
steps:
  - filter: policy
    drop: { test: key == "T" }
  - dedup: once
    by: id
    same: [quantity]
    horizon: 1h
  - require: positive
    rules: { NEGATIVE: { that: quantity >= decimal("0") } }
)" + post_rows("id"));
    dedup.push("id=a at=06:00 quantity=1");
    dedup.push("id=a at=06:00 quantity=2 key=T");  // filtered before it could be a conflict
    dedup.push("id=a at=06:00 quantity=-1");       // a conflict before it could be negative
    dedup.watermark("09:00");
    dedup.push("id=b at=06:00 quantity=-1");  // beyond the horizon before it could be negative
    dedup.finish();
    EXPECT_EQ(dedup.outcomes(), (Outcomes{{"accepted", 1},
                                          {"filtered.test", 1},
                                          {"dead_letter.ID_CONFLICT", 1},
                                          {"dead_letter.BEYOND_DEDUP_HORIZON", 1}}));
    for (const DeadLetter& letter : dedup.dead_letters()) {
        EXPECT_EQ(letter.text.find("NEGATIVE"), std::string::npos)
            << "the text explains the outcome that holds: " << letter.text;
    }
}

TEST(Dedup, WhatIsTooLateIsNotRememberedButARetryOfWhatIsKnownIsADuplicate) {
    OperatorHarness dedup(R"(
steps:
  - dedup: once
    by: id
    horizon: 24h
postings:
  hourly: { by: [kind], window: { tumbling: 1h }, quantity: count() }
)");
    dedup.push("id=a at=06:10 kind=k");
    dedup.watermark("08:00");
    dedup.push("id=a at=06:10 kind=k");
    dedup.push("id=b at=06:10 kind=k");
    dedup.push("id=b at=08:10 kind=k");
    dedup.finish();
    EXPECT_EQ(dedup.outcomes(), (Outcomes{{"accepted", 2}, {"duplicate", 1}, {"dead_letter.TOO_LATE", 1}}));
}

TEST(Dedup, AnIdOfSeveralColumnsIsTheirCombination) {
    OperatorHarness dedup("steps:\n  - dedup: once\n    by: [kind, key]\n    horizon: 1h\n" + post_rows("id"));
    dedup.push("id=1 at=06:00 kind=a key=bc");
    dedup.push("id=2 at=06:00 kind=ab key=c");  // no mere concatenation
    dedup.push("id=3 at=06:00 kind=a key=bc");
    dedup.finish();
    EXPECT_EQ(dedup.outcomes(), (Outcomes{{"accepted", 2}, {"duplicate", 1}}));
    EXPECT_THAT(dedup.posted(), testing::UnorderedElementsAre("row 1 r1 1/-", "row 2 r1 1/-"));
}

TEST(Dedup, BeyondMaxIdsFreshEventsAreDeadLettersAndKnownOnesStillDuplicates) {
    OperatorHarness dedup("steps:\n  - dedup: once\n    by: id\n    horizon: 1h\n    max_ids: 2\n" + post_rows("id"));
    for (const char* id : {"a", "b", "c", "a"}) dedup.push(fmt::format("id={} at=06:00", id));
    dedup.finish();
    EXPECT_EQ(dedup.outcomes(), (Outcomes{{"accepted", 2}, {"dead_letter.LIMIT", 1}, {"duplicate", 1}}));
}

}  // namespace
}  // namespace takt::harness
