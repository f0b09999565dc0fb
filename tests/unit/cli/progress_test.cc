#include "cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace takt {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

EngineStatus plant() {
    EngineStatus status;
    status.pipeline = "plant";
    status.phase = EngineStatus::Phase::running;
    status.now = 192 * kSecond;
    status.events = 1'000'000;
    status.messages = 10'000;
    status.message_bytes = 250'000'000;
    status.outcomes = {{"accepted", "", "", 241'000},         {"duplicate", "", "", 10'000},
                       {"filtered", "test_order", "", 1'000}, {"filtered", "telemetry", "", 747'000},
                       {"dead_letter", "DECODE", "", 997},    {"dead_letter", "MISSING_MASTER_DATA", "master_data", 3}};
    status.postings = {{"goods_issue", "EUR", 2901, 200, 1'234'567, 2},
                       {"goods_issue", "CHF", 10, 0, -500, 2},
                       {"lot_status", "", 7, 0, 0, 0}};
    SinkStatus ledger;
    ledger.name = "ledger";
    ledger.description = "sqlite ledger.db";
    ledger.accepted = 2900;
    ledger.waiting = 18;
    ledger.waiting_since = 190 * kSecond;
    status.sinks = {ledger};
    return status;
}

TEST(Progress, TheLiveViewShowsRatesOutcomesByFrequencyAndABalancedAudit) {
    EngineStatus before;
    before.now = 191 * kSecond;
    before.events = 880'000;
    const auto lines = render_live(plant(), before, 0, 200);
    ASSERT_EQ(lines.size(), 6u);
    EXPECT_THAT(lines[0], HasSubstr("running 3 m 12 s"));
    EXPECT_THAT(lines[1], HasSubstr("120 000 ev/s"));
    EXPECT_THAT(lines[1], HasSubstr("filtered 74.8 % (telemetry 74.7, test_order 0.1)"));
    EXPECT_THAT(lines[2], HasSubstr("(DECODE 997, MISSING_MASTER_DATA 3 → master_data)"));
    EXPECT_THAT(lines[3], HasSubstr("2 918 (revisions 200)   goods_issue 2 911   lot_status 7"));
    EXPECT_THAT(lines[4], HasSubstr("2 900 accepted, 18 waiting (oldest 2.0 s)"));
    EXPECT_THAT(
        lines[5],
        HasSubstr("in 1 000 000 = accepted 241 000 + duplicate 10 000 + filtered 748 000 + dead 1 000   balanced"));
}

TEST(Progress, ALineIsNeverWiderThanTheTerminal) {
    // Arrows and dots are several bytes each; a line may not end inside of one.
    for (std::size_t width = 1; width < 160; ++width) {
        for (const std::string& line : render_live(plant(), {}, 0, width)) {
            std::size_t characters = 0;
            for (const char c : line) characters += (c & 0xC0) != 0x80 ? 1 : 0;
            EXPECT_LE(characters, width);
            if (!line.empty() && (line.back() & 0x80) != 0) {
                EXPECT_THAT(line, ::testing::AnyOf(::testing::EndsWith("→"), ::testing::EndsWith("…")));
            }
        }
    }
}

TEST(Progress, TheSummaryAddsUpOutcomesAndTotalsEachCurrencyApart) {
    const std::string summary = render_summary(plant());
    EXPECT_THAT(summary, HasSubstr("equal to the 1 000 000 events that came in"));
    EXPECT_THAT(summary, HasSubstr("12345.67 EUR"));
    EXPECT_THAT(summary, HasSubstr("-5.00 CHF"));
    EXPECT_THAT(summary, HasSubstr("5 208 ev/s"));
}

TEST(Progress, WhatDoesNotAddUpIsSaidAloud) {
    EngineStatus status = plant();
    status.events += 1;
    EXPECT_THAT(render_summary(status), HasSubstr("NOT EQUAL to the 1 000 001 events"));
    EXPECT_THAT(render_live(status, {}, 0, 200).back(), HasSubstr("NOT BALANCED"));
}

TEST(Progress, ALiveTableIsShownWhileSomethingIsWrongWithIt) {
    EngineStatus status = plant();
    TableStatus& table = status.tables.emplace_back();
    table.name = "prices";
    table.description = "bucket MASTER";
    table.state = TableStatus::State::current;
    table.rows = 1'200;
    table.revision = 77;
    EXPECT_EQ(render_live(status, {}, 0, 200).size(), 6u);
    EXPECT_THAT(render_plain(status, {}), Not(HasSubstr("prices")));
    EXPECT_THAT(render_summary(status), HasSubstr("  prices      1 200 rows, revision 77 (bucket MASTER)\n"));
    table.state = TableStatus::State::stale;
    table.refused = 2;
    table.last_refusal = "D406: no row";
    table.last_error = "E520: no connection";
    const std::string says = "stale, 2 refused, the last one: D406: no row; E520: no connection";
    ASSERT_EQ(render_live(status, {}, 0, 200).size(), 7u);
    EXPECT_THAT(render_live(status, {}, 0, 200)[4], HasSubstr("prices    " + says));
    EXPECT_THAT(render_plain(status, {}), HasSubstr("; prices: " + says));
    EXPECT_THAT(render_summary(status), HasSubstr("revision 77; " + says));
}

TEST(Progress, GroupsDigitsByThousands) {
    EXPECT_EQ(group_digits(0), "0");
    EXPECT_EQ(group_digits(999), "999");
    EXPECT_EQ(group_digits(1'000), "1 000");
    EXPECT_EQ(group_digits(12'345'678), "12 345 678");
}

}  // namespace
}  // namespace takt
