// What exact sums cost: quantity x price added up in 128 bits, beside 64 bits and beside binary floating point, of the
// same events. Counters say how often the others are wrong.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "pipeline/base/check.h"
#include "pipeline/base/decimal.h"

namespace takt {
namespace {

constexpr std::size_t kPanes = 4096;
constexpr std::size_t kEventsPerPane = 64;
constexpr std::size_t kEvents = kPanes * kEventsPerPane;
constexpr int kAmountScale = 12;  // 6 digits of a quantity and 6 of a price

struct Event {
    std::uint32_t pane;
    std::int64_t quantity;  // millionths
    std::int64_t price;     // millionths
};

/// Quantities and prices up to 1,000 with 3 decimals, in an order as events come.
const std::vector<Event>& events() {
    static const std::vector<Event> all = [] {
        std::vector<Event> made(kEvents);
        std::uint64_t seed = 1;
        const auto below = [&seed](std::uint64_t limit) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            return static_cast<std::int64_t>((seed >> 33) % limit);
        };
        for (std::size_t i = 0; i < kEvents; ++i) {
            made[i] = {static_cast<std::uint32_t>(i % kPanes), (below(1'000'000) + 1) * 1000,
                       (below(1'000'000) + 1) * 1000};
        }
        return made;
    }();
    return all;
}

/// Cents of a sum, half to even.
std::int64_t cents(Int128 sum) {
    return static_cast<std::int64_t>(*rescale(sum, kAmountScale, 2));
}
std::int64_t cents(double sum) {
    return static_cast<std::int64_t>(std::nearbyint(sum * 100));
}

const std::vector<std::int64_t>& right_cents() {
    static const std::vector<std::int64_t> all = [] {
        std::vector<Int128> sums(kPanes);
        for (const Event& event : events()) sums[event.pane] += Int128{event.quantity} * event.price;
        std::vector<std::int64_t> made;
        for (const Int128 sum : sums) made.push_back(cents(sum));
        return made;
    }();
    return all;
}

/// As the engine does it: a checked product, a checked sum.
void int128(benchmark::State& state) {
    std::vector<Int128> sums(kPanes);
    for (auto _ : state) {
        std::fill(sums.begin(), sums.end(), 0);
        for (const Event& event : events()) {
            const auto amount = checked_multiply(event.quantity, event.price);
            CHECK(amount.has_value());
            CHECK(!__builtin_add_overflow(sums[event.pane], *amount, &sums[event.pane]));
        }
        benchmark::DoNotOptimize(sums.data());
    }
    for (std::size_t i = 0; i < kPanes; ++i) {
        if (cents(sums[i]) != right_cents()[i]) return state.SkipWithError("a sum is wrong");
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kEvents));
}

/// 64 bits hold 9.2 million with 12 decimals: a pane that comes to more has no sum.
void int64(benchmark::State& state) {
    std::vector<std::int64_t> sums(kPanes);
    std::vector<std::uint8_t> lost(kPanes);
    for (auto _ : state) {
        std::fill(sums.begin(), sums.end(), 0);
        std::fill(lost.begin(), lost.end(), 0);
        for (const Event& event : events()) {
            std::int64_t amount = 0;
            const bool over = __builtin_mul_overflow(event.quantity, event.price, &amount) ||
                              __builtin_add_overflow(sums[event.pane], amount, &sums[event.pane]);
            lost[event.pane] |= static_cast<std::uint8_t>(over);
        }
        benchmark::DoNotOptimize(sums.data());
    }
    const auto count = std::count(lost.begin(), lost.end(), 1);
    for (std::size_t i = 0; i < kPanes; ++i) {
        if (lost[i] == 0 && cents(Int128{sums[i]}) != right_cents()[i]) return state.SkipWithError("a sum is wrong");
    }
    state.counters["panes_without_sum_percent"] = 100.0 * static_cast<double>(count) / kPanes;
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kEvents));
    state.SetLabel("baseline=decimal/int128");
}

std::vector<double> double_sums(bool backwards) {
    std::vector<double> sums(kPanes);
    const auto add = [&](const Event& event) {
        sums[event.pane] += static_cast<double>(event.quantity) / 1e6 * (static_cast<double>(event.price) / 1e6);
    };
    if (backwards) {
        std::for_each(events().rbegin(), events().rend(), add);
    } else {
        std::for_each(events().begin(), events().end(), add);
    }
    return sums;
}

/// Wrong: panes whose cents are not those of the exact sum. Unstable: panes whose sum is another one when the same
/// events come in another order, so that a replay would not give the same bytes.
void binary_double(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(double_sums(false));
    const std::vector<double> forwards = double_sums(false);
    const std::vector<double> backwards = double_sums(true);
    std::size_t wrong = 0;
    std::size_t unstable = 0;
    for (std::size_t i = 0; i < kPanes; ++i) {
        wrong += cents(forwards[i]) != right_cents()[i] ? 1 : 0;
        unstable += forwards[i] != backwards[i] ? 1 : 0;
    }
    state.counters["wrong_panes"] = static_cast<double>(wrong);
    state.counters["unstable_panes_percent"] = 100.0 * static_cast<double>(unstable) / kPanes;
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kEvents));
    state.SetLabel("baseline=decimal/int128");
}

/// Amounts that end in half a cent, as a price of 3 decimals makes them: the exact tie is what binary cannot hold.
void binary_ties(benchmark::State& state) {
    std::size_t wrong = 0;
    for (auto _ : state) {
        wrong = 0;
        for (std::int64_t i = 0; i < 10'000; ++i) {
            const std::int64_t thousandths = i * 10 + 5;
            const auto right = static_cast<std::int64_t>(*rescale(thousandths, 3, 2));
            wrong += cents(static_cast<double>(thousandths) / 1000) != right ? 1 : 0;
        }
        benchmark::DoNotOptimize(wrong);
    }
    state.counters["wrong_percent"] = 100.0 * static_cast<double>(wrong) / 10'000;
}

BENCHMARK(int128)->Name("decimal/int128");
BENCHMARK(int64)->Name("decimal/int64");
BENCHMARK(binary_double)->Name("decimal/double");
BENCHMARK(binary_ties)->Name("decimal/double_ties");

}  // namespace
}  // namespace takt

BENCHMARK_MAIN();
