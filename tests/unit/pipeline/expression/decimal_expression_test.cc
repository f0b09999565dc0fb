#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/pipeline/expression/shop_floor.h"

namespace takt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(DecimalExpression, KeepsEveryDigitOfSumsAndProducts) {
    const ShopFloor floor;
    EXPECT_EQ(floor.value("decimal('12.50')"), "12.50");
    EXPECT_THAT(floor.evaluate("amount + item.cost"), ElementsAre("14.000", "0.005", "3.000", "0.000"));
    EXPECT_THAT(floor.evaluate("amount * item.cost"), ElementsAre("18.75000", "-0.00005", "0.00000", "0.00000"));
    EXPECT_THAT(floor.evaluate("-amount - 1"), ElementsAre("-2.500", "-0.995", "-1.000", "-1.000"));
    EXPECT_EQ(floor.value("decimal('0.1') + decimal('0.2') == decimal('0.3')"), "true");
}

TEST(DecimalExpression, ComparesByValueAcrossScales) {
    const ShopFloor floor;
    EXPECT_THAT(floor.evaluate("amount == decimal('1.5')"), ElementsAre("true", "false", "false", "false"));
    EXPECT_THAT(floor.evaluate("amount < decimal('-0.00499')"), ElementsAre("false", "true", "false", "false"));
    EXPECT_THAT(floor.evaluate("amount < item.cost"), ElementsAre("true", "true", "true", "false"));
    EXPECT_THAT(floor.evaluate("amount >= 0"), ElementsAre("true", "false", "true", "true"));
    EXPECT_THAT(floor.evaluate("0 > amount"), ElementsAre("false", "true", "false", "false"));
    EXPECT_THAT(floor.evaluate("amount > count"), ElementsAre("false", "true", "false", "false"));
    // At one scale these two would not fit 128 bits.
    EXPECT_EQ(
        floor.value(
            "decimal('100000000000000000000000000000000000000') > decimal('0.00000000000000000000000000000000000001')"),
        "true");
}

TEST(DecimalExpression, RoundsHalfToEven) {
    const ShopFloor floor;
    const std::pair<const char*, const char*> cases[] = {{"0.5", "0"},  {"1.5", "2"},   {"2.5", "2"},  {"2.51", "3"},
                                                         {"-0.5", "0"}, {"-1.5", "-2"}, {"-2.5", "-2"}};
    for (const auto& [text, rounded] : cases) {
        EXPECT_EQ(floor.value(fmt::format("round(decimal('{}'), 0)", text)), rounded) << text;
        EXPECT_EQ(floor.value(fmt::format("scale(decimal('{}'), 1, 1, 0)", text)), rounded) << text;
    }
    EXPECT_EQ(floor.value("round(decimal('7'), 2)"), "7.00");
}

TEST(DecimalExpression, ScalesByARatioWithoutRoundingInBetween) {
    const ShopFloor floor;
    EXPECT_EQ(floor.value("scale(decimal('10'), 1, 3, 6)"), "3.333333");
    EXPECT_EQ(floor.value("scale(decimal('3.333333'), 3, 1, 6)"), "9.999999");
    EXPECT_EQ(floor.value("scale(decimal('1.00'), decimal('2.5'), decimal('0.04'), 3)"), "62.500");
    // The product has 50 digits, the result 25.
    EXPECT_EQ(floor.value("scale(decimal('1234567890123456789012345'), decimal('9876543210987654321098765'), "
                          "decimal('9876543210987654321098765'), 0)"),
              "1234567890123456789012345");
    EXPECT_THAT(floor.evaluate("scale(amount, 1, count, 4)"),
                ElementsAre("0.3000", "0.0017", "0.0000", "error: division by zero"));
}

TEST(DecimalExpression, EndsInAnErrorRatherThanLoseADigit) {
    const ShopFloor floor;
    const std::string large = "decimal('170141183460469231731687303715884105727')";  // 2^127 - 1
    EXPECT_EQ(floor.value(large + " + 1"), "error: decimal overflow");
    EXPECT_EQ(floor.value(large + " * 2"), "error: decimal overflow");
    EXPECT_EQ(floor.value("round(" + large + ", 1)"), "error: decimal overflow");
    EXPECT_EQ(floor.value("int(" + large + ")"), "error: beyond the range of the type");
    EXPECT_EQ(floor.value("abs(-" + large + ") == " + large), "true");
    EXPECT_THAT(floor.evaluate("decimal(order + '1.25', 1)"),
                ElementsAre("error: this string is no decimal number", "error: this string is no decimal number",
                            "error: this decimal number has more digits than fit",
                            "error: this decimal number has more digits than fit"));
    EXPECT_EQ(floor.evaluate("decimal(order + '1.250', 2)").back(), "1.25");
}

TEST(DecimalExpression, LeavesTheWorldOfDecimalsOnlyWhenAsked) {
    const ShopFloor floor;
    EXPECT_THAT(floor.evaluate("int(amount)"), ElementsAre("1", "0", "0", "0"));
    EXPECT_THAT(floor.evaluate("string(amount)"), ElementsAre("1.500", "-0.005", "0.000", "0.000"));
    EXPECT_EQ(floor.value("int(decimal('-2.9'))"), "-2");
    EXPECT_EQ(floor.value("double(decimal('0.1')) == 0.1"), "true");
    // Nearest, where units and power of ten are no doubles themselves.
    EXPECT_EQ(floor.value("double(decimal('9007199254740993.00000001')) == 9007199254740994.0"), "true");
    EXPECT_EQ(floor.value("math.greatest(decimal('1.5'), 2, decimal('1.75'))"), "2.00");
    EXPECT_EQ(floor.value("true ? decimal('1.5') : 2"), "1.5");
}

TEST(DecimalExpression, NeverTakesABinaryFloat) {
    const ShopFloor floor;
    for (const char* text : {"amount + ratio", "amount * 1.5", "amount == ratio", "1.5 < amount", "decimal(ratio)",
                             "decimal(0.5)", "decimal(ratio, 2)", "scale(amount, ratio, 1, 2)"}) {
        EXPECT_THAT(floor.mistakes(text), AllOf(StartsWith("C207 "), HasSubstr("binary float"))) << text;
    }
}

TEST(DecimalExpression, SaysWhatItNeedsToKnowAtLoadTime) {
    const ShopFloor floor;
    EXPECT_THAT(floor.mistakes("amount / 2 > decimal('1')"), AllOf(StartsWith("C207 0+10 "), HasSubstr("scale(")));
    EXPECT_THAT(floor.mistakes("round(amount, count)"), StartsWith("C207 14+5 "));
    EXPECT_THAT(floor.mistakes("decimal(order)"), StartsWith("C207 "));
    EXPECT_THAT(floor.mistakes("decimal('1,5')"), StartsWith("C207 8+5 "));
    EXPECT_THAT(floor.mistakes("round(amount, 20) * round(amount, 19)"),
                AllOf(StartsWith("C207 "), HasSubstr("39 digits")));
    EXPECT_EQ(floor.mistakes("round(amount, 20) * round(amount, 18)"), "");
}

}  // namespace
}  // namespace takt
