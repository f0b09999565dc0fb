#include <gmock/gmock.h>

#include <random>

#include "tests/unit/operators/operator_harness.h"

namespace takt::harness {
namespace {

/// Every operator of the catalog in one pipeline or another; a test checks that none is left out.
const std::map<std::string, std::string>& pipelines() {
    static const std::map<std::string, std::string> all = {{"rows", R"(
tables:
  units: { key: [item, unit], or: { item: "*" }, columns: { factor: int }, rows: [[k1, box, 12], ["*", box, 10], ["*", pcs, 1]] }
steps:
  - filter: policy
    drop: { telemetry: kind == "reading", zero: number == 0 && kind != "move" }
  - dedup: once
    by: id
    same: [kind, quantity]
    horizon: 2h
  - require: complete
    rules: { NO_KEY: { that: has(key) }, ODD: { that: 12 / number != 5 } }
  - lookup: unit
    with: { unit: 'units[key, other]' }
  - route: ways
    to: { make: kind == "make", move: kind == "move" }
  - project: made
    from: ways.make
    set: { base: quantity * unit.factor }
  - project: moved
    from: ways.move
    set: { base: -quantity * unit.factor }
  - union: both
    from: [made, moved]
postings:
  made: { from: made, by: [key], window: { tumbling: 1h }, lateness: 1h, quantity: sum(base), amount: sum(base * decimal("0.35")), currency: '"EUR"', debit: '"1"', credit: '"2"' }
  each: { from: both, where: number > 7, by: [id], quantity: quantity }
)"},
                                                           {"panes", R"(
steps:
  - dedup: once
    by: [id, key]
    horizon: 3h
  - filter: in_time
    drop: { never: flag }
  - aggregate: signal
    by: [key, kind]
    window: { tumbling: 30m }
    lateness: 30m
    values: { area: integral(quantity), mean: time_avg(number), rows: count(), low: min(quantity), newest: last(other), kinds: distinct(other) }
  - aggregate: sliding
    by: [key]
    window: { hopping: 2h, every: 30m }
    lateness: 2h
    values: { area: sum(area), rows: sum(rows), low: min(low) }
  - aggregate: visits
    from: in_time
    by: [key]
    window: { session: 7m }
    lateness: 1h
    values: { total: sum(quantity), rows: count(), oldest: first(other) }
postings:
  visit: { from: visits, by: [key, oldest], quantity: total }
  energy: { from: signal, by: [key], window: { day: local }, zone: '"Europe/Berlin"', lateness: 1d, quantity: sum(area), quantity_digits: 10, amount: sum(rows) }
  each: { from: sliding, by: [key, window_start, revision, low], quantity: area, quantity_digits: 12 }
)"}};
    return all;
}

/// Events with retries, conflicts, late ones, and what no decoder can read.
std::vector<std::string> random_events(std::uint32_t seed, std::size_t count) {
    std::mt19937 random(seed);
    const auto below = [&](std::uint32_t bound) { return static_cast<std::uint32_t>(random() % bound); };
    static const char* const kinds[] = {"make", "move", "reading", "make"};
    static const char* const units[] = {"box", "pcs", "pallet", "box"};
    std::vector<std::string> events;
    for (std::size_t i = 0; i < count; ++i) {
        if (below(50) == 0) {
            events.emplace_back("no event at all");
            continue;
        }
        if (!events.empty() && below(8) == 0) {
            events.push_back(events[events.size() - 1 -
                                    below(static_cast<std::uint32_t>(std::min<std::size_t>(events.size(), 40)))]);
            continue;
        }
        const auto minute = static_cast<std::int64_t>(i * 600 / count) - (below(10) == 0 ? below(400) : below(10));
        const Timestamp at = instant("06:00") + minute * kMinute + below(1000) * kMillisecond;
        const std::uint32_t id = below(15) == 0 ? below(100) : static_cast<std::uint32_t>(i);
        std::string event =
            fmt::format("id=e{} at={} kind={} number={} quantity={}.{:03} other={}", id, format_timestamp(at),
                        kinds[below(4)], below(13), static_cast<int>(below(20)) - 5, below(1000), units[below(4)]);
        if (below(20) != 0) event += fmt::format(" key=k{}", below(9));
        events.push_back(std::move(event));
    }
    return events;
}

struct Answer {
    std::vector<std::string> postings;
    Outcomes outcomes;
    Outcomes pane_outcomes;
    std::vector<std::string> dead_letters;
    std::uint64_t pushed = 0;
    bool operator==(const Answer&) const = default;
};

std::uint64_t sum(const Outcomes& outcomes) {
    std::uint64_t total = 0;
    for (const auto& [name, count] : outcomes) total += count;
    return total;
}

/// Epochs end after every 137 events, whatever the batches: where input is cut into epochs is part of the question.
Answer run(const std::string& pipeline, const std::vector<std::string>& events, const HarnessOptions& options) {
    OperatorHarness harness(pipeline, options);
    Timestamp watermark = instant("05:00");
    for (std::size_t i = 0; i < events.size(); ++i) {
        harness.push(events[i]);
        if (i % 137 == 136) harness.watermark(watermark += 17 * kMinute);
    }
    harness.finish();
    Answer answer{harness.posted(), harness.outcomes(), harness.pane_outcomes(), {}, harness.pushed()};
    for (std::size_t i = 0; i < answer.postings.size(); ++i) {
        const Posting& posting = harness.postings()[i];
        answer.postings[i] += fmt::format(" {} {} {} {} {}", posting.key, posting.payload_hash, posting.lineage.events,
                                          to_hex(posting.lineage.ids), posting.lineage.ranges.at(0).last_sequence);
    }
    for (const DeadLetter& letter : harness.dead_letters()) {
        answer.dead_letters.push_back(
            fmt::format("{} {} {} {} {}", letter.source, letter.sequence, letter.reason, letter.event_id, letter.text));
    }
    return answer;
}

class Contract : public testing::TestWithParam<std::uint32_t> {};

TEST_P(Contract, BatchCutsAndLanesNeverChangeTheAnswerAndEveryRowIsCountedOnce) {
    std::mt19937 random(GetParam());
    const std::vector<std::string> events = random_events(GetParam(), 3000);
    for (const auto& [name, pipeline] : pipelines()) {
        const Answer expected = run(pipeline, events, {});
        EXPECT_EQ(sum(expected.outcomes), expected.pushed) << name;
        EXPECT_GT(expected.postings.size(), 20u) << name;
        for (const std::uint32_t lanes : {1u, 2u, 3u}) {
            const auto chunk = static_cast<std::uint32_t>(1 + random() % 200);
            const Answer answer = run(pipeline, events, {lanes, chunk});
            EXPECT_EQ(answer.outcomes, expected.outcomes) << name << ", lanes " << lanes << ", chunks of " << chunk;
            EXPECT_EQ(answer.pane_outcomes, expected.pane_outcomes)
                << name << ", lanes " << lanes << ", chunks of " << chunk;
            EXPECT_EQ(answer.postings, expected.postings) << name << ", lanes " << lanes << ", chunks of " << chunk;
            EXPECT_EQ(answer.dead_letters, expected.dead_letters)
                << name << ", lanes " << lanes << ", chunks of " << chunk;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Contract, testing::Range(1u, 9u));

TEST(ContractPipelines, HaveEveryOperator) {
    for (const OperatorType* type : operator_catalog()) {
        const std::string head = type->name() == "post" ? "postings:" : fmt::format("- {}: ", type->name());
        const bool found = std::any_of(pipelines().begin(), pipelines().end(),
                                       [&](const auto& one) { return one.second.find(head) != std::string::npos; });
        EXPECT_TRUE(found) << type->name();
    }
}

}  // namespace
}  // namespace takt::harness
