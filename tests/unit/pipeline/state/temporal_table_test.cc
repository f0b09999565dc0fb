#include "pipeline/state/temporal_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "pipeline/base/decimal.h"
#include "tests/unit/pipeline/state/instant.h"

namespace takt {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

using TablePointer = std::shared_ptr<const TemporalTable>;

TableSpec materials_spec() {
    return {.name = "materials",
            .key = {"material"},
            .valid_from = "valid_from",
            .fields = {{"category", Type::of(TypeKind::string)}, {"standard_cost", Type::decimal(6), true}}};
}

TableSpec units_spec() {
    return {.name = "units",
            .key = {"material", "unit"},
            .fields = {{"numerator", Type::of(TypeKind::int64), true}},
            .fallbacks = {{.part = 0}}};
}

Result<TablePointer> table_of(TableSpec spec, std::string csv) {
    Result<CsvTable> parsed = parse_csv("t.csv", std::move(csv));
    if (!parsed.ok()) return parsed.error();
    TableBuilder builder(std::move(spec));
    if (Status status = builder.add(*parsed); !status.ok()) return status.error();
    return builder.build();
}

std::string refusal(TableSpec spec, std::string csv) {
    const Result<TablePointer> table = table_of(std::move(spec), std::move(csv));
    return table.ok() ? "accepted" : table.error().text();
}

/// The row's value of a column as text; "-" when no row was found, "?" when the value is absent.
std::string value(const TablePointer& table, std::string_view column, std::initializer_list<std::string_view> key,
                  Timestamp time = 0) {
    const std::int32_t row = table->find(std::span(key.begin(), key.size()), time);
    if (row == TemporalTable::kNoRow) return "-";
    const Column& values = table->column(static_cast<std::size_t>(table->find_column(column)));
    if (!values.valid().test(static_cast<std::uint32_t>(row))) return "?";
    switch (values.type().kind) {
        case TypeKind::string:
            return std::string(values.values<std::string_view>()[row]);
        case TypeKind::decimal:
            return format_decimal(values.values<Int128>()[row], values.type().scale);
        case TypeKind::boolean:
            return values.values<std::uint8_t>()[row] != 0 ? "true" : "false";
        default:
            return std::to_string(values.values<std::int64_t>()[row]);
    }
}

const char* const kMaterials =
    "standard_cost,material,valid_from,category\n"
    "2.5,RM,2026-05-12T08:00:00+02:00,raw\n"
    "1.25,RM,2026-01-01T00:00:00Z,raw\n"
    "9,FG,2026-01-01T00:00:00Z,\n";

TEST(TemporalTable, ARowHoldsFromItsInstantUntilTheNextOfItsKey) {
    const Result<TablePointer> table = table_of(materials_spec(), kMaterials);
    ASSERT_TRUE(table.ok()) << table.error().text();
    EXPECT_EQ(value(*table, "standard_cost", {"RM"}, at("2025-12-31T23:59:59.999999999Z")), "-");
    EXPECT_EQ(value(*table, "standard_cost", {"RM"}, at("2026-01-01T00:00:00Z")), "1.250000");
    EXPECT_EQ(value(*table, "standard_cost", {"RM"}, at("2026-05-12T05:59:59.999999999Z")), "1.250000");
    EXPECT_EQ(value(*table, "standard_cost", {"RM"}, at("2026-05-12T06:00:00Z")), "2.500000");
    EXPECT_EQ(value(*table, "standard_cost", {"RM"}, kEndOfTime), "2.500000");
    EXPECT_EQ(value(*table, "standard_cost", {"rm"}, kEndOfTime), "-");
}

TEST(TemporalTable, AnEmptyCellIsAbsent) {
    const Result<TablePointer> table = table_of(materials_spec(), kMaterials);
    ASSERT_TRUE(table.ok()) << table.error().text();
    EXPECT_EQ(value(*table, "category", {"FG"}, kEndOfTime), "?");
    EXPECT_EQ(value(*table, "category", {"RM"}, kEndOfTime), "raw");
}

TEST(TemporalTable, TheOwnRowWinsOverTheOneForAll) {
    const Result<TablePointer> table = table_of(
        units_spec(), "material,unit,numerator\n*,dozen,12\nSHAFT,dozen,13\nSHAFT,box,7\n*,,1\n" + std::string());
    EXPECT_FALSE(table.ok());  // a part of the key is missing
    const Result<TablePointer> good =
        table_of(units_spec(), "material,unit,numerator\n*,dozen,12\nSHAFT,dozen,13\nSHAFT,box,7\n");
    ASSERT_TRUE(good.ok()) << good.error().text();
    EXPECT_EQ(value(*good, "numerator", {"SHAFT", "dozen"}), "13");
    EXPECT_EQ(value(*good, "numerator", {"PUMP", "dozen"}), "12");
    EXPECT_EQ(value(*good, "numerator", {"", "dozen"}), "12");
    EXPECT_EQ(value(*good, "numerator", {"PUMP", "box"}), "-");
    // The border between the parts counts.
    EXPECT_EQ(value(*good, "numerator", {"SHAFTd", "ozen"}), "-");
}

TEST(TemporalTable, FallsBackWhereTheOwnRowDoesNotHoldYet) {
    TableSpec spec = units_spec();
    spec.valid_from = "from";
    const Result<TablePointer> table = table_of(
        spec, "material,unit,from,numerator\n*,box,2026-01-01T00:00:00Z,10\nPUMP,box,2026-06-01T00:00:00Z,24\n");
    ASSERT_TRUE(table.ok()) << table.error().text();
    EXPECT_EQ(value(*table, "numerator", {"PUMP", "box"}, at("2026-05-31T23:59:59Z")), "10");
    EXPECT_EQ(value(*table, "numerator", {"PUMP", "box"}, at("2026-06-01T00:00:00Z")), "24");
}

TEST(TemporalTable, ReportsEveryMistakeWithItsPlace) {
    EXPECT_EQ(
        refusal(materials_spec(),
                "material,valid_from,category,standard_cost\nA,2026-01-01,raw,1\nB,2026-01-01T00:00:00Z,raw,\n"
                "C,2026-01-01T00:00:00Z,raw,1.2345678\n,2026-01-01T00:00:00Z,raw,1\n"),
        "D404: t.csv:2:3: 'valid_from' is '2026-01-01': expected a time with zone such as 2026-05-12T06:00:00Z\n"
        "t.csv:3:28: 'standard_cost' is empty: expected a number such as 12.5, with up to 6 digits after the point\n"
        "t.csv:4:28: 'standard_cost' is '1.2345678': expected a number such as 12.5, with up to 6 digits after the "
        "point\n"
        "t.csv:5:1: 'material' is empty: expected string");
    EXPECT_EQ(refusal(units_spec(), "material,unit,numerator\nA,x,1.0\n"),
              "D404: t.csv:2:5: 'numerator' is '1.0': expected an integer such as 24");
    EXPECT_EQ(refusal(units_spec(), "material,numerator,unti\nA,1,x\n"),
              "C403: t.csv:1:1: column 'unit' of table 'units' is missing: the header has material, numerator, unti\n"
              "t.csv:1:1: column 'unti' is not known in table 'units': expected material, unit, numerator");
}

TEST(TemporalTable, RefusesTwoRowsOfOneKeyAndInstant) {
    EXPECT_EQ(
        refusal(materials_spec(),
                "material,valid_from,category,standard_cost\nA,2026-01-01T01:00:00+01:00,raw,1\n"
                "B,2026-01-01T00:00:00Z,raw,1\nA,2026-01-01T00:00:00Z,raw,2\n"),
        "D405: t.csv:4:1: a second row for material 'A', valid_from 2026-01-01T00:00:00Z: the first is in t.csv:2");
    EXPECT_THAT(refusal(units_spec(), "material,unit,numerator\nA,x,1\nA,x,1\n"), StartsWith("D405: t.csv:3:1: "));
}

TEST(TemporalTable, OtherColumnsAreLetStandOnRequest) {
    TableSpec spec = units_spec();
    spec.other_columns = true;
    EXPECT_EQ(refusal(spec, "material,unit,numerator,note\nA,x,1,hello\n"), "accepted");
    EXPECT_THAT(refusal(units_spec(), "material,unit,numerator,note\nA,x,1,hello\n"),
                HasSubstr("column 'note' is not known"));
}

TEST(TemporalTable, ReadsEveryType) {
    const Result<TablePointer> table = table_of({.name = "t",
                                                 .key = {"k"},
                                                 .fields = {{"b", Type::of(TypeKind::boolean)},
                                                            {"i", Type::of(TypeKind::int64)},
                                                            {"t", Type::of(TypeKind::timestamp)},
                                                            {"d", Type::of(TypeKind::duration)}}},
                                                "k,b,i,t,d\nx,true,-9223372036854775808,1970-01-01T00:00:01Z,1m\n");
    ASSERT_TRUE(table.ok()) << table.error().text();
    EXPECT_EQ(value(*table, "b", {"x"}), "true");
    EXPECT_EQ(value(*table, "i", {"x"}), "-9223372036854775808");
    EXPECT_EQ(value(*table, "t", {"x"}), "1000000000");
    EXPECT_EQ(value(*table, "d", {"x"}), "60000000000");
}

TEST(TemporalTable, ABatchFindsWhatSingleLookupsFind) {
    // Many keys with rows at random instants; the answer by a plain search over all rows.
    std::mt19937_64 random(7);
    struct Plain {
        std::string key;
        Timestamp from;
        std::int64_t value;
    };
    std::vector<Plain> plain;
    std::string csv = "material,valid_from,n\n";
    TableSpec spec{.name = "t",
                   .key = {"material"},
                   .valid_from = "valid_from",
                   .fields = {{"n", Type::of(TypeKind::int64)}},
                   .fallbacks = {{.part = 0}}};
    for (std::int64_t i = 0; i < 3000; ++i) {
        const std::string key = i % 50 == 0 ? "*" : fmt::format("M-{}", random() % 400);
        const auto from = static_cast<Timestamp>((static_cast<std::int64_t>(random() % 100'000) * 1000 + i) * kSecond);
        plain.push_back({key, from, i});
        csv += fmt::format("{},{},{}\n", key, format_timestamp(from), i);
    }
    const Result<TablePointer> table = table_of(spec, csv);
    ASSERT_TRUE(table.ok()) << table.error().text();

    std::vector<std::string> keys;
    std::vector<Timestamp> times;
    Selection selection;
    for (std::uint32_t row = 0; row < kBatchRows; ++row) {
        keys.push_back(fmt::format("M-{}", random() % 410));
        times.push_back(static_cast<Timestamp>(random() % 100'000'000) * kSecond);
        if (row % 3 != 0) selection.push_back(static_cast<Row>(row));
    }
    const std::vector<std::string_view> views(keys.begin(), keys.end());
    std::vector<std::int32_t> rows(kBatchRows, -2);
    const KeyPart part{views.data()};
    (*table)->find(std::span(&part, 1), times.data(), selection, rows.data());
    Column gathered(Type::of(TypeKind::int64));
    gathered.reset(kBatchRows);
    (*table)->gather(static_cast<std::size_t>((*table)->find_column("n")), rows.data(), selection, gathered);

    std::size_t missing = 0;
    for (const Row row : selection) {
        const auto search = [&](const std::string& key) {
            const Plain* best = nullptr;
            for (const Plain& candidate : plain)
                if (candidate.key == key && candidate.from <= times[row] &&
                    (best == nullptr || candidate.from > best->from))
                    best = &candidate;
            return best;
        };
        const Plain* expected = search(keys[row]);
        if (expected == nullptr) expected = search("*");
        EXPECT_EQ(gathered.valid().test(row), expected != nullptr);
        EXPECT_EQ(gathered.values<std::int64_t>()[row], expected == nullptr ? 0 : expected->value);
        missing += expected == nullptr;
        EXPECT_EQ(rows[row], (*table)->find(std::span(&views[row], 1), times[row]));
    }
    EXPECT_EQ(rows[0], -2) << "rows that are not selected stay as they are";
    EXPECT_GT(selection.size(), missing);
}

TEST(TemporalTable, AConstantPartOfTheKeyHoldsForAllRows) {
    const Result<TablePointer> table = table_of(units_spec(), "material,unit,numerator\nA,x,1\nB,x,2\n");
    ASSERT_TRUE(table.ok());
    const std::vector<std::string_view> materials{"B", "A"};
    const std::string_view unit = "x";
    const std::array<KeyPart, 2> key{KeyPart{materials.data()}, KeyPart{&unit, 0}};
    Selection all;
    all.assign_all(2);
    std::array<std::int32_t, 2> rows{};
    (*table)->find(key, nullptr, all, rows.data());
    const std::int64_t* values = (*table)->column(2).values<std::int64_t>();
    EXPECT_EQ(values[rows[0]], 2);
    EXPECT_EQ(values[rows[1]], 1);
}

TEST(TemporalTable, AnEmptyTableFindsNothing) {
    const Result<TablePointer> table = table_of(units_spec(), "material,unit,numerator\n");
    ASSERT_TRUE(table.ok()) << table.error().text();
    EXPECT_EQ(value(*table, "numerator", {"A", "x"}), "-");
}

TEST(TemporalTable, AnUpdateMakesANewSnapshotAndLeavesTheOldOne) {
    const Result<TablePointer> before = table_of(materials_spec(), kMaterials);
    ASSERT_TRUE(before.ok());
    const std::vector<TableUpdate> updates{
        {.key = {"RM"},
         .valid_from = at("2026-01-01T00:00:00Z"),
         .values = {{"category", "raw"}, {"standard_cost", "7"}}},
        {.key = {"NEW"}, .valid_from = at("2026-01-01T00:00:00Z"), .values = {{"standard_cost", "1"}}},
        {.key = {"RM"}, .valid_from = at("2026-05-12T06:00:00Z"), .erase = true},
        {.key = {"FG"}, .erase = true},
        {.key = {"FG"}, .valid_from = at("2026-07-01T00:00:00Z"), .values = {{"standard_cost", "3"}}},
    };
    const Result<TablePointer> after = updated(**before, updates);
    ASSERT_TRUE(after.ok()) << after.error().text();
    EXPECT_EQ(value(*after, "standard_cost", {"RM"}, kEndOfTime), "7.000000");
    EXPECT_EQ(value(*after, "category", {"RM"}, kEndOfTime), "raw");
    EXPECT_EQ(value(*after, "category", {"NEW"}, kEndOfTime), "?");
    EXPECT_EQ(value(*after, "standard_cost", {"FG"}, at("2026-06-01T00:00:00Z")), "-");
    EXPECT_EQ(value(*after, "standard_cost", {"FG"}, kEndOfTime), "3.000000");
    EXPECT_EQ((*after)->rows(), 3U);
    EXPECT_EQ(value(*before, "standard_cost", {"RM"}, kEndOfTime), "2.500000");
    EXPECT_EQ((*before)->rows(), 3U);
}

TEST(TemporalTable, ABadUpdateSaysWhereItCameFrom) {
    const Result<TablePointer> table = table_of(materials_spec(), kMaterials);
    ASSERT_TRUE(table.ok());
    const auto refused = [&](TableUpdate update) {
        update.place = "bucket MASTER, key RM";
        const Result<TablePointer> after = updated(**table, std::span(&update, 1));
        return after.ok() ? "accepted" : after.error().text();
    };
    const Timestamp from = at("2026-01-01T00:00:00Z");
    EXPECT_THAT(refused({.key = {"RM"}, .valid_from = from, .values = {{"standard_cost", "x"}}}),
                StartsWith("D404: bucket MASTER, key RM: 'standard_cost' is 'x': expected a number"));
    EXPECT_THAT(refused({.key = {"RM"}, .valid_from = from, .values = {{"category", "raw"}}}),
                HasSubstr("'standard_cost' is missing"));
    EXPECT_THAT(refused({.key = {"RM"}, .values = {{"standard_cost", "1"}}}), HasSubstr("no 'valid_from'"));
    EXPECT_THAT(refused({.key = {"RM"}, .valid_from = from, .values = {{"standard_cost", "1"}, {"cots", "1"}}}),
                HasSubstr("C403: bucket MASTER, key RM: column 'cots' is not known"));
    EXPECT_THAT(refused({.key = {"RM", "x"}, .valid_from = from}), HasSubstr("a key of 2 parts: expected 1"));
}

}  // namespace
}  // namespace takt
