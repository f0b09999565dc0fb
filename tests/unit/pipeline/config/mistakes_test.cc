#include "pipeline/config/mistakes.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/config/node.h"

namespace takt {
namespace {

Place place_in(const std::string& text, std::uint32_t line, std::uint32_t column, std::uint32_t length) {
    return {std::make_shared<ConfigFile>(ConfigFile{"dir/a.yaml", text, 0}), line, column, length};
}

TEST(Mistakes, AreShownAsInTheStyleGuide) {
    Mistakes mistakes;
    mistakes.add(place_in("1\n2\n3\n4\n5\n      bnad: 0.5\n", 6, 7, 4), "C104",
                 "unknown option 'bnad' in step 'trim_temperature' (deadband)", "did you mean 'band'?");
    EXPECT_EQ(mistakes.render(),
              "dir/a.yaml:6:7: error C104: unknown option 'bnad' in step 'trim_temperature' (deadband)\n"
              "    6 |       bnad: 0.5\n"
              "      |       ^^^^ did you mean 'band'?\n");
}

TEST(Mistakes, AreSortedAndEachIsShownOnce) {
    Mistakes mistakes;
    const Place second = place_in("a\nb\n", 2, 1, 1);
    Place first = second;
    first.line = 1;
    mistakes.add(second, "C101", "second");
    mistakes.add(second, "C101", "second");
    mistakes.add(second, "C101", "another fact at the same place");
    mistakes.add(first, "C102", "first");
    EXPECT_EQ(mistakes.list().size(), 3u);
    EXPECT_LT(mistakes.render().find("first"), mistakes.render().find("second"));
}

TEST(Mistakes, CountCharactersBelowTheLine) {
    Mistakes mistakes;
    mistakes.add(place_in("é\t漢 x", 1, 5, 1), "C101", "m");
    EXPECT_EQ(mistakes.render(), "dir/a.yaml:1:5: error C101: m\n    1 | é 漢 x\n      |     ^\n");
}

TEST(Mistakes, CutALongLineAroundTheCaret) {
    std::string line;
    for (int i = 0; i < 400; ++i) line += i == 300 ? "X" : "é";
    Mistakes mistakes;
    mistakes.add(place_in(line, 1, 301, 1), "C101", "m");
    const std::string text = mistakes.render();
    const std::vector<std::string> lines = [&] {
        std::vector<std::string> parts;
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t end = text.find('\n', at);
            parts.push_back(text.substr(at, end - at));
            at = end + 1;
        }
        return parts;
    }();
    ASSERT_EQ(lines.size(), 3u);
    const auto characters = [](std::string_view part) {
        return std::count_if(part.begin(), part.end(),
                             [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; });
    };
    EXPECT_LE(characters(lines[1]), 130);
    EXPECT_EQ(characters(lines[1].substr(0, lines[1].find('X'))), static_cast<std::ptrdiff_t>(lines[2].find('^')));
}

TEST(Mistakes, ASecretLineIsNotShown) {
    Mistakes mistakes;
    mistakes.add_without_line(place_in("password: hunter2\n", 1, 11, 7), "C195", "m", "h");
    EXPECT_EQ(mistakes.render(), "dir/a.yaml:1:11: error C195: m\n      | h\n");
}

TEST(Mistakes, NoOtherMistakeShowsALineWithASecret) {
    Mistakes mistakes;
    const std::string text = "a: { key: hunter2, bogus: 1 }\nb: 1\n";
    mistakes.add_without_line(place_in(text, 1, 11, 7), "C195", "m");
    mistakes.add(place_in(text, 1, 20, 5), "C104", "n", "h");
    mistakes.add(place_in(text, 2, 1, 1), "C104", "o");
    EXPECT_EQ(mistakes.render(),
              "dir/a.yaml:1:11: error C195: m\n"
              "dir/a.yaml:1:20: error C104: n\n      | h\n"
              "dir/a.yaml:2:1: error C104: o\n    2 | b: 1\n      | ^\n");
}

TEST(Mistakes, StarsStandForWhatLooksLikeASecret) {
    const auto shown = [](const std::string& line) {
        Mistakes mistakes;
        mistakes.add(place_in(line + "\n", 1, static_cast<std::uint32_t>(line.size()), 1), "C181", "m");
        const std::string text = mistakes.render();
        const std::size_t begin = text.find(" | ") + 3;
        return text.substr(begin, text.find('\n', begin) - begin);
    };
    EXPECT_EQ(shown("server: nats://takt:hunter2@host:4222, b: x"), "server: nats://************@host:4222, b: x");
    EXPECT_EQ(shown("server: [nats://host:4222, mail: a@b]"), "server: [nats://host:4222, mail: a@b]");
    EXPECT_EQ(shown("{ password: hunter2, token: \"a, b\", c: d }"), "{ password: *******, token: \"****\", c: d }");
    EXPECT_EQ(shown("password: @h\u00fcnter: 2"), "password: **********");
    EXPECT_EQ(shown("\"client_secret\" : 'hunter2' # x"), "\"client_secret\" : '*******' # x");
    EXPECT_EQ(shown("password: \"hunter2"), "password: \"*******");
    EXPECT_EQ(shown("{ password: ${PASSWORD}, token: { env: TOKEN } }"),
              "{ password: ${PASSWORD}, token: { env: TOKEN } }");
    EXPECT_EQ(shown("tokens: 5, x"), "tokens: 5, x");
    EXPECT_EQ(shown("password:"), "password:");
}

TEST(Mistakes, AMessageStaysOnItsLine) {
    Mistakes mistakes;
    mistakes.add(place_in("a\n", 1, 1, 1), "C101", "one\ntwo\x1b[31m");
    EXPECT_THAT(mistakes.render(), testing::HasSubstr("one two [31m\n"));
}

TEST(DidYouMean, NamesTheNearestWithinAThird) {
    const std::vector<std::string> names = {"band", "max_silence", "by", "out_of_order"};
    EXPECT_EQ(did_you_mean("bnad", names), "did you mean 'band'?");
    EXPECT_EQ(did_you_mean("max-silence", names), "did you mean 'max_silence'?");
    EXPECT_EQ(did_you_mean("out_of_orderness", names), "did you mean 'out_of_order'?");
    EXPECT_EQ(did_you_mean("sand_castle", names), "");
    EXPECT_EQ(did_you_mean("bxxd", names), "");
    EXPECT_EQ(did_you_mean("", names), "");
}

}  // namespace
}  // namespace takt
