#include "pipeline/config/option_table.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace takt {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

enum class Mode { absolute, relative };

struct Options {
    double band = 0;
    std::chrono::nanoseconds max_silence = 24h;
    std::int64_t lanes = 4;
    Mode mode = Mode::relative;
    std::optional<std::int64_t> limit;
    SizeBytes buffer{64u << 20};
    Decimal price;
    bool strict = true;
    std::string color = "red";
    std::vector<std::string> subjects;
    ConfigNode anything;
    ExpressionText where;
    std::vector<ExpressionText> by;
    NamedExpressions set;
    Secret token;
};

OptionTable<Options> table() {
    OptionTable<Options> made;
    made.required("band", &Options::band, "smallest change that passes").above(0.0);
    made.optional("max_silence", &Options::max_silence, "longest gap let stand").from(1s).to(24h);
    made.optional("lanes", &Options::lanes, "owners of keys").from(1).below(65);
    made.optional("mode", &Options::mode, "what counts")
        .one_of({{"absolute", Mode::absolute}, {"relative", Mode::relative}});
    made.optional("limit", &Options::limit, "how many").from(0);
    made.optional("buffer", &Options::buffer, "memory").to(SizeBytes{1u << 30});
    made.optional("price", &Options::price, "for one").from(Decimal{0, 0});
    made.optional("strict", &Options::strict, "");
    made.optional("color", &Options::color, "").one_of({"red", "green"});
    made.optional("subjects", &Options::subjects, "");
    made.optional("anything", &Options::anything, "");
    made.optional("where", &Options::where, "");
    made.optional("by", &Options::by, "");
    made.optional("set", &Options::set, "");
    made.optional("token", &Options::token, "");
    return made;
}

struct Read {
    bool good = false;
    Options options;
    std::string codes;  ///< with line and column
    std::string text;
};

Read read(const std::string& yaml, const std::vector<std::string>& ignored = {}) {
    Mistakes mistakes;
    const ConfigNode node = parse_config("t.yaml", yaml, mistakes);
    Read result;
    result.good = table().read(node, "step 'trim' (deadband)", result.options, mistakes, ignored);
    for (const Mistake& mistake : mistakes.list()) {
        result.codes += fmt::format("{}{}@{}:{}", result.codes.empty() ? "" : " ", mistake.code, mistake.place.line,
                                    mistake.place.column);
    }
    result.text = mistakes.render();
    return result;
}

TEST(OptionTable, ReadsEveryKind) {
    ::setenv("TAKT_TEST_TOKEN", "hunter2", 1);
    const Read it = read(
        "band: 0.5\nmax_silence: 1h30m\nlanes: 8\nmode: absolute\nlimit: 0\nbuffer: 10MB\nprice: \"12.50\"\nstrict: "
        "false\ncolor: green\n"
        "subjects: plant.>\nanything: {x: [1]}\nwhere: a > 1\nby: [plant, b + c]\nset: {x: a, y: '\"b\"'}\ntoken: "
        "${TAKT_TEST_TOKEN}\n");
    ASSERT_EQ(it.text, "");
    EXPECT_TRUE(it.good);
    EXPECT_EQ(it.options.band, 0.5);
    EXPECT_EQ(it.options.max_silence, 90min);
    EXPECT_EQ(it.options.lanes, 8);
    EXPECT_EQ(it.options.mode, Mode::absolute);
    EXPECT_EQ(it.options.limit, 0);
    EXPECT_EQ(it.options.buffer.value, 10'000'000u);
    EXPECT_EQ(compare(it.options.price, Decimal{125, 1}), 0);
    EXPECT_FALSE(it.options.strict);
    EXPECT_EQ(it.options.color, "green");
    EXPECT_THAT(it.options.subjects, ElementsAre("plant.>"));
    EXPECT_TRUE(it.options.anything.find("x")->is_sequence());
    EXPECT_EQ(it.options.where.text, "a > 1");
    EXPECT_EQ(it.options.where.node.place_of(4, 1).column, 12u);
    ASSERT_EQ(it.options.by.size(), 2u);
    EXPECT_EQ(it.options.by[1].text, "b + c");
    ASSERT_EQ(it.options.set.size(), 2u);
    EXPECT_EQ(it.options.set[1].name, "y");
    EXPECT_EQ(it.options.set[1].expression.text, "\"b\"");
    EXPECT_EQ(it.options.set[1].name_place.column, 13u);
    EXPECT_EQ(it.options.token.reveal(), "hunter2");
}

TEST(OptionTable, WhatIsNotWrittenKeepsItsDefault) {
    const Read it = read("band: 1\n");
    EXPECT_TRUE(it.good);
    EXPECT_EQ(it.options.max_silence, 24h);
    EXPECT_EQ(it.options.mode, Mode::relative);
    EXPECT_FALSE(it.options.limit.has_value());
}

TEST(OptionTable, NamesAnUnknownOptionAsTheStyleGuideDoes) {
    EXPECT_EQ(read("# x\n      bnad: 0.5\n      band: 1\n").text,
              "t.yaml:2:7: error C104: unknown option 'bnad' in step 'trim' (deadband)\n"
              "    2 |       bnad: 0.5\n"
              "      |       ^^^^ did you mean 'band'?\n");
}

TEST(OptionTable, LeavesKeysThatSomeoneElseReads) {
    EXPECT_TRUE(read("deadband: trim\nband: 1\n", {"deadband", "from"}).good);
    EXPECT_THAT(read("form: x\nband: 1\n", {"deadband", "from"}).text, HasSubstr("did you mean 'from'?"));
}

TEST(OptionTable, ReportsAllMistakesAtOnce) {
    const Read it = read(
        "max_silence: five\nlanes: 4x\nmode: absolut\nbuffer: [1]\nprice: a\nstrict: yes\ncolor: blue\nwhere:\nset: "
        "5\n");
    EXPECT_FALSE(it.good);
    EXPECT_EQ(it.codes, "C191@1:14 C191@2:8 C193@3:7 C191@4:9 C191@5:8 C191@6:9 C193@7:8 C191@8:1 C191@9:6 C190@1:1");
    EXPECT_THAT(it.text,
                HasSubstr("'max_silence' in step 'trim' (deadband): expected a duration such as 5m, found 'five'\n"));
    EXPECT_THAT(it.text, HasSubstr("did you mean 'absolute'?"));
    EXPECT_THAT(it.text, HasSubstr("missing option 'band' in step 'trim' (deadband)"));
}

TEST(OptionTable, WantsTheUnitOfADuration) {
    const Read it = read("band: 1\nmax_silence: 5\n");
    EXPECT_EQ(it.codes, "C194@2:14");
    EXPECT_THAT(it.text, HasSubstr("^ for example 5s\n"));
}

TEST(OptionTable, KeepsEveryBoundOnItsExactSide) {
    EXPECT_EQ(read("band: 0\n").codes, "C192@1:7");
    EXPECT_THAT(read("band: 0\n").text, HasSubstr("'band' in step 'trim' (deadband) must be above 0, found '0'"));
    EXPECT_EQ(read("{band: 1, max_silence: 1s, lanes: 1, buffer: 1GiB, price: 0}").codes, "");
    EXPECT_EQ(read("{band: 1, max_silence: 24h, lanes: 64}").codes, "");
    EXPECT_EQ(read("{band: 1, max_silence: 999ms}").codes, "C192@1:24");
    EXPECT_EQ(read("{band: 1, max_silence: 25h}").codes, "C192@1:24");
    EXPECT_EQ(read("{band: 1, lanes: 65}").codes, "C192@1:18");
    EXPECT_EQ(read("{band: 1, lanes: 0}").codes, "C192@1:18");
    EXPECT_EQ(read("{band: 1, price: -0.01}").codes, "C192@1:18");
    EXPECT_EQ(read("{band: nan}").codes, "C191@1:8");
    EXPECT_EQ(read("{band: inf}").codes, "C191@1:8");
}

TEST(OptionTable, ASecretIsNeverPrinted) {
    ::setenv("TAKT_TEST_TOKEN", "hunter2", 1);
    const Secret secret("hunter2");
    std::ostringstream out;
    out << secret;
    EXPECT_EQ(out.str(), "***");
    EXPECT_EQ(fmt::format("{}", secret), "***");
    const Read literal = read("band: 1\ntoken: hunter2\n");
    EXPECT_EQ(literal.codes, "C195@2:8");
    EXPECT_THAT(literal.text, testing::Not(HasSubstr("hunter2")));
    EXPECT_THAT(read("band: 1\nlanes: ${TAKT_TEST_TOKEN}\n").text, testing::Not(HasSubstr("hunter2")));
    EXPECT_THAT(read("band: 1\nmode: ${TAKT_TEST_TOKEN}\n").text, testing::Not(HasSubstr("hunter2")));
    EXPECT_EQ(read("band: 1\ntoken: {env: TAKT_TEST_TOKEN}\n").options.token.reveal(), "hunter2");
    EXPECT_EQ(read("band: 1\ntoken: {env: TAKT_TEST_NONE}\n").codes, "C195@2:14");
    EXPECT_THAT(read("{band: 1, token: hunter2, lanse: 2}\n").text, testing::Not(HasSubstr("hunter2")));
    const Read misspelt = read("band: 1\ntokne: hunter2\n");
    EXPECT_THAT(misspelt.text, testing::AllOf(HasSubstr("did you mean 'token'?"), testing::Not(HasSubstr("hunter2"))));
}

TEST(OptionTable, ASecretComesFromAFile) {
    const std::string path =
        (std::filesystem::temp_directory_path() / fmt::format("takt_secret_{}", ::getpid())).string();
    std::ofstream(path) << "hunter2\n";
    EXPECT_EQ(read("band: 1\ntoken: {file: " + path + "}\n").options.token.reveal(), "hunter2");
    std::filesystem::remove(path);
    EXPECT_EQ(read("band: 1\ntoken: {file: " + path + "}\n").codes, "C195@2:15");
}

TEST(OptionTable, AVariableThatIsNotSetIsReportedOnce) {
    EXPECT_EQ(read("band: ${TAKT_TEST_UNSET}\n").codes, "C186@1:7");
}

TEST(OptionTable, WantsAMapping) {
    EXPECT_EQ(read("5\n").codes, "C196@1:1");
    EXPECT_EQ(read("[1]\n").codes, "C196@1:1");
    EXPECT_EQ(read("").codes, "C190@1:1") << "nothing is a mapping without options";
}

TEST(OptionTable, AShortFormStandsForItsOption) {
    OptionTable<Options> made;
    made.required("color", &Options::color, "");
    made.short_form("color");
    Mistakes mistakes;
    Options options;
    EXPECT_TRUE(made.read(parse_config("t.yaml", "blue", mistakes), "sink 'x'", options, mistakes));
    EXPECT_EQ(options.color, "blue");
    EXPECT_TRUE(made.read(parse_config("t.yaml", "color: green", mistakes), "sink 'x'", options, mistakes));
    EXPECT_EQ(options.color, "green");
}

TEST(OptionTable, DescribesItself) {
    const OptionDocs docs = table().describe();
    EXPECT_TRUE(docs[0].required);
    EXPECT_EQ(docs[0].bounds(), "above 0");
    EXPECT_EQ(docs[0].default_value, "");
    EXPECT_EQ(docs[1].default_value, "1d");
    EXPECT_EQ(docs[1].bounds(), "at least 1s, at most 1d");
    EXPECT_EQ(docs[3].default_value, "relative");
    EXPECT_EQ(docs[3].bounds(), "one of absolute, relative");
    EXPECT_EQ(docs[4].default_value, "");
    EXPECT_EQ(docs[5].default_value, "64MiB");
    EXPECT_EQ(docs[7].default_value, "true");
}

TEST(SizeBytes, ReadsWhatPeopleWrite) {
    EXPECT_EQ(parse_size("64MiB")->value, 64u << 20);
    EXPECT_EQ(parse_size("10MB")->value, 10'000'000u);
    EXPECT_EQ(parse_size("12")->value, 12u);
    EXPECT_EQ(parse_size("3kB")->value, 3'000u);
    for (const char* bad : {"", "MB", "-1", "1.5MB", "5 MB", "5mb", "99999999999TiB", "99999999999999999999"}) {
        EXPECT_FALSE(parse_size(bad)) << bad;
    }
    for (const std::uint64_t size : {0ull, 1ull, 1000ull, 1024ull, 1536ull, 64ull << 20, 10'000'000ull}) {
        EXPECT_EQ(parse_size(format_size({size}))->value, size);
    }
}

}  // namespace
}  // namespace takt
