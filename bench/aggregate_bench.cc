// The keyed half of an aggregate: rows of orders into one-minute windows with sum, count and maximum of a decimal, and
// lineage; windows close as time goes on. Beside it std::unordered_map by order and window with the three numbers
// alone.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "operators/open_panes.h"
#include "pipeline/base/hash.h"
#include "pipeline/state/calendar.h"

namespace takt {
namespace {

constexpr Timestamp kBegin = 1'780'000'000 * kSecond;
constexpr Duration kBetween = 40 * kMicrosecond;
constexpr std::uint64_t kBatchesBetweenEpochs = 50;

/// A batch as it reaches the panes: key, window and value, in columns.
struct Rows {
    Segment segment;
    Slot key, key_hash, start, end, quantity;
    Batch batch;
    std::vector<Row> all;
    std::vector<std::string> orders;

    explicit Rows(std::size_t count) {
        const auto add = [&](const char* name, Type type) { return segment.layout.add({name, type, false}); };
        key = add("key", Type::of(TypeKind::string));
        key_hash = add("key_hash", Type::of(TypeKind::uint64));
        start = add("start", Type::of(TypeKind::timestamp));
        end = add("end", Type::of(TypeKind::timestamp));
        quantity = add("quantity", Type::decimal(3));
        segment.id_hash = add("id_hash", Type::decimal(0));
        for (std::size_t i = 0; i < count; ++i) orders.push_back(fmt::format("PO-{:08}", i));
        batch.reset(segment.layout, kBatchRows);
        batch.rows = kBatchRows;
        for (std::uint32_t row = 0; row < kBatchRows; ++row) {
            all.push_back(static_cast<Row>(row));
            for (Column& column : batch.columns) column.valid().set(row);
        }
    }
    static Int128 value(std::uint64_t row) { return static_cast<Int128>(row * 31 % 10'000); }
    static Timestamp time(std::uint64_t row) { return kBegin + static_cast<Duration>(row) * kBetween; }
    std::size_t order(std::uint64_t row) const { return row * 7919 % orders.size(); }

    void fill(std::uint64_t first) {
        for (std::uint32_t i = 0; i < kBatchRows; ++i) {
            const std::uint64_t row = first + i;
            const std::string& text = orders[order(row)];
            const Window window = tumbling_window(time(row), kMinute, 0);
            batch.column(key).values<std::string_view>()[i] = text;
            batch.column(key_hash).values<std::uint64_t>()[i] = hash64(text);
            batch.column(start).values<Timestamp>()[i] = window.start;
            batch.column(end).values<Timestamp>()[i] = window.end;
            batch.column(quantity).values<Int128>()[i] = value(row);
            batch.column(segment.id_hash).values<Hash128>()[i] = {row, ~row};
            batch.origin[i].sequence = row + 1;
            batch.event_time[i] = time(row);
            batch.outcome[i] = kUndecided;
        }
    }
};

struct Totals {
    Int128 sum = 0;
    std::uint64_t rows = 0;
    bool operator==(const Totals&) const = default;
};

/// What rows [0, end) add up to.
Totals right(std::uint64_t end) {
    Totals totals;
    for (std::uint64_t row = 0; row < end; ++row) totals.sum += Rows::value(row);
    totals.rows = end;
    return totals;
}

class Panes {
  public:
    explicit Panes(Rows& rows) : rows_(rows), open_(make_spec()) {}

    void process(std::uint64_t first) {
        rows_.fill(first);
        open_.add(
            rows_.batch, rows_.all, kBeginningOfTime, [](Row, std::byte*) {}, [](auto, auto) {});
    }
    /// Adds the panes that the watermark has reached to what has fired.
    void advance(Timestamp watermark) {
        open_.advance(
            watermark,
            [&](PaneTable::Pane& pane) {
                fired_.sum += spec_.functions[0].exact_result(pane.block());
                fired_.rows += static_cast<std::uint64_t>(spec_.functions[1].exact_result(pane.block()));
            },
            [](PaneTable::Pane&) {});
    }
    const Totals& fired() const { return fired_; }

  private:
    const PaneSpec& make_spec() {
        spec_.segment = &rows_.segment;
        spec_.window.kind = WindowSpec::Kind::tumbling;
        spec_.window.size = kMinute;
        spec_.key = rows_.key;
        spec_.key_hash = rows_.key_hash;
        spec_.start = rows_.start;
        spec_.end = rows_.end;
        for (const Function function : {Function::sum, Function::count, Function::maximum})
            spec_.add_function({function, rows_.quantity, Type::decimal(3), Type::decimal(3)});
        return spec_;
    }

    Rows& rows_;
    PaneSpec spec_;
    OpenPanes open_;
    Totals fired_;
};

class Map {
  public:
    explicit Map(Rows& rows) : rows_(rows) {}

    void process(std::uint64_t first) {
        rows_.fill(first);
        const std::string_view* keys = rows_.batch.column(rows_.key).values<std::string_view>();
        const Timestamp* ends = rows_.batch.column(rows_.end).values<Timestamp>();
        const Int128* quantities = rows_.batch.column(rows_.quantity).values<Int128>();
        for (const Row row : rows_.all) {
            Sums& sums = windows_[ends[row]][keys[row]];
            sums.totals.sum += quantities[row];
            ++sums.totals.rows;
            sums.maximum = std::max(sums.maximum, quantities[row]);
        }
    }
    void advance(Timestamp watermark) {
        for (; !windows_.empty() && windows_.begin()->first <= watermark; windows_.erase(windows_.begin())) {
            for (const auto& [key, sums] : windows_.begin()->second) {
                fired_.sum += sums.totals.sum;
                fired_.rows += sums.totals.rows;
            }
        }
    }
    const Totals& fired() const { return fired_; }

  private:
    struct Sums {
        Totals totals;
        Int128 maximum = 0;
    };
    Rows& rows_;
    std::map<Timestamp, std::unordered_map<std::string_view, Sums>> windows_;  ///< by end
    Totals fired_;
};

template <typename Table>
void aggregate(benchmark::State& state) {
    constexpr std::uint64_t kWarm = 4000 * kBatchRows;  // more than a window
    Rows rows(static_cast<std::size_t>(state.range(0)));
    Table table(rows);
    std::uint64_t row = 0;
    const auto process = [&] {
        table.process(row);
        row += kBatchRows;
        if (row / kBatchRows % kBatchesBetweenEpochs == 0) table.advance(Rows::time(row));
    };
    while (row < kWarm) process();
    for (auto _ : state) process();
    table.advance(kEndOfTime);
    if (!(table.fired() == right(row))) return state.SkipWithError("the totals are wrong");
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatchRows));
    if constexpr (std::is_same_v<Table, Map>)
        state.SetLabel(fmt::format("baseline=aggregate/panes/{}", rows.orders.size()));
}

/// What filling the batch costs, which is in both.
void fill(benchmark::State& state) {
    Rows rows(static_cast<std::size_t>(state.range(0)));
    std::uint64_t row = 0;
    for (auto _ : state) {
        rows.fill(row);
        row += kBatchRows;
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(row));
    state.SetLabel(fmt::format("baseline=aggregate/panes/{}", rows.orders.size()));
}

BENCHMARK(aggregate<Panes>)->Name("aggregate/panes")->Arg(1'000)->Arg(10'000);
BENCHMARK(aggregate<Map>)->Name("aggregate/unordered_map")->Arg(1'000)->Arg(10'000);
BENCHMARK(fill)->Name("aggregate/input_alone")->Arg(10'000);

}  // namespace
}  // namespace takt

BENCHMARK_MAIN();
