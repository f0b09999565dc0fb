#include "sources/decode/delimited_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/sources/decode/decoded.h"

namespace takt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::shared_ptr<const RecordSchema> declared(std::vector<Field> fields) {
    return std::make_shared<const RecordSchema>(make_schema(std::move(fields)));
}

Decoded decode_delimited(const std::shared_ptr<const RecordSchema>& schema, const DelimitedOptions& options,
                         const std::vector<std::string>& records) {
    const Layout layout = layout_of(*schema);
    auto decoder = make_delimited_decoder(schema, layout, options, {});
    EXPECT_TRUE(decoder.ok()) << decoder.error().text();
    return decode_all(**decoder, layout, block_of(records));
}

std::string refusal(const std::shared_ptr<const RecordSchema>& schema, const DelimitedOptions& options) {
    auto decoder = make_delimited_decoder(schema, layout_of(*schema), options, {});
    return decoder.ok() ? "" : decoder.error().text();
}

TimeForm form(std::string_view text, const char* zone = nullptr) {
    std::shared_ptr<const TimeZone> found = zone == nullptr ? nullptr : *TimeZone::find(zone);
    auto made = TimeForm::make(text, found);
    EXPECT_TRUE(made.ok()) << made.error().text();
    return *made;
}

const auto kTwoTexts = declared({{"a", Type::of(TypeKind::string), false}, {"b", Type::of(TypeKind::string), false}});

TEST(DelimitedDecoder, FieldsComeFromColumnsByNamePlaceOrConstant) {
    const auto schema = declared({{"order", Type::of(TypeKind::string), true},
                                  {"machine", Type::of(TypeKind::string), false},
                                  {"plant", Type::of(TypeKind::string), false}});
    DelimitedOptions options;
    options.header = "machine,case,x\r";
    options.columns = {{.field = "order", .column = "case"}, {.field = "plant", .constant = "P100"}};
    EXPECT_EQ(decode_delimited(schema, options, {"M1,Case1,"}).show(0), "order='Case1' machine='M1' plant='P100'");
    options.header.reset();
    options.columns = {
        {.field = "order", .index = 3}, {.field = "machine", .index = 1}, {.field = "plant", .constant = "P1"}};
    EXPECT_EQ(decode_delimited(schema, options, {"M1,,Case1,more"}).show(0), "order='Case1' machine='M1' plant='P1'");
}

TEST(DelimitedDecoder, RefusesAFieldWithoutAColumn) {
    EXPECT_EQ(refusal(kTwoTexts, {.header = "a,c"}), "C315: field 'b': the header has no column 'b'; it has a, c");
    EXPECT_EQ(refusal(kTwoTexts, {}), "C315: field 'a': without a header its column needs an index");
    EXPECT_EQ(refusal(kTwoTexts, {.header = "a,b", .columns = {{.field = "z", .index = 1}}}),
              "C315: the schema has no field 'z'");
    EXPECT_EQ(refusal(kTwoTexts, {.header = "a,\"b"}), "C317: the header is broken: a quoted cell is not closed");
    EXPECT_EQ(refusal(event_schema(), {.header = "event_id,event_time"}),
              "C315: field 'kind': the header has no column 'kind'; it has event_id, event_time");
}

TEST(DelimitedDecoder, QuotesAreThoseOfRfc4180) {
    const Decoded decoded = decode_delimited(
        kTwoTexts, {.header = "a,b"},
        {"\"x,\"\"y\"\"\",\"two\nlines\"", "\"\",z\r\n", "\"open,z", "a\"b,c", "\"a\"b,c", "", "\r\n"});
    ASSERT_EQ(decoded.rows(), 5u);
    EXPECT_EQ(decoded.show(0), "a='x,\"y\"' b='two\nlines'");
    EXPECT_EQ(decoded.show(1), "a=- b='z'");
    EXPECT_EQ(decoded.reject_text(2), "a quoted cell is not closed");
    EXPECT_EQ(decoded.reject_text(3), "there is a quote inside an unquoted cell");
    EXPECT_EQ(decoded.reject_text(4), "there is text behind a closing quote");
    EXPECT_EQ(
        decode_delimited(kTwoTexts, {.delimiter = '\t', .quotes = false, .header = "a\tb"}, {"5\" pipe\tb"}).show(0),
        "a='5\" pipe' b='b'");
}

TEST(DelimitedDecoder, ARecordHasAsManyCellsAsTheHeaderAndIsText) {
    const Decoded decoded =
        decode_delimited(kTwoTexts, {.header = "a,b"}, {"1", "1,2,3", "\xff,1", std::string("\0,1", 3), ","});
    EXPECT_EQ(decoded.reject_text(0), "the record has 1 cells, expected 2");
    EXPECT_EQ(decoded.reject_text(1), "the record has 3 cells, expected 2");
    EXPECT_EQ(decoded.reject_text(2), "the record is not valid UTF-8");
    EXPECT_EQ(decoded.reject_text(3), "the record holds U+0000");
    EXPECT_EQ(decoded.show(4), "a=- b=-");
}

TEST(DelimitedDecoder, NumbersMayHaveLeadingZerosAndStayExact) {
    const auto schema = declared({{"d", Type::decimal(3), false},
                                  {"i", Type::of(TypeKind::int64), false},
                                  {"f", Type::of(TypeKind::float64), false}});
    const Decoded decoded = decode_delimited(
        schema, {.header = "d,i,f"}, {"0071,-007,00.5", "0.1234,1,1", "00,0,-0", "1,1.5,1", "+1,1,1", " 1,1,1"});
    EXPECT_EQ(decoded.show(0), "d=71000d3 i=-7 f=0.5");
    EXPECT_EQ(decoded.reject_text(1), "field 'd': is no number, has too many decimals, or is out of range");
    EXPECT_EQ(decoded.show(2), "d=0d3 i=0 f=-0");
    EXPECT_EQ(decoded.reject_text(3), "field 'i': is no integer, or out of range");
    EXPECT_TRUE(decoded.malformed(4));
    EXPECT_TRUE(decoded.malformed(5));
}

TEST(DelimitedDecoder, AMissingRequiredCellIsMalformed) {
    const auto schema = declared({{"a", Type::of(TypeKind::string), true}, {"b", Type::of(TypeKind::string), false}});
    EXPECT_EQ(decode_delimited(schema, {.header = "a,b"}, {",1"}).reject_text(0), "field 'a': is missing");
}

TEST(TimeForm, ReadsPatternsWithAnOffset) {
    EXPECT_EQ(form("%d.%m.%Y %T%z").read("9.02.2012 16:46:28+01:00"), parse_timestamp("2012-02-09T16:46:28+01:00"));
    EXPECT_EQ(form("%F %I:%M %p %z").read("2012-02-09 12:30 AM -0530"), parse_timestamp("2012-02-09T00:30:00-05:30"));
    EXPECT_EQ(form("%b %d %Y %H:%M:%S.%f%z").read("Mar 1 2012 1:2:3.25Z"), parse_timestamp("2012-03-01T01:02:03.25Z"));
    for (const char* bad : {"2012-02-30 1:00 AM Z", "2012-2-1 13:00 AM Z", "2012-2-1 0:00 AM Z", "2012-2-1 1:60 AM Z",
                            "2012-2-1 1:00 AM Z ", "2012-2-1 1:00 XM Z", "2012-2-1 1:00 AM", "", "9999-01-01 1:00 AM Z",
                            "2012-13-01 1:00 AM Z"}) {
        EXPECT_EQ(form("%F %I:%M %p %z").read(bad), std::nullopt) << bad;
    }
}

TEST(TimeForm, ReadsNumbersSince1970) {
    EXPECT_EQ(form("epoch_s").read("1.5"), 1'500'000'000);
    EXPECT_EQ(form("epoch_ms").read("1500"), 1'500'000'000);
    EXPECT_EQ(form("epoch_us").read("-1"), -1000);
    EXPECT_EQ(form("epoch_ns").read("7"), 7);
    EXPECT_EQ(form("epoch_ns").read("0.5"), std::nullopt);
    EXPECT_EQ(form("epoch_s").read("9223372037"), std::nullopt);
}

TEST(TimeForm, RefusesFormsThatCannotNameAnInstant) {
    EXPECT_THAT(TimeForm::make("%Y-%m-%d", nullptr).error().text(),
                HasSubstr("C316: time form '%Y-%m-%d' writes local time: it needs a zone"));
    EXPECT_THAT(TimeForm::make("%Y-%m %z", nullptr).error().text(), HasSubstr("nor a pattern with %Y, %m and %d"));
    EXPECT_THAT(TimeForm::make("%Q", nullptr).error().text(), HasSubstr("unknown conversion '%Q'"));
    EXPECT_THAT(TimeForm::make("%F %I %z", nullptr).error().text(), HasSubstr("%I and %p together"));
}

TEST(TimeForm, ReadsLocalTimeInItsZone) {
    const TimeForm berlin = form("%Y/%m/%d %H:%M:%S", "Europe/Berlin");
    EXPECT_EQ(berlin.read("2012/01/30 06:24:00"), parse_timestamp("2012-01-30T06:24:00+01:00"));
    EXPECT_EQ(berlin.read("2012/07/30 06:24:00"), parse_timestamp("2012-07-30T06:24:00+02:00"));
    EXPECT_EQ(berlin.read("2012/10/28 02:30:00"), parse_timestamp("2012-10-28T02:30:00+02:00")) << "twice: the first";
    EXPECT_EQ(berlin.read("2012/03/25 02:30:00"), parse_timestamp("2012-03-25T01:00:00Z")) << "never: the transition";
}

TEST(DelimitedDecoder, ReadsTheRealFiles) {
    const std::filesystem::path folder = std::filesystem::path(TAKT_SOURCE_DIR).parent_path() / "shared/data";
    if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "no real data at " << folder;
    const auto lines_of = [](const std::filesystem::path& path) {
        std::vector<std::string> lines;
        std::ifstream file(path, std::ios::binary);
        for (std::string line; std::getline(file, line);) lines.push_back(line);
        return lines;
    };
    std::vector<std::string> log = lines_of(folder / "mes_log.csv");
    DelimitedOptions options;
    options.header = log.front();
    log.erase(log.begin());
    const TimeForm local = form("%Y/%m/%d %H:%M:%S", "Europe/Berlin");
    options.columns = {{.field = "order", .column = "case_id"},
                       {.field = "start", .column = "start_timestamp", .time = local},
                       {.field = "end", .column = "timestamp", .time = local}};
    const auto activities = declared({{"order", Type::of(TypeKind::string), true},
                                      {"activity", Type::of(TypeKind::string), true},
                                      {"start", Type::of(TypeKind::timestamp), true},
                                      {"end", Type::of(TypeKind::timestamp), true}});
    const Decoded decoded = decode_delimited(activities, options, log);
    ASSERT_EQ(decoded.rows(), log.size());
    for (std::size_t row = 0; row < log.size(); ++row)
        ASSERT_FALSE(decoded.malformed(row)) << log[row] << decoded.reject_text(row);
    EXPECT_EQ(decoded.value<std::int64_t>("end", 0), parse_timestamp("2012-01-30T12:43:00+01:00"));

    const std::vector<std::string> sensor = lines_of(folder / "sensor_100hz.tsv");
    DelimitedOptions tabs{
        .delimiter = '\t',
        .columns = {{.field = "at", .index = 1}, {.field = "power", .index = 3}, {.field = "seventh", .index = 6}}};
    const auto readings = declared({{"at", Type::of(TypeKind::timestamp), true},
                                    {"power", Type::of(TypeKind::int64), true},
                                    {"seventh", Type::decimal(2), true}});
    const Decoded read = decode_delimited(readings, tabs, sensor);
    ASSERT_EQ(read.rows(), sensor.size());
    for (std::size_t row = 0; row < sensor.size(); ++row) ASSERT_FALSE(read.malformed(row)) << sensor[row];
    EXPECT_EQ(read.show(0),
              fmt::format("at={} power=13056 seventh=7100d2", *parse_timestamp("2012-02-22T16:46:28.967032Z")));
}

}  // namespace
}  // namespace takt
