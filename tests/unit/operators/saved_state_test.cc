// What the keyed steps save at any cut is all that the epochs after it depend on, whatever the number of lanes.
#include <gmock/gmock.h>

#include <random>

#include "tests/unit/operators/operator_harness.h"

namespace takt::harness {
namespace {

constexpr int kEpochs = 40;

/// Every keyed step and every function that keeps something beside its block.
const char* const kPipeline = R"(
steps:
  - dedup: once
    by: [id]
    same: [kind, quantity]
    horizon: 2h
  - aggregate: hours
    from: once
    by: [key, kind]
    window: { hopping: 1h, every: 30m }
    lateness: 20m
    values:
      rows: count()
      total: sum(quantity)
      mean: avg(quantity)
      least: min(number)
      first_other: first(other)
      last_value: last(value)
      others: distinct(other)
      area: integral(quantity)
      level: time_avg(value)
  - aggregate: visits
    from: once
    by: [key]
    window: { session: 10m }
    lateness: 15m
    values: { total: sum(quantity), last_kind: last(kind), others: distinct(kind) }
postings:
  made:
    from: once
    by: [key]
    window: { tumbling: 1h }
    lateness: 30m
    quantity: sum(quantity)
    unit: kind
    correlation: other
  of_hours:
    from: hours
    by: [kind]
    window: { tumbling: 2h }
    lateness: 1h
    quantity: sum(total)
  of_visits:
    from: visits
    by: [key, revision]
    quantity: total
)";

std::vector<std::vector<std::string>> make_epochs(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<std::vector<std::string>> epochs(kEpochs);
    std::vector<std::string> sent;
    for (int epoch = 0; epoch < kEpochs; ++epoch) {
        for (int i = 0; i < 30; ++i) {
            if (!sent.empty() && random() % 10 == 0) {
                epochs[epoch].push_back(sent[random() % sent.size()]);  // a retry
                continue;
            }
            const int minute = std::max<int>(0, epoch * 10 - static_cast<int>(random() % 50));
            sent.push_back(fmt::format(
                "id=e{} at={:02}:{:02}:{:02} kind=k{} key=w{} other=o{} quantity={}.{} number={} value={}.5",
                sent.size(), minute / 60, minute % 60, random() % 60, random() % 2, random() % 7, random() % 4,
                random() % 50, random() % 10, random() % 1000, random() % 90));
            epochs[epoch].push_back(sent.back());
        }
    }
    return epochs;
}

void run_epoch(OperatorHarness& harness, const std::vector<std::string>& events, int epoch) {
    for (const std::string& event : events) harness.push(event);
    const int minute = epoch * 10;
    harness.watermark(fmt::format("{:02}:{:02}", minute / 60, minute % 60));
}

/// Everything of a posting that a ledger or an auditor sees.
std::string text_of(const Posting& posting) {
    std::string text =
        fmt::format("{} {} {} {} {} {} {}", posting.epoch, posting.key, posting.payload_hash, posting.previous_key,
                    posting.correlation_id, posting.lineage.events, to_hex(posting.lineage.ids));
    for (const Lineage::Range& range : posting.lineage.ranges) {
        text += fmt::format(" {}:{}-{}", range.source, range.first_sequence, range.last_sequence);
    }
    return text;
}

std::vector<std::string> texts_after(const OperatorHarness& harness, std::uint64_t epoch) {
    std::vector<std::string> texts;
    for (const Posting& posting : harness.postings()) {
        if (posting.epoch > epoch) texts.push_back(text_of(posting));
    }
    return texts;
}

std::string bytes_of(const EngineState& state) {
    std::string bytes = fmt::format("{} {} {}", state.epoch, state.watermark, fmt::join(state.source_times, ""));
    for (const EngineState::Step& step : state.steps) {
        bytes += step.identity.step;
        for (const std::string& group : step.groups) bytes += fmt::format("{}:{}", group.size(), group);
    }
    return bytes;
}

TEST(SavedState, IsAllThatLaterEpochsDependOnWithAnyNumberOfLanes) {
    const auto epochs = make_epochs(7);
    OperatorHarness whole(kPipeline, {.lanes = 2});
    std::vector<EngineState> saved;
    for (int epoch = 0; epoch < kEpochs; ++epoch) {
        run_epoch(whole, epochs[epoch], epoch);
        saved.push_back(whole.save());
    }
    whole.finish();
    ASSERT_GT(whole.postings().size(), 400u);
    for (const int at : {0, 5, 17, 31, kEpochs - 1}) {
        OperatorHarness rest(kPipeline, {.lanes = static_cast<std::uint32_t>(1 + at % 5)});
        const Status loaded = rest.load(saved[at]);
        ASSERT_TRUE(loaded.ok()) << loaded.error().text();
        EXPECT_EQ(bytes_of(rest.save()), bytes_of(saved[at])) << "after epoch " << at;
        for (int epoch = at + 1; epoch < kEpochs; ++epoch) {
            run_epoch(rest, epochs[epoch], epoch);
            ASSERT_EQ(bytes_of(rest.save()), bytes_of(saved[epoch])) << "after " << at << " at epoch " << epoch;
        }
        rest.finish();
        EXPECT_EQ(texts_after(rest, 0), texts_after(whole, static_cast<std::uint64_t>(at + 1)));
    }
}

TEST(SavedState, OfAnotherPipelineOrDamagedIsRefused) {
    OperatorHarness whole(kPipeline);
    const auto epochs = make_epochs(3);
    for (int epoch = 0; epoch < 10; ++epoch) run_epoch(whole, epochs[epoch], epoch);
    const EngineState good = whole.save();

    OperatorHarness other("steps: [{ dedup: once, by: [id], horizon: 2h }]\n" + post_rows("id", "once"));
    EXPECT_EQ(other.load(good).error().code, "C630");

    for (std::size_t step = 0; step < good.steps.size(); ++step) {
        for (std::size_t group = 0; group < kKeyGroups; ++group) {
            const std::string& bytes = good.steps[step].groups[group];
            if (bytes.size() <= sizeof(std::uint64_t)) continue;  // only a count of 0
            EngineState cut_short = good;
            cut_short.steps[step].groups[group].resize(bytes.size() - 1);
            EXPECT_FALSE(OperatorHarness(kPipeline).load(cut_short).ok()) << good.steps[step].identity.step;
            EngineState too_long = good;
            too_long.steps[step].groups[group] += '\0';
            EXPECT_FALSE(OperatorHarness(kPipeline).load(too_long).ok()) << good.steps[step].identity.step;
            EngineState many = good;
            many.steps[step].groups[group][6] = '\x7f';  // of the count
            EXPECT_FALSE(OperatorHarness(kPipeline).load(many).ok()) << good.steps[step].identity.step;
            break;
        }
    }
}

}  // namespace
}  // namespace takt::harness
