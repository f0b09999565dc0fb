#include "sources/decode/json_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "tests/unit/sources/decode/decoded.h"

namespace takt {
namespace {

constexpr std::string_view kHead = R"({"event_id":"a","kind":"produced","event_time":"2026-05-12T12:00:00Z")";

Decoded decode_json(const std::vector<std::string>& lines, const std::vector<std::string>& names = {},
                    std::shared_ptr<const RecordSchema> schema = event_schema()) {
    const Layout layout = layout_of(*schema, names);
    auto decoder = make_json_decoder(schema, layout, {.event_time = layout.find("event_time")});
    EXPECT_TRUE(decoder.ok());
    return decode_all(**decoder, layout, block_of(lines));
}

/// A good event with more members behind.
std::string event(std::string_view more) {
    return fmt::format("{}{}{}}}", kHead, more.empty() ? "" : ",", more);
}

/// "" when the event with these members is read, else why not.
std::string refusal(std::string_view more) {
    const Decoded decoded = decode_json({event(more)});
    return decoded.malformed(0) ? decoded.reject_text(0) : "";
}

TEST(JsonDecoder, ReadsEveryFieldOfTheBuiltInSchema) {
    const Decoded decoded = decode_json({event(R"("quantity":"1.50","value":2.5,"lot":"L1","plant":null,"unit":"")")});
    ASSERT_EQ(decoded.rows(), 1u);
    EXPECT_EQ(
        decoded.show(0),
        "event_id='a' kind=4 event_time=1778587200000000000 recorded_time=- plant=- area=- work_center=- order_id=- "
        "operation=- material=- revision=- lot='L1' quantity=1500000d6 unit=- value=2.5 status=- reason=- "
        "operator_id=- corrects=-");
    EXPECT_EQ(decoded.batches[0]->event_time[0], 1778587200000000000);
}

TEST(JsonDecoder, QuantitiesCountByValueAndExactly) {
    const std::map<std::string, std::string> cases = {
        {"1e3", "1000000000"},
        {"1.5E-2", "15000"},
        {"\"1.5000000\"", "1500000"},
        {"-0.0", "0"},
        {"1000000e-12", "1"},
        {"9223372036854.775807", "9223372036854775807"},
        {"0.1", "100000"},
        {"\"-9223372036854.775808\"", "-9223372036854775808"},
    };
    for (const auto& [written, units] : cases) {
        const Decoded decoded = decode_json({event(fmt::format("\"quantity\":{}", written))}, {"quantity"});
        EXPECT_EQ(decoded.show(0), "quantity=" + units + "d6") << written;
    }
    for (const char* written : {"1.0000001", "1e400", "9223372036854.775808", "\"+1\"", "\" 1\"", "\".5\"", "\"01\"",
                                "01", ".5", "1.", "+1", "NaN", "true", "[1]", "{}", "1e", "-"}) {
        EXPECT_NE(refusal(fmt::format("\"quantity\":{}", written)), "") << written;
    }
}

TEST(JsonDecoder, AFieldOfAnotherTypeIsMalformedAlsoWhereNoColumnUsesIt) {
    const Decoded decoded = decode_json({event(R"("area":1.5)"), event(R"("value":"1.5")"), event(R"("lot":["a"])"),
                                         event(R"("value":true)"), event(R"("value":"")")},
                                        {"event_id"});
    EXPECT_EQ(decoded.reject_text(0), "field 'area': expected a string, found a number");
    EXPECT_EQ(decoded.reject_text(1), "field 'value': expected a number, found a string");
    EXPECT_EQ(decoded.reject_text(2), "field 'lot': expected a string, found a list");
    EXPECT_EQ(decoded.reject_text(3), "field 'value': expected a number, found a boolean");
    EXPECT_EQ(decoded.reject_text(4), "field 'value': expected a number, found a string");
}

TEST(JsonDecoder, AFieldMayStandThereOnceHoweverItsKeyIsWritten) {
    EXPECT_EQ(refusal(R"("lot":"a","lot":"a")"), "field 'lot': stands there twice");
    EXPECT_EQ(refusal(R"("lot":null,"l\u006ft":"a")"), "field 'lot': stands there twice");
    EXPECT_EQ(refusal(R"("x":1,"x":2,"Lot":"a","lot":"b")"), "");
    EXPECT_EQ(decode_json({event(R"("l\u006ft":"b")")}, {"lot"}).text("lot", 0), "b");
}

TEST(JsonDecoder, OtherFieldsAreIgnoredWhateverTheyHoldIfItIsJson) {
    for (const char* held : {R"("\u0000")", R"("\ud800")", "1e400", "-1E999999", R"({"lot":1,"lot":[null,true,{}]})",
                             "[[[]]]", "123456789012345678901234567890", "[ ]", "{ }", "null"}) {
        EXPECT_EQ(refusal(fmt::format("\"x\":{}", held)), "") << held;
    }
    for (const char* held :
         {"01",          "1.",  "nul",      "tru",    "[1,]", "{\"a\"}", "{\"a\":1,}", "[1 2]", "{]",       "\"\\x\"",
          "\"\\u12g4\"", "'a'", "\"a\tb\"", "\"open", "",     "[",       "{",          "--1",   "Infinity", "{1:2}"}) {
        EXPECT_NE(refusal(fmt::format("\"x\":{}", held)), "") << held;
    }
}

/// Whether simdjson's On-Demand walk over the members of a line finds nothing wrong.
bool ondemand_accepts(const std::string& line) {
    simdjson::ondemand::parser parser;
    const simdjson::padded_string padded(line);
    simdjson::ondemand::document document;
    simdjson::ondemand::object object;
    if (parser.iterate(padded).get(document) || document.get_object().get(object)) return false;
    for (auto member : object) {
        simdjson::ondemand::field field;
        if (std::move(member).get(field)) return false;
    }
    return document.current_location().error() == simdjson::OUT_OF_BOUNDS;
}

// Why the walk is ours (docs/decisions/json-walk.md). When the second expectation fails, simdjson has become as strict
// as we must be, and the decision wants a second look.
TEST(JsonDecoder, RefusesWhatSimdjsonsWalkLetsThrough) {
    for (const char* more : {R"("x":nul)", R"("x":NaN)", R"("x":01)", R"("x":1.)", R"("x":+1)", R"("x":"\q")",
                             R"("\q":1)", R"("x":[1 2])", R"("x":[1,])", R"("x":{"a" 1})", R"("x":{1:2})"}) {
        EXPECT_NE(refusal(more), "") << more;
        EXPECT_TRUE(ondemand_accepts(event(more))) << more;
    }
    EXPECT_TRUE(ondemand_accepts(event(R"("x":1)")));
    EXPECT_FALSE(ondemand_accepts(event(R"("x":1,)")));
}

TEST(JsonDecoder, IgnoredFieldsMayNestAsDeepAsALineIsLong) {
    const std::string deep = std::string(400'000, '[') + std::string(400'000, ']');
    EXPECT_EQ(refusal("\"x\":" + deep), "");
    EXPECT_NE(refusal("\"x\":" + deep.substr(1)), "");
}

TEST(JsonDecoder, StringsAreWhatTheirEscapesSay) {
    const Decoded decoded = decode_json({event(R"("lot":"\"\\\/\b\f\n\r\t\u00fc\ud83d\ude00x")")}, {"lot"});
    EXPECT_EQ(decoded.text("lot", 0), "\"\\/\b\f\n\r\t\u00fc\U0001f600x");
    EXPECT_EQ(refusal(R"("lot":"a\u0000")"), "field 'lot': string holds U+0000");
    EXPECT_EQ(refusal(R"("lot":"\ud83d")"), "field 'lot': string holds a lone surrogate");
    EXPECT_EQ(refusal(R"("lot":"\ude00\ud83d")"), "field 'lot': string holds a lone surrogate");
    EXPECT_EQ(refusal(R"("lot":"\ud83d\u0041")"), "field 'lot': string holds a lone surrogate");
}

TEST(JsonDecoder, ControlCharactersAndBrokenUtf8AreFoundAtEveryPlace) {
    for (std::size_t size = 1; size < 20; ++size) {
        for (std::size_t at = 0; at < size; ++at) {
            for (const char bad : {'\x1f', '\x01', '\n', '\0', '\xff', '\x80'}) {
                std::string lot(size, 'x');
                lot[at] = bad;
                EXPECT_NE(refusal("\"lot\":\"" + lot + "\""), "") << size << " " << at << " " << int{bad};
            }
        }
    }
}

TEST(JsonDecoder, MandatoryFieldsAreMissed) {
    const Decoded decoded =
        decode_json({R"({})", R"({"event_id":"a","kind":"unknown","event_time":"2026-05-12T12:00:00Z"})",
                     R"({"event_id":"","kind":"cycle","event_time":"2026-05-12T12:00:00Z"})",
                     R"({"event_id":"a","kind":"cycle","event_time":null})",
                     R"({"event_id":"a","kind":"Cycle","event_time":"2026-05-12T12:00:00Z"})"},
                    {"lot"});
    EXPECT_EQ(decoded.reject_text(0), "field 'event_id': is missing");
    EXPECT_EQ(decoded.reject_text(1), "field 'kind': is 'unknown', which says that it is missing");
    EXPECT_EQ(decoded.reject_text(2), "field 'event_id': is missing");
    EXPECT_EQ(decoded.reject_text(3), "field 'event_time': is missing");
    EXPECT_EQ(decoded.reject_text(4), "field 'kind': is no name of its enumeration");
}

TEST(JsonDecoder, ALineOfBlanksIsNoRowAndEverythingElseIsOne) {
    EXPECT_EQ(decode_json({"", " ", "\t \r", "\r"}).rows(), 0u);
    const std::vector<std::string> lines = {"\v",
                                            "\f",
                                            "\xc2\xa0",
                                            "{",
                                            "}",
                                            "[]",
                                            "null",
                                            "7",
                                            "\xef\xbb\xbf" + event(""),
                                            event("") + event(""),
                                            event("") + ",",
                                            event("") + std::string(1, '\0'),
                                            "# x"};
    const Decoded decoded = decode_json(lines);
    ASSERT_EQ(decoded.rows(), lines.size());
    for (std::size_t row = 0; row < lines.size(); ++row) EXPECT_TRUE(decoded.malformed(row)) << lines[row];
    EXPECT_FALSE(decode_json({" \t" + event("") + " \r"}).malformed(0));
}

TEST(JsonDecoder, LinesUpToOneMebibyteAreRead) {
    const std::string shell = event(R"("lot":"")");
    const auto line = [&](std::size_t size) {
        return event("\"lot\":\"" + std::string(size - shell.size(), 'x') + "\"");
    };
    const Decoded decoded = decode_json({line(kMaxJsonBytes), line(kMaxJsonBytes + 1)}, {"lot"});
    EXPECT_EQ(decoded.text("lot", 0).size(), kMaxJsonBytes - shell.size());
    EXPECT_EQ(decoded.reject_text(1), "the line is longer than 1 MiB");
}

TEST(JsonDecoder, EveryCutOfALineIsOneMalformedRow) {
    const std::string whole = event(R"("quantity":1.5,"lot":"\u00fc","x":[1,{"y":null}],"value":-1e5)");
    std::vector<std::string> cuts;
    for (std::size_t size = 1; size < whole.size(); ++size) cuts.push_back(whole.substr(0, size));
    const Decoded decoded = decode_json(cuts);
    ASSERT_EQ(decoded.rows(), cuts.size());
    for (std::size_t row = 0; row < cuts.size(); ++row) EXPECT_TRUE(decoded.malformed(row)) << cuts[row];
}

TEST(JsonDecoder, KeysInAnotherOrderThanInTheLineBeforeReadTheSame) {
    const Decoded decoded =
        decode_json({event(R"("lot":"1","unit":"2")"), event(R"("unit":"2","lot":"1")"),
                     R"({"lot":"1","event_time":"2026-05-12T12:00:00Z","unit":"2","kind":"produced","event_id":"a"})"});
    EXPECT_EQ(decoded.show(1), decoded.show(0));
    EXPECT_EQ(decoded.show(2), decoded.show(0));
}

TEST(JsonDecoder, ReadsListsAndNumbersOfADeclaredSchema) {
    auto schema =
        std::make_shared<RecordSchema>(make_schema({{"flags", Type::list_of(Type::of(TypeKind::int64)), false},
                                                    {"names", Type::list_of(Type::of(TypeKind::string)), false},
                                                    {"big", Type::of(TypeKind::uint64), false},
                                                    {"on", Type::of(TypeKind::boolean), false},
                                                    {"raw", Type::of(TypeKind::bytes), false},
                                                    {"took", Type::of(TypeKind::duration), false}}));
    const Decoded decoded = decode_json(
        {R"({"flags":[1,2e1],"names":["a",""],"big":18446744073709551615,"on":true,"raw":"YWI=","took":"1h30m"})",
         R"({"flags":[],"big":18446744073709551616})", R"({"flags":[ ],"on":false})", R"({"flags":[3,null]})",
         R"({"flags":[7]})"},
        {}, schema);
    EXPECT_EQ(decoded.show(0),
              "flags=[1,20] names=['a',''] big=18446744073709551615u on=true raw='ab' took=5400000000000");
    EXPECT_TRUE(decoded.malformed(1));
    EXPECT_EQ(decoded.show(2), "flags=[] names=- big=- on=false raw=- took=-");
    EXPECT_TRUE(decoded.malformed(3));
    EXPECT_EQ(decoded.show(4), "flags=[7] names=- big=- on=- raw=- took=-");
}

TEST(JsonDecoder, AgreesWithEveryConformanceCase) {
    const std::filesystem::path folder =
        std::filesystem::path(TAKT_SOURCE_DIR).parent_path() / "shared/conformance/plant";
    if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "no conformance cases at " << folder;
    std::size_t cases = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (!entry.is_directory()) continue;
        ++cases;
        std::set<std::uint64_t> expected;
        std::ifstream dead(entry.path() / "expected/dead_letters.csv");
        for (std::string line; std::getline(dead, line);) {
            if (line.starts_with(",") && line.ends_with(",DECODE")) expected.insert(std::stoull(line.substr(1)));
        }
        std::ifstream file(entry.path() / "events.jsonl", std::ios::binary);
        std::vector<std::string> lines;
        for (std::string line; std::getline(file, line);) lines.push_back(line);
        if (!lines.empty() && lines[0].starts_with("\xef\xbb\xbf")) lines[0].erase(0, 3);
        const Decoded decoded = decode_json(lines, {"event_id", "quantity"});
        std::set<std::uint64_t> malformed;
        for (std::size_t row = 0; row < decoded.rows(); ++row) {
            if (decoded.malformed(row)) malformed.insert(decoded.origin(row).sequence);
        }
        EXPECT_EQ(malformed, expected) << entry.path();
        std::size_t outcomes = 0;
        std::ifstream counts(entry.path() / "expected/outcomes.csv");
        for (std::string line; std::getline(counts, line);) {
            if (!line.starts_with("outcome")) outcomes += std::stoull(line.substr(line.rfind(',') + 1));
        }
        EXPECT_EQ(decoded.rows(), outcomes) << entry.path();
    }
    EXPECT_GE(cases, 16u);
}

}  // namespace
}  // namespace takt
