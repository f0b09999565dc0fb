// The deduplication's table in steady state: each id is new but for one in a hundred, and as many are forgotten as
// come.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <memory>

#include "pipeline/state/dedup_table.h"

namespace takt {
namespace {

constexpr std::size_t kRows = 1024;
constexpr std::size_t kAhead = 16;
constexpr Timestamp kBegin = 1'780'000'000 * kSecond;

/// A stand-in for the hash of the id with this number (splitmix64): its cost is not what is measured.
Hash128 id(std::uint64_t number) {
    const auto mix = [](std::uint64_t bits) {
        bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
        bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
        return bits ^ (bits >> 31);
    };
    return {mix(number * 2 + 1), mix(number * 0x9E3779B97F4A7C15u)};
}

/// Row n of the stream has id n at n milliseconds, but from the second horizon on each hundredth repeats one of the
/// last half horizon.
class Stream {
  public:
    explicit Stream(std::uint64_t ids) : ids_(ids) {}

    Duration horizon() const { return static_cast<Duration>(ids_) * kMillisecond; }
    bool repeats(std::uint64_t row) const { return row >= ids_ && row % 100 == 99; }
    std::uint64_t number(std::uint64_t row) const {
        if (!repeats(row)) return row;
        const std::uint64_t earlier = row - 2 - row * 7919 % (ids_ / 2);
        return earlier % 100 == 99 ? earlier - 1 : earlier;
    }
    Timestamp time(std::uint64_t row) const { return kBegin + static_cast<Timestamp>(row) * kMillisecond; }

  private:
    std::uint64_t ids_;
};

/// Rows [first, first + kRows) as the operator does it; how many were duplicates, and whether anything was otherwise
/// wrong.
struct Counts {
    std::uint64_t duplicates = 0;
    std::uint64_t conflicts = 0;
};

/// Rows [first, first + kRows) as the operator does it.
Counts process(DedupTable& table, const Stream& stream, std::uint64_t first) {
    std::array<Hash128, kRows> ids;
    for (std::size_t i = 0; i < kRows; ++i) ids[i] = id(stream.number(first + i));
    const Timestamp oldest = stream.time(first) - stream.horizon();
    Counts counts;
    for (std::size_t i = 0; i < kAhead; ++i) table.prefetch(ids[i]);
    for (std::size_t i = 0; i < kRows; ++i) {
        if (i + kAhead < kRows) table.prefetch(ids[i + kAhead]);
        const std::uint64_t content = ids[i].low >> 8;
        switch (table.find(ids[i], content, oldest)) {
            case DedupTable::Verdict::fresh:
                table.remember(ids[i], content, stream.time(first + i), oldest);
                break;
            case DedupTable::Verdict::duplicate:
                ++counts.duplicates;
                break;
            case DedupTable::Verdict::conflict:
                ++counts.conflicts;
                break;
        }
    }
    if (first / kRows % 64 == 63) table.sweep(oldest);
    return counts;
}

void steady_state(benchmark::State& state) {
    const auto ids = static_cast<std::uint64_t>(state.range(0));
    const Stream stream(ids);
    DedupTable table;
    std::uint64_t row = 0;
    Counts counts;
    // Two horizons: what was forgotten has been replaced once.
    while (row < 2 * ids) {
        const Counts more = process(table, stream, row);
        counts.duplicates += more.duplicates;
        counts.conflicts += more.conflicts;
        row += kRows;
    }
    std::uint64_t expected = 0;
    for (std::uint64_t r = 0; r < row; ++r) expected += stream.repeats(r) ? 1 : 0;
    if (counts.conflicts != 0 || counts.duplicates != expected) {
        state.SkipWithError("the table's answer is wrong");
        return;
    }
    for (auto _ : state) {
        benchmark::DoNotOptimize(process(table, stream, row));
        row += kRows;
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRows));
    state.counters["bytes_per_id"] = static_cast<double>(table.size_bytes()) / static_cast<double>(table.size());
    state.SetLabel(ids == 1'000'000 ? "goal=16666667 goal.bytes_per_id=24" : "goal.bytes_per_id=24");
}

BENCHMARK(steady_state)->Name("dedup/steady")->Arg(10'000)->Arg(100'000)->Arg(1'000'000)->Arg(10'000'000);

}  // namespace
}  // namespace takt

BENCHMARK_MAIN();
