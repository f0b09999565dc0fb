#include "pipeline/config/json.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/config/json_schema.h"

namespace takt {
namespace {

TEST(Json, KeepsTheOrderOfMembers) {
    Json json = Json::object();
    json.set("b", 1).set("a", "x").set("c", Json::array({"y"})).set("b", true).set("n", Json()).set("d", 0.5);
    EXPECT_EQ(json.dump(), R"({"b":true,"a":"x","c":["y"],"n":null,"d":0.5})");
    EXPECT_EQ(Json::object().dump(2), "{}");
    EXPECT_EQ(Json().push(1).push(Json::number("2.50")).dump(2), "[\n  1,\n  2.50\n]");
    EXPECT_EQ(Json(std::nan("")).dump(), "null");
}

TEST(Json, EscapesTextAndRepairsUtf8) {
    EXPECT_EQ(Json("a\"b\\c\n\x01é").dump(), "\"a\\\"b\\\\c\\n\\u0001é\"");
    EXPECT_EQ(Json(std::string("a\xFF") + "b").dump(),
              "\"a\xEF\xBF\xBD"
              "b\"");
}

struct ReaderOptions {
    std::int64_t count = 3;
    bool strict = false;
    std::string path;
    std::chrono::nanoseconds every{5'000'000'000};
};

OptionTable<ReaderOptions> reader_table() {
    OptionTable<ReaderOptions> made;
    made.required("path", &ReaderOptions::path, "where");
    made.optional("count", &ReaderOptions::count, "how many").from(1).below(10);
    made.optional("strict", &ReaderOptions::strict, "");
    made.optional("every", &ReaderOptions::every, "how often");
    return made;
}

TEST(OptionSchema, SaysWhatTheTableSays) {
    const std::string text = reader_table().schema().dump();
    EXPECT_THAT(text, testing::HasSubstr(R"("required":["path"],"additionalProperties":false)"));
    EXPECT_THAT(text, testing::HasSubstr(R"({"type":"integer","minimum":1,"exclusiveMaximum":10})"));
    EXPECT_THAT(text, testing::HasSubstr(R"("default":3)"));
    EXPECT_THAT(text, testing::HasSubstr(R"("default":"5s")"));
    EXPECT_THAT(text, testing::HasSubstr(R"x("description":"how many (at least 1, below 10)")x"));
}

TEST(ConfigSchema, HoldsEveryKind) {
    SchemaParts parts;
    parts.sources = {{"file", "a file", reader_table().describe()}};
    parts.steps = {{"filter", "drops rows", reader_table().describe()}};
    parts.sinks = {{"stdout", "prints", {}}};
    parts.tables = {{"kv", "a bucket", reader_table().describe()}};
    parts.fragments.emplace_back("calendars", Json::object());
    const std::string text = config_schema(parts).dump();
    for (const char* part : {"\"source.file\"", "\"step.filter\"", "\"sink.stdout\"", "\"table.kv\"",
                             "\"calendars\":{}", "draft/2020-12", "\"#/$defs/step.filter\""}) {
        EXPECT_THAT(text, testing::HasSubstr(part));
    }
}

}  // namespace
}  // namespace takt
