#include "pipeline/base/decimal.h"

#include <algorithm>
#include <array>

#include "pipeline/base/check.h"

namespace takt {
namespace {

constexpr std::array<Int128, kMaxDecimalScale + 1> kPowers = [] {
    std::array<Int128, kMaxDecimalScale + 1> powers{};
    powers[0] = 1;
    for (std::size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * 10;
    return powers;
}();

constexpr UInt128 kMaxMagnitude = ~UInt128{0} >> 1;  // 2^127 - 1

UInt128 magnitude(Int128 value) {
    return value < 0 ? UInt128{0} - static_cast<UInt128>(value) : static_cast<UInt128>(value);
}

std::optional<Int128> with_sign(UInt128 value, bool negative) {
    if (value > kMaxMagnitude) return std::nullopt;
    const auto narrow = static_cast<Int128>(value);
    return negative ? -narrow : narrow;
}

struct UInt256 {
    UInt128 high = 0;
    UInt128 low = 0;
};

UInt256 multiply(UInt128 a, UInt128 b) {
    const UInt128 mask = ~std::uint64_t{0};
    const UInt128 a_low = a & mask, a_high = a >> 64, b_low = b & mask, b_high = b >> 64;
    const UInt128 low = a_low * b_low;
    const UInt128 middle_1 = a_high * b_low + (low >> 64);
    const UInt128 middle_2 = a_low * b_high + (middle_1 & mask);
    return {a_high * b_high + (middle_1 >> 64) + (middle_2 >> 64), (middle_2 << 64) | (low & mask)};
}

/// value / divisor by shift and subtract; nothing when the quotient does not fit 128 bits.
std::optional<std::pair<UInt128, UInt128>> divide(const UInt256& value, UInt128 divisor) {
    if (value.high == 0) return std::pair{value.low / divisor, value.low % divisor};
    if (value.high >= divisor) return std::nullopt;
    UInt128 remainder = value.high;
    UInt128 quotient = 0;
    for (int bit = 127; bit >= 0; --bit) {
        const bool carry = (remainder >> 127) != 0;
        remainder = (remainder << 1) | ((value.low >> bit) & 1);
        quotient <<= 1;
        if (carry || remainder >= divisor) {
            remainder -= divisor;
            quotient |= 1;
        }
    }
    return std::pair{quotient, remainder};
}

UInt128 round_half_even(UInt128 quotient, UInt128 remainder, UInt128 divisor) {
    const UInt128 rest = divisor - remainder;
    if (remainder > rest || (remainder == rest && (quotient & 1) != 0)) return quotient + 1;
    return quotient;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// A number of JSON's grammar, taken apart: value = digits x 10^exponent.
struct Literal {
    bool negative = false;
    std::string_view whole;
    std::string_view fraction;
    std::int64_t exponent = 0;
};

std::optional<Literal> take_apart(std::string_view text) {
    Literal literal;
    std::size_t at = 0;
    const auto digits = [&] {
        const std::size_t begin = at;
        while (at < text.size() && is_digit(text[at])) ++at;
        return text.substr(begin, at - begin);
    };
    if (at < text.size() && text[at] == '-') {
        literal.negative = true;
        ++at;
    }
    literal.whole = digits();
    if (literal.whole.empty() || (literal.whole.size() > 1 && literal.whole[0] == '0')) return std::nullopt;
    if (at < text.size() && text[at] == '.') {
        ++at;
        literal.fraction = digits();
        if (literal.fraction.empty()) return std::nullopt;
    }
    if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
        ++at;
        bool negative = false;
        if (at < text.size() && (text[at] == '+' || text[at] == '-')) negative = text[at++] == '-';
        const std::string_view exponent = digits();
        if (exponent.empty()) return std::nullopt;
        // Beyond any length of text that could bring it back: the sign is all that counts.
        constexpr std::int64_t kFar = std::int64_t{1} << 40;
        for (const char c : exponent) literal.exponent = std::min(literal.exponent * 10 + (c - '0'), kFar);
        if (negative) literal.exponent = -literal.exponent;
    }
    if (at != text.size()) return std::nullopt;
    return literal;
}

/// The literal's digits without zeros at either end, and the power of ten of the last.
struct Significant {
    std::string digits;  ///< empty: the value is zero
    std::int64_t exponent = 0;
};

Significant significant(const Literal& literal) {
    Significant result;
    result.digits.reserve(literal.whole.size() + literal.fraction.size());
    result.digits.append(literal.whole).append(literal.fraction);
    result.exponent = literal.exponent - static_cast<std::int64_t>(literal.fraction.size());
    const std::size_t last = result.digits.find_last_not_of('0');
    if (last == std::string::npos) return {};
    result.exponent += static_cast<std::int64_t>(result.digits.size() - last - 1);
    result.digits.resize(last + 1);
    result.digits.erase(0, result.digits.find_first_not_of('0'));
    return result;
}

/// digits x 10^zeros; nothing when it does not fit.
std::optional<UInt128> to_magnitude(std::string_view digits, std::int64_t zeros) {
    if (digits.size() + static_cast<std::size_t>(zeros) > 39) return std::nullopt;
    UInt128 value = 0;
    for (const char c : digits) {
        if (value > (kMaxMagnitude - static_cast<unsigned>(c - '0')) / 10) return std::nullopt;
        value = value * 10 + static_cast<unsigned>(c - '0');
    }
    for (std::int64_t i = 0; i < zeros; ++i) {
        if (value > kMaxMagnitude / 10) return std::nullopt;
        value *= 10;
    }
    return value;
}

std::string digits_of(UInt128 value) {
    if (value == 0) return "0";
    std::string text;
    while (value != 0) {
        text.push_back(static_cast<char>('0' + static_cast<int>(value % 10)));
        value /= 10;
    }
    std::reverse(text.begin(), text.end());
    return text;
}

}  // namespace

Int128 power_of_ten(int exponent) {
    CHECK(exponent >= 0 && exponent <= kMaxDecimalScale);
    return kPowers[static_cast<std::size_t>(exponent)];
}

std::optional<Int128> checked_add(Int128 a, Int128 b) {
    Int128 result = 0;
    if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
    return result;
}

std::optional<Int128> checked_subtract(Int128 a, Int128 b) {
    Int128 result = 0;
    if (__builtin_sub_overflow(a, b, &result)) return std::nullopt;
    return result;
}

std::optional<Int128> checked_multiply(Int128 a, Int128 b) {
    Int128 result = 0;
    if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
    return result;
}

std::optional<Int128> rescale(Int128 units, int from_scale, int to_scale) {
    if (to_scale >= from_scale) return rescale_exact(units, from_scale, to_scale);
    if (from_scale - to_scale > kMaxDecimalScale) return Int128{0};
    return divide_half_even(units, power_of_ten(from_scale - to_scale));
}

std::optional<Int128> rescale_exact(Int128 units, int from_scale, int to_scale) {
    if (to_scale == from_scale || units == 0) return units;
    const int digits = to_scale > from_scale ? to_scale - from_scale : from_scale - to_scale;
    if (digits > kMaxDecimalScale) return std::nullopt;
    const Int128 power = power_of_ten(digits);
    if (to_scale > from_scale) return checked_multiply(units, power);
    if (units % power != 0) return std::nullopt;
    return units / power;
}

Int128 divide_half_even(Int128 numerator, Int128 denominator) {
    CHECK(denominator != 0);
    const UInt128 divisor = magnitude(denominator);
    const UInt128 value = magnitude(numerator);
    const UInt128 rounded = round_half_even(value / divisor, value % divisor, divisor);
    const bool negative = (numerator < 0) != (denominator < 0);
    return static_cast<Int128>(negative ? UInt128{0} - rounded : rounded);
}

std::optional<Int128> multiply_divide_half_even(Int128 a, Int128 b, Int128 c) {
    CHECK(c != 0);
    const UInt128 divisor = magnitude(c);
    const auto divided = divide(multiply(magnitude(a), magnitude(b)), divisor);
    if (!divided) return std::nullopt;
    const auto [quotient, remainder] = *divided;
    if (quotient > kMaxMagnitude) return std::nullopt;
    return with_sign(round_half_even(quotient, remainder, divisor), ((a < 0) != (b < 0)) != (c < 0));
}

namespace {

/// The operation on units of the larger scale.
std::optional<Decimal> at_larger_scale(const Decimal& a, const Decimal& b,
                                       std::optional<Int128> (*operation)(Int128, Int128)) {
    const int scale = std::max(a.scale, b.scale);
    const auto left = rescale_exact(a.units, a.scale, scale);
    const auto right = rescale_exact(b.units, b.scale, scale);
    const auto units = left && right ? operation(*left, *right) : std::nullopt;
    return units ? std::optional(Decimal{*units, scale}) : std::nullopt;
}

}  // namespace

std::optional<Decimal> exact_sum(const Decimal& a, const Decimal& b) {
    return at_larger_scale(a, b, checked_add);
}

std::optional<Decimal> exact_difference(const Decimal& a, const Decimal& b) {
    return at_larger_scale(a, b, checked_subtract);
}

int compare(const Decimal& a, const Decimal& b) {
    if ((a.units < 0) != (b.units < 0)) return a.units < 0 ? -1 : 1;
    // Bring both to the larger scale in 256 bits.
    const int scale = std::max(a.scale, b.scale);
    const UInt256 left = multiply(magnitude(a.units), static_cast<UInt128>(power_of_ten(scale - a.scale)));
    const UInt256 right = multiply(magnitude(b.units), static_cast<UInt128>(power_of_ten(scale - b.scale)));
    int result = 0;
    if (left.high != right.high) {
        result = left.high < right.high ? -1 : 1;
    } else if (left.low != right.low) {
        result = left.low < right.low ? -1 : 1;
    }
    return a.units < 0 ? -result : result;
}

std::optional<Decimal> parse_decimal(std::string_view text) {
    const auto literal = take_apart(text);
    if (!literal) return std::nullopt;
    const Significant value = significant(*literal);
    if (value.digits.empty()) return Decimal{};
    if (value.exponent < -kMaxDecimalScale || value.exponent > kMaxDecimalScale) return std::nullopt;
    const auto units = to_magnitude(value.digits, std::max<std::int64_t>(value.exponent, 0));
    if (!units) return std::nullopt;
    const auto signed_units = with_sign(*units, literal->negative);
    if (!signed_units) return std::nullopt;
    return Decimal{*signed_units, static_cast<int>(std::max<std::int64_t>(-value.exponent, 0))};
}

std::optional<std::int64_t> parse_decimal_int64(std::string_view text, int scale) {
    // The usual form first: a few digits, perhaps a point.
    if (!text.empty() && text.size() <= 17) {
        std::size_t at = text[0] == '-' ? 1 : 0;
        const std::size_t begin = at;
        std::int64_t value = 0;
        while (at < text.size() && is_digit(text[at])) value = value * 10 + (text[at++] - '0');
        const std::size_t whole = at - begin;
        const bool leading_zero = whole > 1 && text[begin] == '0';
        if (whole > 0 && !leading_zero) {
            int left = scale;
            bool usual = at == text.size();
            if (!usual && text[at] == '.' && at + 1 < text.size()) {
                ++at;
                while (at < text.size() && is_digit(text[at]) && left > 0) {
                    value = value * 10 + (text[at++] - '0');
                    --left;
                }
                usual = at == text.size();
            }
            std::int64_t result = 0;
            if (usual &&
                !__builtin_mul_overflow(value, static_cast<std::int64_t>(power_of_ten(std::min(left, 18))), &result) &&
                left <= 18) {
                return begin == 1 ? -result : result;
            }
        }
    }
    const auto literal = take_apart(text);
    if (!literal) return std::nullopt;
    const Significant value = significant(*literal);
    if (value.digits.empty()) return 0;
    const std::int64_t zeros = value.exponent + scale;
    if (zeros < 0 || zeros > 19) return std::nullopt;
    const auto units = to_magnitude(value.digits, zeros);
    if (!units) return std::nullopt;
    constexpr UInt128 kMax = INT64_MAX;
    if (*units > kMax + (literal->negative ? 1 : 0)) return std::nullopt;
    const auto signed_units = with_sign(*units, literal->negative);
    return static_cast<std::int64_t>(*signed_units);
}

std::string format_decimal(Int128 units, int scale) {
    std::string text = digits_of(magnitude(units));
    if (scale > 0) {
        const auto digits = static_cast<std::size_t>(scale);
        if (text.size() <= digits) text.insert(0, digits + 1 - text.size(), '0');
        text.insert(text.size() - digits, 1, '.');
    }
    if (units < 0) text.insert(0, 1, '-');
    return text;
}

std::string format_decimal_shortest(Int128 units, int scale) {
    std::string text = format_decimal(units, scale);
    if (scale > 0) {
        text.erase(text.find_last_not_of('0') + 1);
        if (text.back() == '.') text.pop_back();
    }
    return text;
}

}  // namespace takt
