// Master data as of an event's time: a batch's rows looked up in a table of materials of which each has four versions.
// Beside it std::unordered_map with a vector of versions, as one would write it by hand.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include "pipeline/batch/batch.h"
#include "pipeline/state/temporal_table.h"

namespace takt {
namespace {

constexpr std::size_t kVersions = 4;
constexpr Timestamp kBegin = 1'780'272'000 * kSecond;  // 2026-06-01
constexpr Duration kWeek = 7 * 24 * kHour;

std::string material(std::size_t number) {
    return fmt::format("FG-{:07}", number);
}
/// In cents, another one in each version.
std::int64_t price(std::size_t number, std::size_t version) {
    return static_cast<std::int64_t>(number * 10 + version);
}

/// What the rows ask for: a batch at a time, materials in an order that jumps about.
struct Questions {
    std::vector<std::string> names;
    std::vector<std::string_view> keys;
    std::vector<Timestamp> times;
    Selection rows;

    explicit Questions(std::size_t materials) {
        for (std::size_t number = 0; number < materials; ++number) names.push_back(material(number));
        rows.assign_all(kBatchRows);
    }
    void ask(std::uint64_t first) {
        keys.clear();
        times.clear();
        for (std::size_t i = 0; i < kBatchRows; ++i) {
            const std::uint64_t row = first + i;
            keys.push_back(names[row * 7919 % names.size()]);
            times.push_back(kBegin + static_cast<Duration>(row % kVersions) * kWeek + kHour);
        }
    }
    /// In cents.
    std::int64_t right(std::uint64_t row) const { return price(row * 7919 % names.size(), row % kVersions); }
};

std::shared_ptr<const TemporalTable> make_table(std::size_t materials) {
    TableSpec spec;
    spec.name = "materials";
    spec.key = {"material"};
    spec.valid_from = "valid_from";
    spec.fields = {{"price", Type::decimal(2), false}};
    std::string text = "material,valid_from,price\n";
    for (std::size_t number = 0; number < materials; ++number) {
        for (std::size_t version = 0; version < kVersions; ++version) {
            const std::int64_t cents = price(number, version);
            text += fmt::format("{},{},{}.{:02}\n", material(number),
                                format_timestamp(kBegin + static_cast<Duration>(version) * kWeek), cents / 100,
                                cents % 100);
        }
    }
    TableBuilder builder(spec);
    const auto csv = parse_csv("materials.csv", std::move(text));
    if (!csv.ok() || !builder.add(*csv).ok()) return nullptr;
    auto built = builder.build();
    return built.ok() ? *built : nullptr;
}

/// `look_up` answers what the questions ask; `answer(i)` is what it found for the i-th, in cents.
template <typename LookUp, typename Answer>
void measure(benchmark::State& state, Questions& questions, const LookUp& look_up, const Answer& answer) {
    questions.ask(0);
    look_up();
    for (std::size_t i = 0; i < kBatchRows; ++i) {
        if (answer(i) != questions.right(i)) return state.SkipWithError("an answer is wrong");
    }
    std::uint64_t row = 0;
    for (auto _ : state) {
        questions.ask(row);
        look_up();
        benchmark::DoNotOptimize(answer(0));
        benchmark::ClobberMemory();
        row += kBatchRows;
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(row));
}

void temporal_table(benchmark::State& state) {
    const auto materials = static_cast<std::size_t>(state.range(0));
    const auto table = make_table(materials);
    if (table == nullptr) return state.SkipWithError("the table was refused");
    const Column& prices = table->column(static_cast<std::size_t>(table->find_column("price")));
    Questions questions(materials);
    std::vector<std::int32_t> found(kBatchRows);
    const auto look_up = [&] {
        const KeyPart key{questions.keys.data(), 1};
        table->find(std::span(&key, 1), questions.times.data(), questions.rows, found.data());
    };
    measure(state, questions, look_up, [&](std::size_t i) {
        return found[i] == TemporalTable::kNoRow ? Int128{-1} : prices.values<Int128>()[found[i]];
    });
    state.counters["bytes_per_row"] = static_cast<double>(table->size_bytes()) / static_cast<double>(table->rows());
}

void map_of_versions(benchmark::State& state) {
    const auto materials = static_cast<std::size_t>(state.range(0));
    using Version = std::pair<Timestamp, Int128>;
    std::unordered_map<std::string_view, std::vector<Version>> table;
    Questions questions(materials);
    for (std::size_t number = 0; number < materials; ++number) {
        for (std::size_t version = 0; version < kVersions; ++version)
            table[questions.names[number]].push_back(
                {kBegin + static_cast<Duration>(version) * kWeek, price(number, version)});
    }
    std::vector<Int128> found(kBatchRows);
    const auto look_up = [&] {
        for (std::size_t i = 0; i < kBatchRows; ++i) {
            const std::vector<Version>& versions = table.find(questions.keys[i])->second;
            const auto next =
                std::upper_bound(versions.begin(), versions.end(), questions.times[i],
                                 [](Timestamp time, const Version& version) { return time < version.first; });
            found[i] = std::prev(next)->second;
        }
    };
    measure(state, questions, look_up, [&](std::size_t i) { return found[i]; });
    state.SetLabel(fmt::format("baseline=lookup/temporal/{}", materials));
}

BENCHMARK(temporal_table)->Name("lookup/temporal")->Arg(1'000)->Arg(100'000);
BENCHMARK(map_of_versions)->Name("lookup/unordered_map")->Arg(1'000)->Arg(100'000);

}  // namespace
}  // namespace takt

BENCHMARK_MAIN();
