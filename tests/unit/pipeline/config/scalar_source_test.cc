#include "pipeline/config/scalar_source.h"

#include <random>

#include "gtest/gtest.h"
#include "pipeline/config/node.h"

namespace takt {
namespace {

std::string random_words(std::mt19937& random, bool breaks) {
    static const std::vector<std::string> kWords = {"a",     "bc",   "kind", "é",   "漢字",
                                                    "\"q\"", "it's", "&&",   "x>1", "(y)"};
    std::string text = "w";
    const std::size_t count = 1 + random() % 12;
    for (std::size_t i = 0; i < count; ++i) {
        const auto what = random() % 10;
        text += breaks && what == 0   ? "\n"
                : breaks && what == 1 ? "\n\n"
                : breaks && what == 2 ? "\n   "
                : what == 3           ? "  "
                                      : " ";
        text += kWords[random() % kWords.size()];
    }
    return text;
}

/// The value as a literal or folded block below `k:`; a folded one has its lines cut anywhere.
std::string as_block(std::mt19937& random, const std::string& value, char style) {
    const std::string indent(1 + random() % 5, ' ');
    const char* chomp = random() % 2 ? "-" : random() % 2 ? "+" : "";
    std::string text = fmt::format("first: line\nk: {}{}\n{}", style, chomp, indent);
    for (const char c : value) {
        if (c == '\n') {
            text += "\n" + indent;
        } else if (style == '>' && c == ' ' && text.back() != ' ' && random() % 4 == 0) {
            text += "\n" + indent;
        } else {
            text += c;
        }
    }
    return text + (random() % 2 ? "\nlast: line\n" : "\n");
}

std::string as_quoted(std::mt19937& random, const std::string& value, char quote) {
    std::string text = fmt::format("first: line\nk: {}", quote);
    for (const char c : value) {
        if (c == '\n') {
            text += quote == '"' ? "\\n" : "\n\n  ";
        } else if (c == ' ' && text.back() != ' ' && random() % 4 == 0) {
            text += "\n   ";
        } else if (quote == '\'' && c == '\'') {
            text += "''";
        } else if (quote == '"' && (c == '"' || c == '\\')) {
            text += fmt::format("\\{}", c);
        } else if (quote == '"' && c == 'a') {
            text += "\\x61";
        } else {
            text += c;
        }
    }
    return fmt::format("{}{}\nlast: line\n", text, quote);
}

/// Every character of the value that stands in the file as itself must be found where it stands, and in order.
void expect_followed(const std::string& text) {
    Mistakes mistakes;
    const ConfigNode root = parse_config("t.yaml", text, mistakes);
    ASSERT_EQ(mistakes.render(), "") << text;
    const ConfigNode& node = *root.find("k");
    const std::string& file = node.place.file->text;
    std::uint32_t last = 0;
    for (std::size_t i = 0; i < node.scalar.size(); ++i) {
        const std::uint32_t at =
            node.offsets.empty() ? static_cast<std::uint32_t>(node.text_offset + i) : node.offsets[i];
        ASSERT_GE(at, last) << text;
        last = at;
        const char c = node.scalar[i];
        const char there = at < file.size() ? file[at] : '\n';
        const bool as_itself = there == c;
        const bool folded = (c == ' ' || c == '\n') && (there == '\n' || there == ' ');
        ASSERT_TRUE(as_itself || folded || there == '\\')
            << "byte " << i << " '" << c << "' found at '" << there << "' in\n"
            << text;
    }
}

TEST(ScalarSource, FollowsRandomScalarsOfEveryStyle) {
    std::mt19937 random(7);
    for (int round = 0; round < 3000; ++round) {
        const std::string value = random_words(random, true);
        expect_followed(as_block(random, value, '|'));
        expect_followed(as_block(random, value, '>'));
        expect_followed(as_quoted(random, random_words(random, false), '\''));
        expect_followed(as_quoted(random, value, '"'));
        if (::testing::Test::HasFatalFailure()) return;
    }
}

TEST(ScalarSource, AValueThatIsNotThereStandsAtTheBeginning) {
    const ScalarSource source = locate_scalar("k: abc\n", 3, "xyz");
    EXPECT_FALSE(source.exact);
    EXPECT_EQ(source.begin, 3u);
}

}  // namespace
}  // namespace takt
