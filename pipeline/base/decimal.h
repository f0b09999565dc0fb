#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pipeline/base/int128.h"

namespace takt {

/// An exact decimal number: units / 10^scale, |units| < 2^127, 0 <= scale <= 38.
/// Two decimals of different scale may be equal; compare with `compare`.
struct Decimal {
    Int128 units = 0;
    int scale = 0;
};

constexpr int kMaxDecimalScale = 38;

/// 10^exponent, 0 <= exponent <= 38.
Int128 power_of_ten(int exponent);

/// a + b, a - b, a * b; nothing when the result does not fit 128 bits.
std::optional<Int128> checked_add(Int128 a, Int128 b);
std::optional<Int128> checked_subtract(Int128 a, Int128 b);
std::optional<Int128> checked_multiply(Int128 a, Int128 b);

/// The value's units at another scale, rounded half to even where digits are lost. Nothing on overflow.
std::optional<Int128> rescale(Int128 units, int from_scale, int to_scale);

/// The value's units at another scale; nothing on overflow or where a digit other than 0 would be lost.
std::optional<Int128> rescale_exact(Int128 units, int from_scale, int to_scale);

/// numerator / denominator rounded half to even. denominator != 0.
Int128 divide_half_even(Int128 numerator, Int128 denominator);

/// a * b / c rounded half to even, the product held in 256 bits. Nothing when the result does not fit 128 bits. c != 0.
std::optional<Int128> multiply_divide_half_even(Int128 a, Int128 b, Int128 c);

/// a + b, a - b at the larger scale of the two; nothing on overflow.
std::optional<Decimal> exact_sum(const Decimal& a, const Decimal& b);
std::optional<Decimal> exact_difference(const Decimal& a, const Decimal& b);

/// -1, 0, 1 as a < b, a = b, a > b by value.
int compare(const Decimal& a, const Decimal& b);

/// JSON's number grammar (RFC 8259 section 6: no '+', no blanks, no leading zero, no ".5"), exactly, with its exponent.
/// The result has the smallest scale that holds the value. Nothing when it is not such a number or does not fit.
std::optional<Decimal> parse_decimal(std::string_view text);

/// The value's units at `scale`, as written by JSON's number grammar: exact within `scale` digits and within int64,
/// else nothing. "1e3", "1.5E-2", "1.5000000" count by value.
std::optional<std::int64_t> parse_decimal_int64(std::string_view text, int scale);

/// Plain notation with exactly `scale` digits after the point: "-12.50"; no point when scale is 0.
std::string format_decimal(Int128 units, int scale);

/// Plain notation without trailing zeros: "12.5", "0".
std::string format_decimal_shortest(Int128 units, int scale);

}  // namespace takt
