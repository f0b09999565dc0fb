#include "pipeline/config/node.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace takt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string codes(const Mistakes& mistakes) {
    std::string text;
    for (const Mistake& mistake : mistakes.list()) {
        text +=
            fmt::format("{}{}@{}:{}", text.empty() ? "" : " ", mistake.code, mistake.place.line, mistake.place.column);
    }
    return text;
}

ConfigNode parse_good(const std::string& text) {
    Mistakes mistakes;
    ConfigNode root = parse_config("test.yaml", text, mistakes);
    EXPECT_EQ(mistakes.render(), "");
    return root;
}

std::string mistakes_of(const std::string& text) {
    Mistakes mistakes;
    parse_config("test.yaml", text, mistakes);
    return codes(mistakes);
}

/// "line:column+length" of the first `word` in the scalar at `key`.
std::string place_of_word(const std::string& text, std::string_view key, std::string_view word) {
    const ConfigNode root = parse_good(text);
    const ConfigNode* node = root.find(key);
    if (node == nullptr) return "no such key";
    const std::size_t at = node->scalar.find(word);
    if (at == std::string::npos) return "not in '" + node->scalar + "'";
    const Place place = node->place_of(at, word.size());
    return fmt::format("{}:{}+{}", place.line, place.column, place.length);
}

TEST(ConfigNode, KeepsOrderKindsAndPlaces) {
    const ConfigNode root = parse_good("b: 1\na: [x, 'y']\nc: {d: ~}\ne:\n");
    ASSERT_EQ(root.entries.size(), 4u);
    EXPECT_EQ(root.entries[0].key, "b");
    EXPECT_EQ(root.entries[1].key_place.line, 2u);
    const ConfigNode& list = root.entries[1].value;
    EXPECT_FALSE(list.items[0].quoted);
    EXPECT_TRUE(list.items[1].quoted);
    EXPECT_EQ(list.items[1].place.column, 9u);
    EXPECT_EQ(list.items[1].place.length, 1u);
    EXPECT_TRUE(root.find("c")->find("d")->is_null());
    EXPECT_EQ(root.find("e")->place.line, 4u) << "an absent value stands where its key stands";
    EXPECT_EQ(root.find("f"), nullptr);
}

TEST(ConfigNode, CountsColumnsInCharacters) {
    EXPECT_EQ(place_of_word("{äöü: x, k: \"é quantity\"}\n", "k", "quantity"), "1:16+8");
}

TEST(ConfigNode, FindsWordsInPlainScalarsOfManyLines) {
    EXPECT_EQ(place_of_word("k: kind == \"a\" &&\n   other\n\n   last word\n", "k", "other"), "2:4+5");
    EXPECT_EQ(place_of_word("k: kind == \"a\" &&\n   other\n\n   last word\n", "k", "word"), "4:9+4");
}

TEST(ConfigNode, FindsWordsThroughQuotesAndEscapes) {
    EXPECT_EQ(place_of_word("k: 'it''s a ''word'' here'\n", "k", "here"), "1:22+4");
    EXPECT_EQ(place_of_word("k: \"a \\\"b\\\" \\u00e9 word\"\n", "k", "word"), "1:20+4");
    EXPECT_EQ(place_of_word("k: \"a \\\"b\\\" \\u00e9 word\"\n", "k", "é"), "1:13+6")
        << "an escape is underlined as a whole";
    EXPECT_EQ(place_of_word("k: \"a \\\n    word\"\n", "k", "word"), "2:5+4") << "an escaped line break joins";
}

TEST(ConfigNode, FindsWordsInBlocks) {
    EXPECT_EQ(place_of_word("k: |\n  one\n    two\n\n  three\n", "k", "two"), "3:5+3");
    EXPECT_EQ(place_of_word("k: |\n  one\n    two\n\n  three\n", "k", "three"), "5:3+5");
    EXPECT_EQ(place_of_word("k: >\n  one\n  two\n\n  three\n    more\n  four\n", "k", "two"), "3:3+3");
    EXPECT_EQ(place_of_word("k: >-   # why\n\n  one\n  two\n\n  three\n    more\n  four", "k", "more"), "7:5+4");
    EXPECT_EQ(place_of_word("k: >-\n  one\n  two\n\n  three\n    more\n  four", "k", "four"), "7:3+4");
    EXPECT_EQ(place_of_word("k: |2-\n    deep\n   word\n", "k", "word"), "3:4+4");
    EXPECT_EQ(place_of_word("k: &name >\n  one\n  two\n", "k", "two"), "3:3+3");
}

TEST(ConfigNode, PlaceBehindTheEndIsTheEnd) {
    const ConfigNode root = parse_good("k: 'ab'\n");
    EXPECT_EQ(root.find("k")->place_of(2, 0).column, 7u);
    EXPECT_EQ(root.find("k")->place_of(99, 5).column, 7u);
    EXPECT_EQ(root.find("k")->place_of(0, 99).length, 2u);
}

TEST(ConfigNode, ReplacesVariablesAndKeepsPlaces) {
    ::setenv("TAKT_TEST_SET", "from outside", 1);
    ::setenv("TAKT_TEST_EMPTY", "", 1);
    ::unsetenv("TAKT_TEST_UNSET");
    const std::string text =
        "k: \"a ${TAKT_TEST_SET} b ${TAKT_TEST_UNSET:nats://x:4222} c ${TAKT_TEST_EMPTY:d} $${TAKT_TEST_SET} $x "
        "word\"\n";
    const ConfigNode root = parse_good(text);
    const ConfigNode& node = *root.find("k");
    EXPECT_EQ(node.scalar, "a from outside b nats://x:4222 c d ${TAKT_TEST_SET} $x word");
    EXPECT_TRUE(node.substituted);
    EXPECT_TRUE(node.from_environment);
    EXPECT_THAT(node.written(), testing::Not(HasSubstr("from outside")));
    EXPECT_EQ(place_of_word(text, "k", "word"), fmt::format("1:{}+4", text.find("word") + 1));
    EXPECT_EQ(place_of_word(text, "k", "outside"), "1:7+16") << "what was replaced stands where the ${...} stands";
    EXPECT_EQ(place_of_word(text, "k", "${TAKT"), fmt::format("1:{}+7", text.find("$${") + 1));
}

TEST(ConfigNode, ADefaultIsNotFromTheEnvironment) {
    const ConfigNode root = parse_good("k: ${TAKT_TEST_UNSET:5}\n");
    EXPECT_EQ(root.find("k")->scalar, "5");
    EXPECT_FALSE(root.find("k")->from_environment);
    EXPECT_EQ(root.find("k")->written(), "'5'");
}

TEST(ConfigNode, AVariableThatIsNotSetIsAMistakeAtItsPlace) {
    EXPECT_EQ(mistakes_of("a: 1\nk: [x, 'y ${TAKT_TEST_UNSET} z']\n"), "C186@2:11");
    EXPECT_EQ(mistakes_of("k: '${TAKT_TEST'\n"), "C186@1:5");
    EXPECT_EQ(mistakes_of("k: ${1X:a}\n"), "C186@1:4");
}

TEST(ConfigNode, ReportsEveryDuplicateKey) {
    EXPECT_EQ(mistakes_of("a: 1\nb: {c: 1, d: 2, c: 3}\na: 2\n"), "C183@2:17 C183@3:1");
    Mistakes mistakes;
    const ConfigNode root = parse_config("test.yaml", "a: 1\na: 2\n", mistakes);
    EXPECT_EQ(root.find("a")->scalar, "1") << "the first one counts";
}

TEST(ConfigNode, RepeatsWhatAnAliasNames) {
    const ConfigNode root = parse_good("a: &x {p: 1, q: 2}\nb: *x\nc: {<<: *x, q: 3}\n");
    EXPECT_EQ(root.find("b")->find("p")->scalar, "1");
    EXPECT_EQ(root.find("b")->find("p")->place.line, 1u);
    EXPECT_EQ(root.find("c")->find("p")->scalar, "1");
    EXPECT_EQ(root.find("c")->find("q")->scalar, "3") << "the mapping's own key wins";
}

TEST(ConfigNode, RefusesAliasesThatLeadNowhereOrBack) {
    EXPECT_EQ(mistakes_of("a: 1\nb: *nobody\n"), "C184@2:4");
    EXPECT_EQ(mistakes_of("a: &x [1, *x]\n"), "C184@1:11");
    EXPECT_EQ(mistakes_of("a: {<<: 5}\n"), "C184@1:5");
}

TEST(ConfigNode, RefusesABillionLaughs) {
    std::string text = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n";
    for (int i = 1; i < 12; ++i) {
        text += fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i,
                            i - 1);
    }
    EXPECT_THAT(mistakes_of(text), HasSubstr("C185@"));
}

TEST(ConfigNode, RefusesWhatIsNestedTooDeep) {
    EXPECT_EQ(mistakes_of(std::string(kMaxConfigDepth, '[') + std::string(kMaxConfigDepth, ']')), "");
    EXPECT_EQ(mistakes_of(std::string(kMaxConfigDepth + 1, '[') + std::string(kMaxConfigDepth + 1, ']')), "C185@1:65");
    EXPECT_THAT(mistakes_of(std::string(1'000'000, '[')), HasSubstr("C185@"));
    std::string chain = "a0: &a0 [1]\n";
    for (int i = 1; i < 100; ++i) chain += fmt::format("a{0}: &a{0} [*a{1}]\n", i, i - 1);
    EXPECT_THAT(mistakes_of(chain), HasSubstr("C185@")) << "aliases deepen what repeats them";
}

TEST(ConfigNode, SaysATabIsATab) {
    EXPECT_EQ(mistakes_of("a:\n  b: 1\n\tc: 2\n"), "C182@3:1");
    EXPECT_EQ(mistakes_of("a: |\n  b\n  \tc\nd: 1\n"), "") << "a tab inside a block is text";
}

TEST(ConfigNode, GivesOneMistakeForWhatIsNoYaml) {
    EXPECT_EQ(mistakes_of("a: {b: 1\nc: 2\n"), "C181@2:2");
    EXPECT_EQ(mistakes_of("a: 'x\n"), "C181@1:4");
    EXPECT_EQ(mistakes_of("a: \"x \\\n  \"\n"), "");
    EXPECT_EQ(mistakes_of("a: b: c\n"), "C181@1:5");
    EXPECT_EQ(mistakes_of("a: 1\nb: \"x\nc: \"y\"\n"), "C181@2:4") << "where the quotes were left open";
    EXPECT_EQ(mistakes_of("a: 1\n---\nb: 1\n"), "C181@2:1");
    EXPECT_EQ(mistakes_of("[a, b]: 1\n"), "C181@1:1");
    EXPECT_EQ(mistakes_of("a: !python/object x\n"), "C181@1:4");
}

TEST(ConfigNode, KeepsWhatStandsBeforeAMistake) {
    Mistakes mistakes;
    const ConfigNode root = parse_config("test.yaml", "a: 1\nb: {c: 2, d: [3, }\n", mistakes);
    EXPECT_FALSE(mistakes.empty());
    EXPECT_EQ(root.find("a")->scalar, "1");
    EXPECT_EQ(root.find("b")->find("c")->scalar, "2");
}

TEST(ConfigNode, RefusesBytesThatAreNoText) {
    EXPECT_EQ(mistakes_of("a: 1\nb: \xFFx\n"), "C189@2:4");
    EXPECT_EQ(mistakes_of("a: \x01\n"), "C189@1:4");
    EXPECT_EQ(mistakes_of(std::string("a: \0", 4)), "C189@1:4");
    EXPECT_EQ(mistakes_of("\xEF\xBB\xBF"
                          "a: 1\r\nb: 2\r\n"),
              "")
        << "a mark at the front and Windows line ends are fine";
}

TEST(ConfigNode, RefusesAFileThatIsTooLarge) {
    EXPECT_EQ(mistakes_of(std::string(kMaxConfigBytes + 1, ' ')), "C180@0:1");
}

TEST(ConfigNode, AnEmptyFileIsNothingAtLineOne) {
    const ConfigNode root = parse_good("");
    EXPECT_TRUE(root.is_null());
    EXPECT_EQ(root.place.line, 1u);
}

class ConfigInclude : public ::testing::Test {
  protected:
    void SetUp() override {
        folder_ = std::filesystem::temp_directory_path() / fmt::format("takt_include_{}", ::getpid());
        std::filesystem::create_directories(folder_ / "shared");
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }
    ConfigNode read(const std::string& name) { return read_config((folder_ / name).string(), mistakes_); }

    std::filesystem::path folder_;
    Mistakes mistakes_;
};

TEST_F(ConfigInclude, MergesSectionBySectionAndKeepsPlaces) {
    write("main.yaml", "include: [shared/rules.yaml, shared/tables.yaml]\npipeline: p\ntables: {own: 1}\nsteps: [c]\n");
    write("shared/rules.yaml", "steps: [a, b]\ninclude: tables.yaml\n");
    write("shared/tables.yaml", "tables: {plants: 1}\n");
    const ConfigNode root = read("main.yaml");
    EXPECT_EQ(mistakes_.render(), "");
    std::vector<std::string> steps, tables;
    for (const ConfigNode& item : root.find("steps")->items) steps.push_back(item.scalar);
    for (const ConfigNode::Entry& entry : root.find("tables")->entries) tables.push_back(entry.key);
    EXPECT_THAT(steps, ElementsAre("a", "b", "c"));
    EXPECT_THAT(tables, ElementsAre("plants", "own"));
    EXPECT_THAT(root.find("steps")->items[0].place.file->path, HasSubstr("shared/rules.yaml"));
    EXPECT_EQ(root.find("include"), nullptr);
}

TEST_F(ConfigInclude, ReportsANameThatIsThereTwice) {
    write("main.yaml", "include: shared/a.yaml\npipeline: p\ntables:\n  x: 1\n");
    write("shared/a.yaml", "pipeline: q\ntables: {x: 2, y: 3}\n");
    read("main.yaml");
    EXPECT_EQ(codes(mistakes_), "C188@2:1 C188@4:3");
    EXPECT_THAT(mistakes_.render(), HasSubstr("shared/a.yaml:2:10"));
}

TEST_F(ConfigInclude, ReportsACycleAndAFileThatIsNotThere) {
    write("main.yaml", "include: [shared/a.yaml, shared/none.yaml, shared, {}]\n");
    write("shared/a.yaml", "include: ../main.yaml\n");
    read("main.yaml");
    EXPECT_EQ(codes(mistakes_), "C187@1:10 C187@1:26 C187@1:44 C187@1:52");
    EXPECT_THAT(mistakes_.list()[0].place.file->path, HasSubstr("a.yaml"));
}

TEST_F(ConfigInclude, ShowsTheMistakesOfTheMainFileFirst) {
    write("main.yaml", "include: shared/a.yaml\nk: 1\nk: 2\n");
    write("shared/a.yaml", "x: 1\nx: 2\n");
    read("main.yaml");
    const std::string text = mistakes_.render();
    EXPECT_LT(text.find("main.yaml:3:1"), text.find("shared/a.yaml:2:1"));
}

TEST_F(ConfigInclude, AFileThatIsNotThereIsAMistakeWithoutALine) {
    read("none.yaml");
    EXPECT_EQ(mistakes_.render(),
              (folder_ / "none.yaml").string() + ": error C180: the config cannot be read: there is no such file\n");
}

}  // namespace
}  // namespace takt
