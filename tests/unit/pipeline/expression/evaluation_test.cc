#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/pipeline/expression/shop_floor.h"

namespace takt {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

TEST(Expression, ReadsWhatIsAbsentAsTheDefaultAndHasTells) {
    const ShopFloor floor;
    EXPECT_THAT(floor.evaluate("count"), ElementsAre("5", "-3", "9223372036854775807", "-"));
    EXPECT_EQ(floor.evaluate("count == 0 && order == '' && !good && amount == decimal('0')").back(), "true");
    EXPECT_THAT(floor.evaluate("has(order)"), ElementsAre("true", "true", "true", "false"));
    EXPECT_THAT(floor.evaluate("has(item.cost)"), ElementsAre("true", "true", "true", "false"));
    EXPECT_EQ(floor.evaluate("size(tags)").back(), "0");
}

TEST(Expression, AbsorbsAnErrorWhereTheOtherSideDecides) {
    const ShopFloor floor;
    const std::string failed = "error: division by zero";
    EXPECT_THAT(floor.evaluate("10 / (count - 5) < 0 || good"), ElementsAre("true", "true", "true", "true"));
    EXPECT_THAT(floor.evaluate("10 / (count - 5) < 0 && good"), ElementsAre(failed, "false", "false", "false"));
    EXPECT_THAT(floor.evaluate("10 / (count - 5) < 0 && !good"), ElementsAre("false", "true", "false", "true"));
    EXPECT_THAT(floor.evaluate("good && 10 / (count - 5) < 0"), ElementsAre(failed, "false", "false", "false"));
    EXPECT_THAT(floor.evaluate("!good || 10 / (count - 5) < 0"), ElementsAre(failed, "true", "false", "true"));
    EXPECT_THAT(floor.evaluate("10 / (count - 5) < 0 || 20 / (count - 5) < 0"),
                ElementsAre(failed, "true", "false", "true"));
}

TEST(Expression, EvaluatesOnlyTheChosenSideOfAConditional) {
    const ShopFloor floor;
    EXPECT_THAT(floor.evaluate("count == 5 ? 0 : 100 / (count - 5)"), ElementsAre("0", "-12", "0", "-20"));
    EXPECT_THAT(floor.evaluate("good ? tags : ['none']"), ElementsAre("[a, bb]", "[none]", "[c]", "[none]"));
}

TEST(Expression, EndsARowInAnErrorWhenANumberDoesNotFit) {
    const ShopFloor floor;
    EXPECT_THAT(floor.evaluate("count + 1"), ElementsAre("6", "-2", "error: integer overflow", "1"));
    EXPECT_THAT(floor.evaluate("count * 2 - count"), ElementsAre("5", "-3", "error: integer overflow", "0"));
    EXPECT_THAT(floor.evaluate("7 % count"), ElementsAre("2", "1", "7", "error: division by zero"));
    EXPECT_THAT(floor.evaluate("int(ratio)"),
                ElementsAre("0", "error: beyond the range of the type", "error: beyond the range of the type", "0"));
    EXPECT_THAT(floor.evaluate("tags[0]"),
                ElementsAre("a", "error: index out of range", "c", "error: index out of range"));
    EXPECT_EQ(floor.value("-9223372036854775808 / -1"), "error: integer overflow");
}

TEST(Expression, ComparesAnEnumerationWithItsNames) {
    const ShopFloor floor;
    EXPECT_THAT(floor.evaluate("kind == 'reading'"), ElementsAre("true", "false", "false", "false"));
    EXPECT_THAT(floor.evaluate("'reading' != kind"), ElementsAre("false", "true", "true", "true"));
    EXPECT_THAT(floor.evaluate("kind in ['reading', 'cycle']"), ElementsAre("true", "true", "false", "false"));
    EXPECT_THAT(floor.evaluate("kind in ['lot_status', 'cycle']"), ElementsAre("false", "true", "true", "false"));
    EXPECT_THAT(floor.evaluate("string(kind)"), ElementsAre("reading", "cycle", "lot_status", ""));
}

TEST(Expression, ReadsAClockInItsZoneAcrossAJump) {
    const ShopFloor floor;
    EXPECT_THAT(floor.evaluate("at.getHours('Europe/Berlin')"), ElementsAre("1", "3", "0", "1"));
    EXPECT_THAT(floor.evaluate("at.getHours()"), ElementsAre("0", "1", "23", "0"));
    EXPECT_THAT(floor.evaluate("at.getDate('-01:00')"), ElementsAre("28", "29", "31", "31"));
    EXPECT_THAT(floor.evaluate("at.getDayOfWeek()"), ElementsAre("0", "0", "3", "4"));
    EXPECT_THAT(floor.evaluate("at.getMilliseconds()"), ElementsAre("0", "0", "500", "0"));
    EXPECT_THAT(floor.evaluate("at + spent < timestamp('2026-03-29T01:00:00Z')"),
                ElementsAre("false", "true", "true", "true"));
    EXPECT_THAT(floor.evaluate("spent.getMinutes()"), ElementsAre("90", "0", "0", "0"));
}

TEST(Expression, WalksOverLists) {
    const ShopFloor floor;
    EXPECT_THAT(floor.evaluate("tags.exists(t, t == 'bb')"), ElementsAre("true", "false", "false", "false"));
    EXPECT_THAT(floor.evaluate("tags.all(t, size(t) == 1)"), ElementsAre("false", "true", "true", "true"));
    EXPECT_THAT(floor.evaluate("tags.filter(t, t != order).map(t, t + string(count))"),
                ElementsAre("[a5, bb5]", "[]", "[c9223372036854775807]", "[]"));
    EXPECT_THAT(floor.evaluate("tags.all(i, t, size(t) == i + 1)"), ElementsAre("true", "true", "true", "true"));
    EXPECT_THAT(floor.evaluate("tags.exists(t, ['a', 'c'].exists(u, u == t && count > 5))"),
                ElementsAre("false", "false", "true", "false"));
    EXPECT_THAT(floor.evaluate("'c' in tags"), ElementsAre("false", "false", "true", "false"));
    EXPECT_THAT(floor.evaluate("order in tags + ['PO-1']"), ElementsAre("true", "false", "false", "false"));
}

TEST(Expression, LetsAVariableOfAMacroHideAColumn) {
    const ShopFloor floor;
    EXPECT_THAT(floor.evaluate("[7].exists(count, count == 7)"), Each("true"));
    EXPECT_THAT(floor.evaluate("[7].exists(count, .count == 5)"), ElementsAre("true", "false", "false", "false"));
    // "item" is a number here: it has no field, though a column is called item.cost.
    EXPECT_THAT(floor.mistakes("[7].exists(item, item.cost > decimal('0'))"), ::testing::StartsWith("C205 "));
    EXPECT_THAT(floor.mistakes("[7].exists(count, has(count))"), ::testing::StartsWith("C205 "));
}

TEST(Expression, KnowsTextsByCharacters) {
    const ShopFloor floor;
    EXPECT_EQ(floor.value("size('µm²')"), "3");
    EXPECT_EQ(floor.value("'größer'.substring(2, 4)"), "öß");
    EXPECT_EQ(floor.value("'größer'.indexOf('e')"), "4");
    EXPECT_EQ(floor.value("'a-b-c'.split('-', 2)"), "[a, b-c]");
    EXPECT_EQ(floor.value("'  x '.trim()"), "x");
    EXPECT_EQ(floor.value("'abc'.reverse().upperAscii()"), "CBA");
    EXPECT_EQ(floor.value("'abc'.charAt(4)"), "error: index out of range");
    EXPECT_THAT(floor.evaluate("order.matches('^[A-Z]+-[0-9]$')"), ElementsAre("true", "true", "false", "false"));
}

TEST(Expression, KeepsTheBackslashesOfARawText) {
    const ShopFloor floor;
    EXPECT_EQ(floor.value(R"(r'\u0041\n')"), R"(\u0041\n)");
    EXPECT_EQ(floor.value(R"('\u0041\x42\103')"), "ABC");
    EXPECT_EQ(floor.value(R"(size(b'\377') == 1 && size(bytes('\377')) == 2)"), "true");
    EXPECT_EQ(floor.value("'''it's\n'a' text'''"), "it's\n'a' text");
}

TEST(Expression, FillsAFormatThatChangesFromRowToRow) {
    const ShopFloor floor;
    EXPECT_THAT(floor.evaluate("'%s:%d'.format([order, count])"),
                ElementsAre("PO-1:5", "TEST-2:-3", ":9223372036854775807", ":0"));
    EXPECT_THAT(floor.evaluate("(good ? '%d%%' : '%s%s').format([count])"),
                ElementsAre("5%", "error: the format has more clauses than values", "9223372036854775807%",
                            "error: the format has more clauses than values"));
    EXPECT_THAT(floor.evaluate("(good ? '%s' : '%d').format([order])"),
                ElementsAre("PO-1", "error: a clause of the format does not take its value", "",
                            "error: a clause of the format does not take its value"));
}

TEST(Expression, ConvertsOnlyWhatIsANumberFromItsFirstToItsLastCharacter) {
    const ShopFloor floor;
    EXPECT_EQ(floor.value("int('+5') + int('-5')"), "0");
    for (const char* text : {"", "+", "-", "+-5", "--5", " 5", "5 ", "0x5", "5.0"}) {
        EXPECT_EQ(floor.value(fmt::format("int('{}')", text)), "error: this string is no number of that type") << text;
    }
    EXPECT_EQ(floor.value("double('1e3')"), "1000");
    EXPECT_EQ(floor.value("uint(-1)"), "error: beyond the range of the type");
    EXPECT_EQ(floor.value("duration('1h1.5s') == duration('3601500ms')"), "true");
}

TEST(Expression, RefusesAtLoadTimeATimeThatOnlyCelCanHold) {
    const ShopFloor floor;
    const auto refused = ::testing::StartsWith("C205 ");
    EXPECT_THAT(floor.mistakes("timestamp('2300-01-01T00:00:00Z') > at"), refused);
    EXPECT_THAT(floor.mistakes("timestamp('2200-01-01T00:00:00Z') + duration('2000000h') > at"), refused);
    EXPECT_THAT(floor.mistakes("timestamp('2200-01-01T00:00:00Z') - timestamp('1800-01-01T00:00:00Z') > spent"),
                refused);
    EXPECT_EQ(floor.value("timestamp('not a time')"), "error: this string is no timestamp (RFC 3339)");
}

TEST(Expression, ComparesTypesWhenItIsLoaded) {
    const ShopFloor floor;
    EXPECT_EQ(floor.value("type(1) == int"), "true");
    EXPECT_EQ(floor.value("type(1) == type(1u)"), "false");
    EXPECT_EQ(floor.value("type(count) != type(order)"), "true");
    EXPECT_EQ(floor.value("type(at) == google.protobuf.Timestamp"), "true");
    EXPECT_EQ(floor.value("type(1 / 0) == int"), "error: division by zero");
    EXPECT_THAT(floor.mistakes("type(count)"), ::testing::StartsWith("C205 "));
}

TEST(Expression, KnowsWhatItReads) {
    const ShopFloor floor;
    const auto slots = [&](const char* text) {
        return std::get<Program>(compile_expression(text, floor.scope)).slots();
    };
    EXPECT_THAT(slots("item.cost > amount && has(order) && amount > decimal('0')"), ElementsAre(1, 3, 9));
    EXPECT_TRUE(std::get<Program>(compile_expression("1 + 2 == 3", floor.scope)).constant());
}

}  // namespace
}  // namespace takt
