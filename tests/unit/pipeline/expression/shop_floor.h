#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "pipeline/base/decimal.h"
#include "pipeline/base/time.h"
#include "pipeline/expression/expression.h"

namespace takt {

/// Four rows with a column of every type. The last row has no value anywhere.
///
/// kind   reading     cycle       lot_status  -
/// order  "PO-1"      "TEST-2"    ""          -
/// count  5           -3          9223372036854775807
/// amount 1.500       -0.005      0.000       decimal(3)
/// ratio  0.5         NaN         1e300
/// good   true        false       true
/// at     2026-03-29T00:59:59Z, 01:00:00Z (Berlin's clocks jump), 1969-12-31T23:59:59.5Z
/// spent  1h30m       -1.5s       0
/// tags   [a, bb]     []          [c]
/// item.cost 12.50    0.01        3.00        decimal(2)
class ShopFloor {
  public:
    static constexpr std::uint32_t kRowCount = 4;

    ShopFloor() {
        auto kinds = std::make_shared<EnumType>();
        kinds->name = "Kind";
        kinds->values = {{"cycle", 1}, {"reading", 2}, {"lot_status", 70}};
        add("kind", Type::enum_of(kinds));
        add("order", Type::of(TypeKind::string));
        add("count", Type::of(TypeKind::int64));
        add("amount", Type::decimal(3));
        add("ratio", Type::of(TypeKind::float64));
        add("good", Type::of(TypeKind::boolean));
        add("at", Type::of(TypeKind::timestamp));
        add("spent", Type::of(TypeKind::duration));
        add("tags", Type::list_of(Type::of(TypeKind::string)));
        add("item.cost", Type::decimal(2));
        batch.reset(layout, kRowCount);
        batch.rows = kRowCount;
        fill<std::int64_t>("kind", {2, 1, 70});
        fill<std::string_view>("order", {"PO-1", "TEST-2", ""});
        fill<std::int64_t>("count", {5, -3, INT64_MAX});
        fill<Int128>("amount", {1500, -5, 0});
        fill<double>("ratio", {0.5, std::numeric_limits<double>::quiet_NaN(), 1e300});
        fill<std::uint8_t>("good", {1, 0, 1});
        fill<std::int64_t>("at", {time("2026-03-29T00:59:59Z"), time("2026-03-29T01:00:00Z"), -kSecond / 2});
        fill<std::int64_t>("spent", {90 * kMinute, -1500 * kMillisecond, 0});
        fill<ListSpan>("tags", {{0, 2}, {2, 0}, {2, 1}});
        fill<Int128>("item.cost", {1250, 1, 300});
        auto tags = std::make_unique<Column>(Type::of(TypeKind::string));
        tags->reset(3);
        for (std::uint32_t i = 0; i < 3; ++i) {
            tags->values<std::string_view>()[i] = std::vector<std::string_view>{"a", "bb", "c"}[i];
        }
        column("tags").set_elements(std::move(tags));
        all.assign_all(kRowCount);
    }

    static std::int64_t time(std::string_view text) { return *parse_timestamp(text); }

    /// Each selected row's value as text; "-" where it is absent, "error: ..." where evaluation failed. One text, the
    /// mistakes, where the expression does not load.
    std::vector<std::string> evaluate(std::string_view text, const Selection& rows) const {
        auto compiled = compile_expression(text, scope);
        if (!std::holds_alternative<Program>(compiled)) return {shown(std::get<1>(compiled))};
        const Program& program = std::get<Program>(compiled);
        const auto scratch = program.make_scratch();
        Column out;
        Arena strings;
        ExpressionErrors errors;
        program.evaluate(batch, rows, *scratch, out, strings, errors);
        std::vector<std::string> texts;
        std::size_t error = 0;
        for (const Row row : rows) {
            if (error < errors.rows.size() && errors.rows[error].first == row) {
                texts.push_back(fmt::format("error: {}", errors.rows[error++].second));
                if (out.valid().test(row)) texts.back() = "a row in error that is valid";
            } else {
                texts.push_back(out.valid().test(row) ? shown(out, row) : "-");
            }
        }
        if (error != errors.rows.size()) texts.push_back("errors of other rows, or not ascending");
        return texts;
    }
    std::vector<std::string> evaluate(std::string_view text) const { return evaluate(text, all); }

    /// The value of an expression that reads no column.
    std::string value(std::string_view text) const {
        Selection first;
        first.push_back(0);
        return evaluate(text, first)[0];
    }

    /// "C202 8+4 no column 'nope' here", with " [hint]"; joined by "; ". Empty: it loads.
    std::string mistakes(std::string_view text) const {
        const auto compiled = compile_expression(text, scope);
        return std::holds_alternative<Program>(compiled) ? std::string() : shown(std::get<1>(compiled));
    }

    Layout layout;
    Scope scope;
    Batch batch;
    Selection all;

  private:
    void add(const char* name, Type type) {
        const Slot slot = layout.add({name, type, false});
        scope.add(name, type, slot);
    }
    Column& column(const char* name) { return batch.column(layout.find(name)); }

    template <typename T>
    void fill(const char* name, std::vector<T> values) {
        Column& to = column(name);
        for (std::uint32_t row = 0; row < kRowCount; ++row) {
            to.values<T>()[row] = row < values.size() ? values[row] : T{};
            if (row < values.size()) to.valid().set(row);
        }
    }

    static std::string shown(const std::vector<ExpressionMistake>& mistakes) {
        std::string text;
        for (const ExpressionMistake& mistake : mistakes) {
            text += fmt::format("{}{} {}+{} {}", text.empty() ? "" : "; ", mistake.code, mistake.offset, mistake.length,
                                mistake.message);
            if (!mistake.hint.empty()) text += fmt::format(" [{}]", mistake.hint);
        }
        return text;
    }

    static std::string shown(const Column& column, std::size_t row) {
        switch (column.type().kind) {
            case TypeKind::boolean:
                return column.values<std::uint8_t>()[row] != 0 ? "true" : "false";
            case TypeKind::uint64:
                return fmt::format("{}u", column.values<std::uint64_t>()[row]);
            case TypeKind::float64:
                return fmt::format("{}", column.values<double>()[row]);
            case TypeKind::decimal:
                return format_decimal(column.values<Int128>()[row], column.type().scale);
            case TypeKind::timestamp:
                return format_timestamp(column.values<std::int64_t>()[row]);
            case TypeKind::string:
            case TypeKind::bytes:
                return std::string(column.values<std::string_view>()[row]);
            case TypeKind::null:
                return "null";
            case TypeKind::list: {
                const ListSpan span = column.values<ListSpan>()[row];
                std::string text = "[";
                for (std::uint32_t i = 0; i < span.size; ++i) {
                    text += (i > 0 ? ", " : "") + shown(*column.elements(), span.begin + i);
                }
                return text + "]";
            }
            default:
                return fmt::format("{}", column.values<std::int64_t>()[row]);
        }
    }
};

}  // namespace takt
