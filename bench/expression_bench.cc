// What a filter's expression costs for each row. Each benchmark first compares what it selects with a loop written by
// hand.
#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

#include "pipeline/base/decimal.h"
#include "pipeline/expression/expression.h"

namespace {

using namespace takt;

constexpr std::uint32_t kRows = kBatchRows;
const char* const kKinds[] = {"reading",     "machine_state", "cycle",        "lot_status",
                              "goods_issue", "goods_receipt", "confirmation", "scrap"};

/// A batch as a decoder leaves it: an enumeration, short strings, a decimal with three digits.
struct Events {
    Layout layout;
    Scope scope;
    Batch batch;
    Selection all;
    std::vector<std::string> orders;

    Events() {
        auto kinds = std::make_shared<EnumType>();
        kinds->name = "Kind";
        for (std::int64_t i = 0; i < 8; ++i) kinds->values.push_back({kKinds[i], i});
        add("kind", Type::enum_of(kinds));
        add("order_id", Type::of(TypeKind::string));
        add("quantity", Type::decimal(3));
        add("duration_ms", Type::of(TypeKind::int64));
        batch.reset(layout, kRows);
        batch.rows = kRows;
        std::uint32_t state = 12345;
        for (std::uint32_t row = 0; row < kRows; ++row) {
            state = state * 1664525 + 1013904223;
            orders.push_back((state >> 20) % 16 == 0 ? "TEST-" + std::to_string(row) : "PO-100" + std::to_string(row));
            batch.column(0).values<std::int64_t>()[row] = (state >> 24) % 8;
            batch.column(2).values<Int128>()[row] = (state >> 16) % 4 == 0 ? 0 : 1500;
            batch.column(3).values<std::int64_t>()[row] = state >> 12;
            for (Column& column : batch.columns) column.valid().set(row);
        }
        for (std::uint32_t row = 0; row < kRows; ++row) batch.column(1).values<std::string_view>()[row] = orders[row];
        all.assign_all(kRows);
    }

    void add(const char* name, Type type) {
        const Slot slot = layout.add({name, type, false});
        scope.add(name, type, slot);
    }
    std::int64_t kind(Row row) const { return batch.column(0).values<std::int64_t>()[row]; }
    std::string_view order(Row row) const { return batch.column(1).values<std::string_view>()[row]; }
    Int128 quantity(Row row) const { return batch.column(2).values<Int128>()[row]; }
    std::int64_t duration(Row row) const { return batch.column(3).values<std::int64_t>()[row]; }
};

void run(benchmark::State& state, const char* text, const std::function<bool(const Events&, Row)>& reference) {
    const Events events;
    auto compiled = compile_expression(text, events.scope);
    if (!std::holds_alternative<Program>(compiled)) return state.SkipWithError("the expression does not compile");
    const Program& program = std::get<Program>(compiled);
    const auto scratch = program.make_scratch();
    ExpressionErrors errors;
    Selection yes;
    program.split(events.batch, events.all, *scratch, &yes, nullptr, errors);
    std::size_t at = 0;
    for (std::uint32_t row = 0; row < kRows; ++row) {
        if (!reference(events, static_cast<Row>(row))) continue;
        if (at >= yes.size() || yes[at++] != row) return state.SkipWithError("selects other rows than the reference");
    }
    if (at != yes.size()) return state.SkipWithError("selects more rows than the reference");
    for (auto _ : state) {
        program.split(events.batch, events.all, *scratch, &yes, nullptr, errors);
        benchmark::DoNotOptimize(yes.data());
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * kRows);
    state.counters["ns_per_row"] = benchmark::Counter(static_cast<double>(state.iterations()) * kRows / 1e9,
                                                      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void register_all() {
    const auto add = [](const char* name, const char* text, std::function<bool(const Events&, Row)> reference) {
        benchmark::RegisterBenchmark(name, [text, reference](benchmark::State& state) { run(state, text, reference); });
    };
    add("expression/kind_in", "kind in ['reading', 'machine_state', 'cycle']",
        [](const Events& e, Row row) { return e.kind(row) < 3; });
    add("expression/kind_equal", "kind == 'cycle'", [](const Events& e, Row row) { return e.kind(row) == 2; });
    add("expression/starts_with", "order_id.startsWith('TEST-')",
        [](const Events& e, Row row) { return e.order(row).substr(0, 5) == "TEST-"; });
    add("expression/decimal_equal", "quantity == decimal('0')",
        [](const Events& e, Row row) { return e.quantity(row) == 0; });
    add("expression/zero_quantity", "kind != 'lot_status' && quantity == decimal('0')",
        [](const Events& e, Row row) { return e.kind(row) != 3 && e.quantity(row) == 0; });
    add("expression/int_arithmetic", "duration_ms * 2 + 7 > 500000",
        [](const Events& e, Row row) { return e.duration(row) * 2 + 7 > 500000; });
    add("expression/decimal_product", "quantity * decimal('1.25') > decimal('1')",
        [](const Events& e, Row row) { return e.quantity(row) * 125 > 100000; });
}

}  // namespace

int main(int argc, char** argv) {
    register_all();
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
