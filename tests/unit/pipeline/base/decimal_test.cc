#include "pipeline/base/decimal.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>

namespace takt {
namespace {

constexpr std::int64_t kMax = INT64_MAX;
constexpr std::int64_t kMin = INT64_MIN;
const Int128 kMax128 = static_cast<Int128>(~UInt128{0} >> 1);

std::optional<std::int64_t> millionths(std::string_view text) {
    return parse_decimal_int64(text, 6);
}

std::string shown(const std::optional<Decimal>& value) {
    return value ? format_decimal(value->units, value->scale) : "nothing";
}

TEST(Decimal, CountsANumberByItsValueWhateverItsNotation) {
    for (const char* text : {"1.5", "1.50", "1.5000000", "15e-1", "0.15E1", "0.0015e+3", "1500000000000e-12"}) {
        EXPECT_EQ(millionths(text), 1'500'000) << text;
    }
    EXPECT_EQ(millionths("1e3"), 1'000'000'000);
    EXPECT_EQ(millionths("1.5E-2"), 15'000);
    EXPECT_EQ(millionths("-0"), 0);
    EXPECT_EQ(millionths("-0.000001"), -1);
    EXPECT_EQ(millionths("1000000000000000000000e-21"), 1'000'000);
}

TEST(Decimal, RefusesADigitBeyondTheScale) {
    for (const char* text : {"1.0000001", "1e-7", "0.1234567", "-0.0000005", "1.5e-6"})
        EXPECT_EQ(millionths(text), std::nullopt) << text;
    EXPECT_EQ(millionths("10e-7"), 1);
}

TEST(Decimal, KeepsToTheGrammarOfJson) {
    for (const char* text : {"",    "-",    "+1",  " 1",  "1 ",       ".5",  "5.",    "01",  "-01",   "00",    "1e",
                             "1e+", "1.e3", "0x1", "NaN", "Infinity", "1,5", "1e3.0", "--1", "1_000", "1.5.0", "٣"}) {
        EXPECT_EQ(millionths(text), std::nullopt) << text;
        EXPECT_FALSE(parse_decimal(text)) << text;
    }
    EXPECT_EQ(millionths(std::string_view("1\0", 2)), std::nullopt);
}

TEST(Decimal, ReachesTheLimitsOfInt64AndNotBeyond) {
    EXPECT_EQ(millionths("9223372036854.775807"), kMax);
    EXPECT_EQ(millionths("9223372036854.775808"), std::nullopt);
    EXPECT_EQ(millionths("-9223372036854.775808"), kMin);
    EXPECT_EQ(millionths("-9223372036854.775809"), std::nullopt);
    EXPECT_EQ(millionths("9223372036854775807e-6"), kMax);
    EXPECT_EQ(millionths("92233720368547758070e-7"), kMax);
    EXPECT_EQ(millionths("9223372036855"), std::nullopt);
    EXPECT_EQ(millionths("99999999999999999"), std::nullopt);
}

TEST(Decimal, IsRightAndQuickWithHugeExponents) {
    const auto begin = std::chrono::steady_clock::now();
    for (const char* text :
         {"0e99999", "0e999999999", "0.000e-999999999999999999999", "-0e1", "0.0e+99999999999999999999999999"}) {
        EXPECT_EQ(millionths(text), 0) << text;
        EXPECT_EQ(shown(parse_decimal(text)), "0") << text;
    }
    for (const char* text : {"1e999999999", "1e-999999999", "1e99999999999999999999999999999", "1e18446744073709551616",
                             "1e-18446744073709551616"}) {
        EXPECT_EQ(millionths(text), std::nullopt) << text;
        EXPECT_FALSE(parse_decimal(text)) << text;
    }
    const std::string zeros(100'000, '0');
    EXPECT_EQ(millionths(fmt::format("1{}e-100000", zeros)), 1'000'000);
    EXPECT_EQ(millionths(fmt::format("0.{}1e100001", zeros)), 1'000'000);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
}

TEST(Decimal, ParsesWithTheSmallestScaleThatHoldsTheValue) {
    EXPECT_EQ(shown(parse_decimal("1.500")), "1.5");
    EXPECT_EQ(shown(parse_decimal("1.2e3")), "1200");
    EXPECT_EQ(shown(parse_decimal("1e-38")), fmt::format("0.{:0>38}", 1));
    EXPECT_FALSE(parse_decimal("1e-39"));
    EXPECT_EQ(shown(parse_decimal("170141183460469231731687303715884105727")),
              "170141183460469231731687303715884105727");
    EXPECT_FALSE(parse_decimal("170141183460469231731687303715884105728"));
    EXPECT_EQ(shown(parse_decimal("-170141183460469231731687303715884105.727")),
              "-170141183460469231731687303715884105.727");
    EXPECT_EQ(shown(parse_decimal("1e38")), fmt::format("1{:0>38}", 0));
    EXPECT_FALSE(parse_decimal("1e39"));
}

TEST(Decimal, RoundsTiesToEvenOnBothSidesOfZero) {
    const std::pair<int, int> tenths[] = {{5, 0},    {15, 2},   {25, 2}, {35, 4},   {-5, 0}, {-15, -2},
                                          {-25, -2}, {-35, -4}, {26, 3}, {-26, -3}, {24, 2}, {-24, -2}};
    for (const auto& [value, rounded] : tenths) {
        EXPECT_TRUE(divide_half_even(value, 10) == rounded) << value;
        EXPECT_TRUE(divide_half_even(-value, -10) == rounded) << value;
        EXPECT_TRUE(rescale(value, 1, 0) == Int128{rounded}) << value;
        EXPECT_TRUE(multiply_divide_half_even(value, 1, 10) == Int128{rounded}) << value;
        EXPECT_TRUE(multiply_divide_half_even(value, -1, -10) == Int128{rounded}) << value;
    }
    EXPECT_TRUE(divide_half_even(5, 3) == 2);
    EXPECT_TRUE(divide_half_even(kMax128, 2) == kMax128 / 2 + 1);
}

TEST(Decimal, RescalesAndSaysWhatDoesNotFit) {
    EXPECT_TRUE(rescale(125, 2, 4) == Int128{12500});
    EXPECT_TRUE(rescale_exact(12500, 4, 2) == Int128{125});
    EXPECT_FALSE(rescale_exact(12501, 4, 2));
    EXPECT_FALSE(rescale(kMax128, 0, 1));
    EXPECT_TRUE(rescale(0, 0, 38) == Int128{0});
    EXPECT_TRUE(rescale(-1, 38, 0) == Int128{0});
}

TEST(Decimal, HoldsProductsIn256Bits) {
    const Int128 big = power_of_ten(37);
    EXPECT_TRUE(multiply_divide_half_even(big, big, big) == big);
    EXPECT_TRUE(multiply_divide_half_even(-kMax128, kMax128, kMax128) == -kMax128);
    EXPECT_FALSE(multiply_divide_half_even(big, big, power_of_ten(35)));
    EXPECT_TRUE(multiply_divide_half_even(big, 3, 2 * big) == Int128{2});  // 1.5
    EXPECT_TRUE(multiply_divide_half_even(big, 5, 2 * big) == Int128{2});  // 2.5
    EXPECT_TRUE(multiply_divide_half_even(big, -5, 2 * big) == Int128{-2});
    // Any product within 128 bits divides like a plain division; a division of the largest values gives back a factor.
    std::mt19937_64 random(1);
    for (int i = 0; i < 10'000; ++i) {
        const Int128 a = static_cast<std::int64_t>(random()),
                     b = static_cast<std::int64_t>(random() >> (random() % 60));
        const Int128 c = static_cast<std::int64_t>(random() >> (random() % 60)) | 1;
        ASSERT_TRUE(multiply_divide_half_even(a, b, c) == divide_half_even(a * b, c));
        const Int128 wide = kMax128 - static_cast<std::int64_t>(random() >> 2);
        ASSERT_TRUE(multiply_divide_half_even(wide, c, c) == wide);
    }
}

TEST(Decimal, RefusesArithmeticBeyond128Bits) {
    EXPECT_FALSE(checked_add(kMax128, 1));
    EXPECT_FALSE(checked_subtract(-kMax128, 2));
    EXPECT_FALSE(checked_multiply(kMax128, 2));
    EXPECT_TRUE(checked_add(kMax128, -1) == kMax128 - 1);
}

TEST(Decimal, ComparesByValue) {
    EXPECT_EQ(compare({15, 1}, {1500, 3}), 0);
    EXPECT_EQ(compare({15, 1}, {1501, 3}), -1);
    EXPECT_EQ(compare({-15, 1}, {-1501, 3}), 1);
    EXPECT_EQ(compare({-1, 0}, {1, 38}), -1);
    EXPECT_EQ(compare({kMax128, 0}, {kMax128, 38}), 1);
    EXPECT_EQ(compare({0, 0}, {0, 38}), 0);
}

TEST(Decimal, AddsUpAtTheLargerScaleOrNotAtAll) {
    const auto text = [](const std::optional<Decimal>& value) {
        return value ? format_decimal(value->units, value->scale) : "none";
    };
    EXPECT_EQ(text(exact_sum({125, 2}, {5, 0})), "6.25");
    EXPECT_EQ(text(exact_sum({-5, 0}, {1, 3})), "-4.999");
    EXPECT_EQ(text(exact_difference({5, 0}, {125, 2})), "3.75");
    EXPECT_EQ(text(exact_difference({125, 2}, {125, 2})), "0.00");
    EXPECT_EQ(text(exact_sum({kMax128, 0}, {1, 0})), "none");
    EXPECT_EQ(text(exact_difference({-kMax128, 2}, {200, 2})), "none");
    EXPECT_EQ(text(exact_sum({kMax128, 0}, {1, 1})), "none");
}

TEST(Decimal, WritesWhatItReads) {
    EXPECT_EQ(format_decimal(-1250, 2), "-12.50");
    EXPECT_EQ(format_decimal(-5, 2), "-0.05");
    EXPECT_EQ(format_decimal(0, 2), "0.00");
    EXPECT_EQ(format_decimal(7, 0), "7");
    EXPECT_EQ(format_decimal_shortest(-1250, 2), "-12.5");
    EXPECT_EQ(format_decimal_shortest(1000, 0), "1000");
    EXPECT_EQ(format_decimal_shortest(0, 6), "0");
    EXPECT_EQ(format_decimal(kMin, 6), "-9223372036854.775808");
    std::mt19937_64 random(2);
    for (int i = 0; i < 10'000; ++i) {
        const auto value = static_cast<std::int64_t>(random()) >> (random() % 64);
        ASSERT_EQ(millionths(format_decimal(value, 6)), value);
        ASSERT_EQ(millionths(format_decimal_shortest(value, 6)), value);
    }
}

}  // namespace
}  // namespace takt
