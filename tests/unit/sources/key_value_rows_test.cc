#include "sources/key_value_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace takt {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::SizeIs;

constexpr Timestamp kMay = 1'777'593'600 * kSecond;  // 2026-05-01T00:00:00Z

TableSpec prices() {
    TableSpec spec;
    spec.name = "prices";
    spec.key = {"material"};
    spec.valid_from = "valid_from";
    spec.fields = {{"price", Type::decimal(4)}, {"category", Type::of(TypeKind::string)}};
    spec.other_columns = true;
    return spec;
}

TableSpec units() {
    TableSpec spec;
    spec.name = "units";
    spec.key = {"material", "unit"};
    spec.fields = {{"factor", Type::of(TypeKind::int64)}, {"exact", Type::of(TypeKind::boolean)}};
    return spec;
}

TableChange put(std::string key, std::string value) {
    return {.key = std::move(key), .revision = 7, .value = std::move(value)};
}

std::vector<TableUpdate> read(const KeyValueRows& rows, const TableChange& change) {
    Result<std::vector<TableUpdate>> updates = rows.read(change);
    if (updates) return *updates;
    ADD_FAILURE() << updates.error().text();
    return {};
}

std::string refusal(const KeyValueRows& rows, const TableChange& change) {
    const Result<std::vector<TableUpdate>> updates = rows.read(change);
    return updates ? "no mistake" : updates.error().text();
}

std::string refusal_of_value(std::string value) {
    return refusal(KeyValueRows(prices(), "prices.", "bucket MASTER"), put("prices.PUMP", std::move(value)));
}

TEST(KeyValueRows, AnObjectIsTheOneRowOfItsKey) {
    const KeyValueRows rows(prices(), "prices.", "bucket MASTER");
    const auto updates =
        read(rows, put("prices.PUMP", R"({"price":9.2200,"category":"finished","valid_from":"2026-05-01T00:00:00Z"})"));
    ASSERT_THAT(updates, SizeIs(2));
    EXPECT_TRUE(updates[0].erase) << "what the key had before goes";
    EXPECT_FALSE(updates[0].valid_from) << "all of it";
    EXPECT_THAT(updates[0].key, ElementsAre("PUMP"));
    EXPECT_FALSE(updates[1].erase);
    EXPECT_THAT(updates[1].key, ElementsAre("PUMP"));
    EXPECT_EQ(updates[1].valid_from, kMay);
    EXPECT_THAT(updates[1].values, ElementsAre(Pair("price", "9.2200"), Pair("category", "finished")));
    EXPECT_EQ(updates[1].place, "bucket MASTER, key prices.PUMP, revision 7");
}

TEST(KeyValueRows, AListIsTheWholeHistoryOfItsKey) {
    const KeyValueRows rows(prices(), "prices.", "bucket MASTER");
    const auto updates = read(rows, put("prices.PUMP", R"([
        {"valid_from":"2026-05-01T00:00:00Z","price":"2","category":null},
        {"valid_from":"2026-05-01T02:00:00+01:00","price":1e1,"category":""} ])"));
    ASSERT_THAT(updates, SizeIs(3));
    EXPECT_EQ(updates[1].valid_from, kMay);
    EXPECT_EQ(updates[2].valid_from, kMay + kHour);
    EXPECT_THAT(updates[1].values, ElementsAre(Pair("price", "2"), Pair("category", ""))) << "null is absent";
    EXPECT_THAT(updates[2].values, ElementsAre(Pair("price", "1e1"), Pair("category", "")));
    EXPECT_THAT(read(rows, put("prices.PUMP", "[]")), SizeIs(1)) << "no rows: the key has none any more";
}

TEST(KeyValueRows, OtherMembersAreLeftAlone) {
    const KeyValueRows rows(prices(), "prices.", "bucket MASTER");
    const auto updates = read(rows, put("prices.PUMP", R"({"note":{"price":[1,{"price":2}]},"price":1,"price ":3,
        "category":"caf\u00e9 \"x\"","valid_from":"2026-05-01T00:00:00Z","material":"PUMP"})"));
    ASSERT_THAT(updates, SizeIs(2));
    EXPECT_THAT(updates[1].values, ElementsAre(Pair("price", "1"), Pair("category", "café \"x\"")));
}

TEST(KeyValueRows, ADeletedEntryErasesItsKey) {
    const KeyValueRows rows(prices(), "prices.", "bucket MASTER");
    for (const auto operation : {TableChange::Operation::remove, TableChange::Operation::gone}) {
        TableChange change = put("prices.PUMP", "");
        change.operation = operation;
        const auto updates = read(rows, change);
        ASSERT_THAT(updates, SizeIs(1));
        EXPECT_TRUE(updates[0].erase);
        change.key = "prices.a key that never was a row";
        EXPECT_THAT(read(rows, change), SizeIs(0));
    }
}

TEST(KeyValueRows, EveryKeyHasOneSpelling) {
    const KeyValueRows rows(units(), "units.", "bucket MASTER");
    for (const std::vector<std::string>& key :
         {std::vector<std::string>{"*", "box"}, {"FG PUMP/1", "m\xC3\xBC"}, {"a.b", "="}, {"-_", "\n"}}) {
        const auto updates = read(rows, put(rows.entry_key(key), R"({"factor":12,"exact":true})"));
        ASSERT_THAT(updates, SizeIs(2)) << rows.entry_key(key);
        EXPECT_EQ(updates[1].key, key);
    }
    EXPECT_EQ(rows.entry_key({"*", "FG/1.5 ü"}), "units.=2A.FG/1=2E5=20=C3=BC");
    for (const char* key : {"units.a", "units.a.b.c", "units.a.", "units.a.b=2", "units.a.=2f", "units.a.=41",
                            "units.a.b=2F", "units.a.b c", "units.a.=C3", "unit.a.b"}) {
        EXPECT_THAT(refusal(rows, put(key, R"({"factor":12,"exact":true})")),
                    AllOf(HasSubstr("D406: bucket MASTER, key "), HasSubstr("revision 7: ")))
            << key;
    }
    EXPECT_THAT(refusal(rows, put("units.a.b.c", "{}")), HasSubstr("3 parts after 'units.'"));
}

TEST(KeyValueRows, AValueThatIsNoRowIsRefusedWithItsPlace) {
    EXPECT_THAT(refusal_of_value("9.22"), HasSubstr("D406: bucket MASTER, key prices.PUMP, revision 7: expected a JSON "
                                                    "object or a list of such, found a number"));
    EXPECT_THAT(refusal_of_value(""), HasSubstr("found nothing"));
    EXPECT_THAT(refusal_of_value("\xFF"), HasSubstr("D406"));
    EXPECT_THAT(refusal_of_value(R"({"price":1)"), HasSubstr("D406"));
    EXPECT_THAT(refusal_of_value(R"({"price":1,})"), HasSubstr("no JSON at byte 12"));
    EXPECT_THAT(refusal_of_value(R"({"price":01})"), HasSubstr("D406"));
    EXPECT_THAT(refusal_of_value(R"({"price":1,"category":"a","valid_from":"2026-05-01T00:00:00Z"} x)"),
                HasSubstr("something after the value"));
    EXPECT_THAT(refusal_of_value(R"({"price":1,"price":1})"), HasSubstr("'price' stands twice"));
    EXPECT_THAT(refusal_of_value(R"({"material":"VALVE"})"),
                HasSubstr("'material' is 'VALVE', but the entry's key says 'PUMP'"));
    EXPECT_THAT(refusal_of_value(R"({"category":"a\u0000"})"), HasSubstr("U+0000"));
    EXPECT_THAT(refusal_of_value(R"([{"price":1,"category":"a","valid_from":"2026-05-01T00:00:00Z"},
                                    {"price":2,"category":"a","valid_from":"2026-05-01T02:00:00+02:00"}])"),
                HasSubstr("two rows with 'valid_from' 2026-05-01T00:00:00Z"));
    const KeyValueRows timeless(units(), "", "bucket MASTER");
    EXPECT_THAT(refusal(timeless, put("a.b", R"([{"factor":1,"exact":true},{"factor":1,"exact":true}])")),
                HasSubstr("2 rows for one key"));
}

TEST(KeyValueRows, WhateverTheBytesAreTheyAreRowsOrRefused) {
    const KeyValueRows rows(prices(), "prices.", "bucket MASTER");
    const std::string good = R"([{"valid_from":"2026-05-01T00:00:00Z","price":-1.50e2,"category":"caf\u00e9"},)"
                             R"( {"valid_from":"2026-06-01T00:00:00Z","price":"7","category":null,"x":[{},[true]]}])";
    std::mt19937 random(7);
    std::size_t accepted = 0;
    for (int round = 0; round < 50'000; ++round) {
        std::string value = good;
        for (std::size_t edits = 1 + random() % 3; edits > 0; --edits) {
            const std::size_t at = random() % value.size();
            switch (random() % 3) {
                case 0:
                    value[at] = static_cast<char>(random());
                    break;
                case 1:
                    value.erase(at, 1 + random() % 8);
                    break;
                default:
                    value.insert(at, 1, "{}[]\",:0\\"[random() % 9]);
            }
            if (value.empty()) break;
        }
        // Of its own size on the heap, so that a sanitizer sees a byte too many.
        const TableChange change = put("prices.PUMP", std::string(value.begin(), value.end()));
        const Result<std::vector<TableUpdate>> updates = rows.read(change);
        accepted += updates.ok() ? 1 : 0;
        EXPECT_THAT(updates ? "D406" : updates.error().code, testing::AnyOf("D404", "D406"));
    }
    EXPECT_GT(accepted, 100u) << "some edits change only what a text says";
    EXPECT_LT(accepted, 25'000u);
}

TEST(KeyValueRows, AColumnThatIsMissingOrOfAnotherTypeIsRefused) {
    EXPECT_THAT(refusal_of_value(R"({"price":1,"valid_from":"2026-05-01T00:00:00Z"})"),
                HasSubstr("D404: bucket MASTER, key prices.PUMP, revision 7: column 'category' is missing"));
    EXPECT_THAT(refusal_of_value(R"({"price":1,"category":"a"})"), HasSubstr("column 'valid_from' is missing"));
    EXPECT_THAT(refusal_of_value(R"({"price":1,"category":"a","valid_from":null})"), HasSubstr("D404"));
    EXPECT_THAT(refusal_of_value(R"({"price":1,"category":"a","valid_from":"2026-05-01"})"), HasSubstr("with zone"));
    EXPECT_THAT(refusal_of_value(R"({"price":1,"category":"a","valid_from":1777593600})"),
                HasSubstr("'valid_from' is a number: expected a text in quotes"));
    EXPECT_THAT(refusal_of_value(R"({"price":true})"), HasSubstr("'price' is a boolean: expected a number"));
    EXPECT_THAT(refusal_of_value(R"({"category":7})"), HasSubstr("'category' is a number: expected a text in quotes"));
    const KeyValueRows timeless(units(), "", "bucket MASTER");
    EXPECT_THAT(refusal(timeless, put("a.b", R"({"factor":1,"exact":"true"})")),
                HasSubstr("'exact' is a string: expected true or false"));
    EXPECT_THAT(refusal(timeless, put("a.b", R"({"factor":{"is":1},"exact":true})")),
                HasSubstr("'factor' is an object: expected a number"));
}

}  // namespace
}  // namespace takt
