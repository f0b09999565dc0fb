// Open windows and calendars: what an event costs before its value is added.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/base/hash.h"
#include "pipeline/state/calendar.h"
#include "pipeline/state/pane_table.h"

namespace takt {
namespace {

constexpr std::size_t kRows = 1024;
constexpr std::uint32_t kBlockBytes = 64;
constexpr Timestamp kBegin = 1'780'000'000 * kSecond;

struct Keys {
    std::vector<std::string> texts;
    std::vector<std::uint64_t> hashes;
    explicit Keys(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) texts.push_back("10" + std::to_string(1'000'000 + i));
        for (const std::string& text : texts) hashes.push_back(hash64(text));
    }
};

std::int64_t& sum(PaneTable::Pane& pane) {
    return *reinterpret_cast<std::int64_t*>(pane.block());
}

/// What a batch needs, kept from one to the next.
struct Rows {
    std::vector<PaneTable::Want> wants;
    std::vector<PaneTable::Pane*> found;
    std::vector<std::uint32_t> made;
};

/// Rows [first, first + kRows), one a millisecond, keys in an order that jumps about.
void process(PaneTable& panes, const Keys& keys, std::uint64_t first, Rows& rows) {
    rows.wants.clear();
    for (std::size_t i = 0; i < kRows; ++i) {
        const auto key = static_cast<std::size_t>((first + i) * 7919 % keys.texts.size());
        rows.wants.push_back({keys.hashes[key], keys.texts[key],
                              tumbling_window(kBegin + static_cast<Timestamp>(first + i) * kMillisecond, kMinute, 0)});
    }
    panes.upsert(rows.wants, rows.found, rows.made);
    for (PaneTable::Pane* pane : rows.found) sum(*pane) += 1;
}

void upsert(benchmark::State& state) {
    const Keys keys(static_cast<std::size_t>(state.range(0)));
    PaneTable panes(kBlockBytes, 0);
    Rows rows;
    std::int64_t fired = 0;
    std::uint64_t row = 0;
    const auto advance = [&] {
        panes.advance(
            kBegin + static_cast<Timestamp>(row) * kMillisecond, [&](PaneTable::Pane& pane) { fired += sum(pane); },
            [](PaneTable::Pane&) {});
    };
    for (; row < 300 * kRows; row += kRows) process(panes, keys, row, rows);
    advance();
    std::int64_t open = 0;
    panes.for_each([&](PaneTable::Pane& pane) { open += pane.fired() ? 0 : sum(pane); });
    if (fired == 0 || fired + open != static_cast<std::int64_t>(row)) {
        state.SkipWithError("rows were lost");
        return;
    }
    for (auto _ : state) {
        process(panes, keys, row, rows);
        row += kRows;
        if (row / kRows % 50 == 0) advance();
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRows));
    if (keys.texts.size() == 10'000) state.SetLabel("goal=25000000");
}

void open_windows(benchmark::State& state) {
    const Keys keys(1'000'000);
    const std::size_t key_bytes = keys.texts[0].size();
    for (auto _ : state) {
        PaneTable panes(kBlockBytes, 0);
        for (std::size_t i = 0; i < keys.texts.size(); ++i) panes.upsert({keys.hashes[i], keys.texts[i], {0, kMinute}});
        if (panes.size() != keys.texts.size()) state.SkipWithError("panes were lost");
        const double bytes = static_cast<double>(panes.size_bytes()) / static_cast<double>(panes.size());
        state.counters["bytes_per_window"] = bytes - kBlockBytes - static_cast<double>(key_bytes);
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(keys.texts.size()));
    state.SetLabel("goal.bytes_per_window=96");
}

void find_shift(benchmark::State& state) {
    const auto zone = TimeZone::find("Europe/Berlin");
    const auto plan = ShiftPlan::make(
        *zone, {{"early", 6 * kHour, 14 * kHour}, {"late", 14 * kHour, 22 * kHour}, {"night", 22 * kHour, 6 * kHour}});
    const ShiftPlan& shifts = **plan;
    const Timestamp begin =
        state.range(0) == 0 ? *parse_timestamp("2026-06-01T00:00:00Z") : *parse_timestamp("2026-03-29T00:00:00Z");
    const Window night = shifts.find(*parse_timestamp("2026-03-29T01:00:00Z")).window;
    if (night.end - night.start != 7 * kHour) {
        state.SkipWithError("the shift's window is wrong");
        return;
    }
    std::uint64_t row = 0;
    for (auto _ : state) {
        for (std::size_t i = 0; i < kRows; ++i, ++row) {
            // Around a slow clock: some seconds to and fro.
            const Duration apart = static_cast<Duration>(row * 7919 % 10'000) * kMillisecond;
            benchmark::DoNotOptimize(
                shifts.find(begin + static_cast<Timestamp>(row % 10'000'000) * kMillisecond + apart));
        }
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRows));
    state.SetLabel("goal=66666667");
}

BENCHMARK(upsert)->Name("pane/upsert")->Arg(1'000)->Arg(10'000)->Arg(50'000);
BENCHMARK(open_windows)->Name("pane/open")->Unit(benchmark::kMillisecond);
BENCHMARK(find_shift)->Name("calendar/shift")->ArgName("near_transition")->Arg(0)->Arg(1);

}  // namespace
}  // namespace takt

BENCHMARK_MAIN();
