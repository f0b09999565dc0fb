#include "pipeline/state/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace takt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> texts(const CsvTable& table, std::size_t row) {
    std::vector<std::string> texts;
    for (const CsvCell& cell : table.row(row)) texts.emplace_back(cell.text);
    return texts;
}

std::string refusal(std::string text) {
    const Result<CsvTable> table = parse_csv("t.csv", std::move(text));
    return table.ok() ? "accepted" : table.error().text();
}

TEST(Csv, ReadsQuotedFieldsWithCommasQuotesAndLineEnds) {
    const Result<CsvTable> table = parse_csv("t.csv", "a,b\n\"x,\"\"y\"\"\",\"1\r\n2\"\n");
    ASSERT_TRUE(table.ok()) << table.error().text();
    EXPECT_THAT(texts(*table, 0), ElementsAre("x,\"y\"", "1\r\n2"));
}

TEST(Csv, TakesBothLineEndsAndNoneAtTheEnd) {
    const Result<CsvTable> table = parse_csv("t.csv",
                                             "\xEF\xBB\xBF"
                                             "a,b\r\n1,\r\n\n,2");
    ASSERT_TRUE(table.ok()) << table.error().text();
    EXPECT_THAT(table->header(), ElementsAre("a", "b"));
    ASSERT_EQ(table->rows(), 2U);
    EXPECT_THAT(texts(*table, 0), ElementsAre("1", ""));
    EXPECT_THAT(texts(*table, 1), ElementsAre("", "2"));
}

TEST(Csv, PlacesCountLinesInsideQuotesAndCharactersNotBytes) {
    const Result<CsvTable> table = parse_csv("t.csv", "a,b\n\"\n\xC3\xA9\",x\ny,z\n");
    ASSERT_TRUE(table.ok()) << table.error().text();
    EXPECT_EQ(table->place(table->row(0)[1]), "t.csv:3:4");
    EXPECT_EQ(table->place(table->row(1)[0]), "t.csv:4:1");
}

TEST(Csv, SaysWhereAndWhatIsWrong) {
    EXPECT_EQ(refusal("a,b\n1,2,3\n"), "D402: t.csv:2:1: 3 fields: expected 2, as in the header");
    EXPECT_THAT(refusal("a,b\nx\"y,2\n"), HasSubstr("t.csv:2:2: a quote inside a field"));
    EXPECT_THAT(refusal("a,b\n1,\"x\n\n"), HasSubstr("t.csv:2:3: a quote that is never closed"));
    EXPECT_THAT(refusal("a,b\n\"x\"y,2\n"), HasSubstr("t.csv:2:4: text after a closing quote"));
    EXPECT_THAT(refusal("a,b\n1\r2,3\n"), HasSubstr("t.csv:2:2: a CR without LF"));
    EXPECT_THAT(refusal("a,b\n1,\xC3(\n"), HasSubstr("t.csv:2:3: bytes that are not UTF-8"));
    EXPECT_THAT(refusal(std::string("a\n\0\n", 4)), HasSubstr("t.csv:2:1: a NUL byte"));
    EXPECT_THAT(refusal("a,a\n"), HasSubstr("C403: t.csv:1:3: column 'a' is there twice"));
    EXPECT_THAT(refusal("a,\n"), HasSubstr("t.csv:1:3: a column without name"));
    EXPECT_THAT(refusal("\n\n"), HasSubstr("no header"));
    EXPECT_THAT(refusal(""), HasSubstr("no header"));
}

TEST(Csv, ReportsAllMistakesAtOnce) {
    EXPECT_EQ(refusal("a,b\n1\n2,2\nx\"y,1\n3\n"),
              "D402: t.csv:2:1: 1 fields: expected 2, as in the header\n"
              "t.csv:4:2: a quote inside a field that does not begin with one: quote the field and double the quote\n"
              "t.csv:5:1: 1 fields: expected 2, as in the header");
}

TEST(Csv, SaysWhyAFileCannotBeRead) {
    const Result<CsvTable> table = read_csv("/nowhere/units.csv");
    ASSERT_FALSE(table.ok());
    EXPECT_EQ(table.error().text(), "C401: cannot read /nowhere/units.csv: No such file or directory");
}

TEST(Csv, WrittenFieldsReadBack) {
    for (const std::string text : {"plain", "", "a,b", "say \"x\"", "\r", "1\n2", " spaced "}) {
        std::string file = "h,k\n";
        append_csv_field(file, text);
        file += ",1\n";
        const Result<CsvTable> table = parse_csv("t.csv", file);
        ASSERT_TRUE(table.ok()) << table.error().text();
        EXPECT_EQ(table->row(0)[0].text, text);
    }
}

}  // namespace
}  // namespace takt
