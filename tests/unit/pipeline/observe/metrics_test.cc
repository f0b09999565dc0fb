#include "pipeline/observe/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

namespace takt {
namespace {

using testing::HasSubstr;
using testing::Not;

EngineStatus busy() {
    EngineStatus status;
    status.pipeline = "plant_to_ledger";
    status.messages = 10;
    status.events = 12;
    status.outcomes = {
        {"accepted", "", "", 9}, {"dead_letter", "DECODE", "plant_it", 2}, {"filtered", "a \"quoted\" rule", "", 1}};
    status.postings = {{"scrap", "EUR", 3, 1}, {"scrap", "PLN", 2, 0}};
    status.epoch = 17;
    status.watermark = 1'500 * kMillisecond;
    status.lag = 250 * kMillisecond;
    status.epoch_durations.add(30 * kMillisecond);
    status.epoch_durations.add(50 * kMillisecond);
    status.epoch_durations.add(kMinute);
    status.sources = {{.name = "floor", .description = {}, .pending = 5, .last_error = {}}};
    status.sinks = {
        {.name = "ledger", .description = {}, .accepted = 4, .refused = 1, .last_refusal = {}, .last_error = {}}};
    status.states = {{"once", 100, 2400}};
    status.now = kHour;
    TableStatus& table = status.tables.emplace_back();
    table.name = "prices";
    table.state = TableStatus::State::stale;
    table.since = kHour - 90 * kSecond;
    table.rows = 12;
    table.revision = 345;
    table.changes = 20;
    table.refused = 3;
    return status;
}

TEST(Metrics, CountEveryOutcomeByRule) {
    const std::string text = metrics_text(busy());
    EXPECT_THAT(
        text, HasSubstr("takt_events_total{pipeline=\"plant_to_ledger\",outcome=\"dead_letter\",rule=\"DECODE\"} 2\n"));
    EXPECT_THAT(text, HasSubstr("rule=\"a \\\"quoted\\\" rule\"} 1\n"));
}

TEST(Metrics, SumPostingsOverCurrencies) {
    const std::string text = metrics_text(busy());
    EXPECT_THAT(text, HasSubstr("takt_postings_total{type=\"scrap\"} 5\n"));
    EXPECT_THAT(text, HasSubstr("takt_posting_revisions_total{type=\"scrap\"} 1\n"));
}

TEST(Metrics, ShowTheAudit) {
    EngineStatus status = busy();
    status.equations = {{"value", true}, {"double entry", false}};
    status.values = {{"costs", "amount", "EUR", 3, 12505, 5, -250}};
    status.sources[0].holes = {{"deleted", 7}};
    const std::string text = metrics_text(status);
    EXPECT_THAT(text, HasSubstr("takt_audit_balances{equation=\"value\"} 1\n"));
    EXPECT_THAT(text, HasSubstr("takt_audit_balances{equation=\"double entry\"} 0\n"));
    EXPECT_THAT(text, HasSubstr("takt_value_told{step=\"costs\",measure=\"amount\",unit=\"EUR\"} 12.505\n"));
    EXPECT_THAT(text, HasSubstr("takt_value_open{step=\"costs\",measure=\"amount\",unit=\"EUR\"} -0.25\n"));
    EXPECT_THAT(text, HasSubstr("takt_value_rounding{step=\"costs\",measure=\"amount\",unit=\"EUR\"} 0.005\n"));
    EXPECT_THAT(text, HasSubstr("takt_source_holes_total{source=\"floor\",kind=\"deleted\"} 7\n"));
    EXPECT_THAT(metrics_text(busy()), Not(HasSubstr("takt_audit_balances")));
}

TEST(Metrics, GiveTimesInSeconds) {
    const std::string text = metrics_text(busy());
    EXPECT_THAT(text, HasSubstr("takt_watermark_seconds 1.5\n"));
    EXPECT_THAT(text, HasSubstr("takt_lag_seconds 0.25\n"));
}

TEST(Metrics, LeaveOutAWatermarkThatIsNoTime) {
    EngineStatus status = busy();
    status.watermark = kBeginningOfTime;
    EXPECT_THAT(metrics_text(status), Not(HasSubstr("takt_watermark_seconds")));
}

TEST(Metrics, PutEpochDurationsIntoCumulativeBuckets) {
    const std::string text = metrics_text(busy());
    EXPECT_THAT(text, HasSubstr("takt_epoch_duration_seconds_bucket{le=\"0.025\"} 0\n"));
    EXPECT_THAT(text, HasSubstr("takt_epoch_duration_seconds_bucket{le=\"0.05\"} 2\n"));
    EXPECT_THAT(text, HasSubstr("takt_epoch_duration_seconds_bucket{le=\"+Inf\"} 3\n"));
    EXPECT_THAT(text, HasSubstr("takt_epoch_duration_seconds_count 3\n"));
}

TEST(Metrics, ShowSourcesSinksAndState) {
    const std::string text = metrics_text(busy());
    EXPECT_THAT(text, HasSubstr("takt_source_pending{source=\"floor\"} 5\n"));
    EXPECT_THAT(text, HasSubstr("takt_sink_deliveries_total{sink=\"ledger\",state=\"refused\"} 1\n"));
    EXPECT_THAT(text, HasSubstr("takt_state_bytes{step=\"once\"} 2400\n"));
}

TEST(Metrics, ShowLiveTables) {
    EngineStatus status = busy();
    const std::string text = metrics_text(status);
    EXPECT_THAT(text, HasSubstr("takt_table_rows{table=\"prices\"} 12\n"));
    EXPECT_THAT(text, HasSubstr("takt_table_revision{table=\"prices\"} 345\n"));
    EXPECT_THAT(text, HasSubstr("takt_table_changes_total{table=\"prices\"} 20\n"));
    EXPECT_THAT(text, HasSubstr("takt_table_refused_total{table=\"prices\"} 3\n"));
    EXPECT_THAT(text, HasSubstr("takt_table_stale_seconds{table=\"prices\"} 90\n"));
    status.tables[0].state = TableStatus::State::current;
    EXPECT_THAT(metrics_text(status), HasSubstr("takt_table_stale_seconds{table=\"prices\"} 0\n"));
}

TEST(Metrics, AreAcceptedByPromtool) {
    if (std::system("command -v promtool >/dev/null 2>&1") != 0) GTEST_SKIP() << "promtool is not installed";
    for (const EngineStatus& status : {busy(), EngineStatus{}}) {
        FILE* promtool = popen("promtool check metrics 2>&1", "w");
        ASSERT_NE(promtool, nullptr);
        const std::string text = metrics_text(status);
        std::fwrite(text.data(), 1, text.size(), promtool);
        EXPECT_EQ(pclose(promtool), 0) << text;
    }
}

}  // namespace
}  // namespace takt
