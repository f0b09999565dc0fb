#include "sources/decode/flatbuffers_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/unit/sources/decode/decoded.h"

namespace takt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string bytes_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

constexpr std::string_view kAttributes =
    "attribute \"decimal\"; attribute \"timestamp\"; attribute \"duration\"; attribute \"mandatory\";\n";

/// What `takt` reads from a schema text, by way of flatc.
Result<std::shared_ptr<const RecordSchema>> compiled(std::string_view text) {
    const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "takt_schema_test";
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "s.fbs") << kAttributes << text;
    const std::string command =
        fmt::format("flatc --binary --schema --bfbs-builtins -o {0} {0}/s.fbs > {0}/flatc.log 2>&1", folder.string());
    EXPECT_EQ(std::system(command.c_str()), 0) << bytes_of(folder / "flatc.log");
    return load_bfbs((folder / "s.bfbs").string());
}

std::vector<std::string> breaks(std::string_view old_text, std::string_view new_text) {
    const auto old_schema = compiled(old_text);
    const auto new_schema = compiled(new_text);
    std::vector<std::string> result;
    for (const SchemaBreak& found : check_evolution(**old_schema, **new_schema)) {
        result.push_back(fmt::format("{} {}: {}", found.code, found.field, found.message));
    }
    return result;
}

TEST(FlatBuffersSchema, TheCommittedBinaryIsWhatFlatcMakesOfTheText) {
    EXPECT_EQ(bytes_of(TAKT_SOURCE_DIR "/schemas/event.bfbs"), bytes_of(TAKT_BINARY_DIR "/schemas/event.bfbs"));
}

TEST(FlatBuffersSchema, TheBuiltInEventHasTheTypesOfTheDomain) {
    const auto schema = event_schema();
    ASSERT_NE(schema, nullptr);
    EXPECT_EQ(schema->name, "Event");
    std::string text;
    for (const RecordField& field : schema->fields) {
        text += fmt::format("{}:{}{} ", field.field.name, to_string(field.field.type), field.field.required ? "!" : "");
    }
    EXPECT_EQ(
        text,
        "event_id:string! kind:enum EventKind! event_time:timestamp! recorded_time:timestamp plant:string area:string "
        "work_center:string order_id:string operation:string material:string revision:string lot:string "
        "quantity:decimal(6) unit:string value:double status:string reason:string operator_id:string "
        "corrects:string ");
    EXPECT_TRUE(schema->find("kind")->zero_is_absent);
    EXPECT_EQ(schema->find("kind")->field.type.enumeration->find("lot_status")->value, 11);
}

TEST(FlatBuffersSchema, ReadsEveryScalarVectorAndAttribute) {
    const auto schema = compiled(
        "enum E : short { a = -1, b = 5 } enum F : ubyte (bit_flags) { x, y } struct P { x: int; } table N { i: int; } "
        "union U { N }"
        "table T { a: bool; b: byte; c: ubyte; d: short; e: ushort; f: int; g: uint; h: long; i: ulong; j: float; k: "
        "double;"
        " l: string (required); m: [ubyte]; n: [int]; o: [string]; p: E = b; q: F; r: int (decimal: 3); s: long "
        "(duration);"
        " t: P; u: N; v: U; w: [N]; x: int (deprecated); y: [E]; z: [long] (decimal: 2); } root_type T;");
    ASSERT_TRUE(schema.ok()) << schema.error().text();
    std::string text;
    for (const RecordField& field : (*schema)->fields)
        text += fmt::format("{}:{} ", field.field.name, to_string(field.field.type));
    EXPECT_EQ(
        text,
        "a:bool b:int c:uint d:int e:uint f:int g:uint h:int i:uint j:double k:double l:string m:bytes n:list(int) "
        "o:list(string) p:enum E q:uint r:decimal(3) s:duration y:list(enum E) z:list(decimal(2)) ");
    EXPECT_TRUE((*schema)->find("l")->field.required);
    EXPECT_THAT(
        (*schema)->notes,
        ElementsAre("field 't' is a table or struct: it is not read", "field 'u' is a table or struct: it is not read",
                    "field 'v_type' is a union's tag: it is not read", "field 'v' is a union: it is not read",
                    "field 'w' is a vector of tables, structs or unions: it is not read"));
}

TEST(FlatBuffersSchema, RefusesWhatIsNoSchemaAndAttributesThatDoNotFit) {
    EXPECT_THAT(load_bfbs("/nowhere/x.bfbs").error().text(), HasSubstr("C310: cannot read schema '/nowhere/x.bfbs'"));
    EXPECT_THAT(parse_bfbs("", "x").error().text(), HasSubstr("C311: x is no binary FlatBuffers schema"));
    const std::string good = bytes_of(TAKT_SOURCE_DIR "/schemas/event.bfbs");
    EXPECT_FALSE(parse_bfbs(good.substr(0, good.size() / 2), "x").ok());
    EXPECT_THAT(compiled("table T { a: string (decimal: 2); } root_type T;").error().text(),
                HasSubstr("field 'a': 'decimal' goes with integers only"));
    EXPECT_THAT(compiled("table T { a: long (decimal: 19); } root_type T;").error().text(),
                HasSubstr("a number from 0 to 18, not '19'"));
    EXPECT_THAT(compiled("table T { a: int (timestamp); } root_type T;").error().text(),
                HasSubstr("'timestamp' goes with long only"));
    EXPECT_THAT(compiled("table T { a: int; }").error().text(), HasSubstr("names no root_type"));
}

TEST(FlatBuffersSchema, EveryMutilatedSchemaIsReadOrRefused) {
    const std::string good = bytes_of(TAKT_SOURCE_DIR "/schemas/event.bfbs");
    std::size_t refused = 0;
    for (std::size_t at = 0; at < good.size(); ++at) {
        std::string broken = good;
        broken[at] = static_cast<char>(broken[at] ^ 0x55);
        refused += parse_bfbs(broken, "x").ok() ? 0u : 1u;
    }
    EXPECT_GT(refused, 100u);
}

TEST(SchemaEvolution, AddedFieldsAndEnumValuesAreFine) {
    EXPECT_THAT(
        breaks("enum K : ubyte { unknown, a } table T { k: K; q: long (decimal: 6); } root_type T;",
               "enum K : ubyte { unknown, a, b } table T { k: K; q: long (decimal: 6); n: string; } root_type T;"),
        ElementsAre());
}

TEST(SchemaEvolution, NamesEachBrokenField) {
    const std::string_view old_text =
        "enum K : ubyte { unknown, a, b } table T { k: K (id: 0); q: long (decimal: 6, id: 1); s: string (mandatory, "
        "id: 2);"
        " gone: string (id: 3); t: int = 1 (id: 4); } root_type T;";
    EXPECT_THAT(
        breaks(
            old_text,
            "enum K : ubyte { unknown, b, c } table T { k: K (id: 0); q: long (decimal: 3, id: 1); s2: string (id: 2);"
            " other: int (id: 3); t: int = 2 (id: 4); must: string (id: 5, mandatory); } root_type T;"),
        ElementsAre("C324 k: value 1 of enum K was 'a' and is now 'b'",
                    "C324 k: value 'b' of enum K was 2 and is now 1",
                    "C320 q: type was 'long (decimal: 6)' and is now 'long (decimal: 3)'",
                    "C322 s: is mandatory and was removed",
                    "C321 s: id 2 was 's' and is used again by 's2'; mark the old field deprecated instead",
                    "C321 gone: id 3 was 'gone' and is used again by 'other'; mark the old field deprecated instead",
                    "C320 t: default was '1' and is now '2': messages that leave it out change their meaning",
                    "C323 must: is new and mandatory: every older message lacks it"));
}

TEST(SchemaEvolution, NamesMovedIdsAndChangedTypes) {
    EXPECT_THAT(breaks("table T { a: int; b: string; c: long; } root_type T;",
                       "table T { b: string; c: long (timestamp); } root_type T;"),
                ElementsAre("C321 b: id was 1 and is now 0", "C320 c: type was 'long' and is now 'long (timestamp)'",
                            "C321 c: id was 2 and is now 1"));
}

}  // namespace
}  // namespace takt
