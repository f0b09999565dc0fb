// Conversions between types: int(), uint(), double(), string(), bytes(), bool(), timestamp(), duration().
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "pipeline/base/decimal.h"
#include "pipeline/base/time.h"
#include "pipeline/expression/builder.h"
#include "pipeline/expression/text_format.h"
#include "pipeline/expression/utf8.h"

namespace takt::expression {
namespace {

using K = TypeKind;
using Text = std::string_view;
constexpr const char* kRange = "beyond the range of the type";
constexpr const char* kNotANumber = "this string is no number of that type";

template <typename R, typename A, typename F>
Typed convert(Builder& builder, Builder::Call& call, K result, F function) {
    return builder.finish(call.syntax, fallible<R, A>(of(result), call.take(), function));
}

/// All of a text as a number; one '+' may stand in front, as one '-' may.
template <typename T>
const char* read_number(T& out, Text text) {
    const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
    const Text digits = plus ? text.substr(1) : text;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return read.ec == std::errc() && read.ptr == digits.data() + digits.size() && !digits.empty() ? nullptr
                                                                                                  : kNotANumber;
}

/// The double nearest to a decimal.
double nearest_double(Int128 units, int scale) {
    constexpr Int128 kExact = Int128{1} << 53;
    if (units > -kExact && units < kExact && scale <= 22) {
        // Both are exact as doubles, so that the quotient is rounded once.
        return static_cast<double>(units) / static_cast<double>(power_of_ten(scale));
    }
    const std::string digits = format_decimal(units, scale);
    double value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
}

Typed to_int(Builder& builder, Builder::Call& call) {
    using I = std::int64_t;
    switch (call.arguments[0].type().kind) {
        case K::int64:
            return std::move(call.arguments[0]);
        case K::uint64:
            return convert<I, std::uint64_t>(builder, call, K::int64, [](I& out, Arena&, std::uint64_t a) {
                out = static_cast<I>(a);
                return a > INT64_MAX ? kRange : nullptr;
            });
        case K::float64:
            return convert<I, double>(builder, call, K::int64, [](I& out, Arena&, double a) -> const char* {
                if (!(a > -9223372036854775808.0 && a < 9223372036854775808.0)) return kRange;
                out = static_cast<I>(a);
                return nullptr;
            });
        case K::decimal: {
            const Int128 divisor = power_of_ten(call.arguments[0].type().scale);
            return convert<I, Int128>(builder, call, K::int64, [divisor](I& out, Arena&, Int128 a) -> const char* {
                const Int128 whole = a / divisor;
                if (whole < INT64_MIN || whole > INT64_MAX) return kRange;
                out = static_cast<I>(whole);
                return nullptr;
            });
        }
        case K::string:
            return convert<I, Text>(builder, call, K::int64,
                                    [](I& out, Arena&, Text text) { return read_number(out, text); });
        case K::enumeration:
            return builder.finish(call.syntax, pure<I, I>(of(K::int64), call.take(), [](I value) { return value; }));
        case K::timestamp:
            return builder.finish(call.syntax, pure<I, I>(of(K::int64), call.take(), [](I time) {
                                      return time / kSecond - (time % kSecond < 0 ? 1 : 0);
                                  }));
        case K::duration:
            return builder.finish(call.syntax,
                                  pure<I, I>(of(K::int64), call.take(), [](I span) { return span / kSecond; }));
        default:
            return builder.no_overload(call);
    }
}

Typed to_uint(Builder& builder, Builder::Call& call) {
    using U = std::uint64_t;
    switch (call.arguments[0].type().kind) {
        case K::uint64:
            return std::move(call.arguments[0]);
        case K::int64:
            return convert<U, std::int64_t>(builder, call, K::uint64, [](U& out, Arena&, std::int64_t a) {
                out = static_cast<U>(a);
                return a < 0 ? kRange : nullptr;
            });
        case K::float64:
            return convert<U, double>(builder, call, K::uint64, [](U& out, Arena&, double a) -> const char* {
                if (!(a >= 0 && a < 18446744073709551616.0)) return kRange;
                out = static_cast<U>(a);
                return nullptr;
            });
        case K::string:
            return convert<U, Text>(builder, call, K::uint64,
                                    [](U& out, Arena&, Text text) { return read_number(out, text); });
        default:
            return builder.no_overload(call);
    }
}

Typed to_double(Builder& builder, Builder::Call& call) {
    switch (call.arguments[0].type().kind) {
        case K::float64:
            return std::move(call.arguments[0]);
        case K::int64:
            return builder.finish(call.syntax,
                                  pure<double, std::int64_t>(of(K::float64), call.take(),
                                                             [](std::int64_t a) { return static_cast<double>(a); }));
        case K::uint64:
            return builder.finish(call.syntax,
                                  pure<double, std::uint64_t>(of(K::float64), call.take(),
                                                              [](std::uint64_t a) { return static_cast<double>(a); }));
        case K::decimal: {
            const int scale = call.arguments[0].type().scale;
            return builder.finish(call.syntax, pure<double, Int128>(of(K::float64), call.take(), [scale](Int128 a) {
                                      return nearest_double(a, scale);
                                  }));
        }
        case K::string:
            return convert<double, Text>(builder, call, K::float64,
                                         [](double& out, Arena&, Text text) { return read_number(out, text); });
        default:
            return builder.no_overload(call);
    }
}

template <typename A, typename F>
Typed write_text(Builder& builder, Builder::Call& call, F function) {
    return convert<Text, A>(builder, call, K::string, [function](Text& out, Arena& strings, A value) {
        out = strings.copy(function(value));
        return static_cast<const char*>(nullptr);
    });
}

Typed to_text(Builder& builder, Builder::Call& call) {
    const Type type = call.arguments[0].type();
    switch (type.kind) {
        case K::string:
            return std::move(call.arguments[0]);
        case K::boolean:
            return write_text<std::uint8_t>(builder, call,
                                            [](std::uint8_t a) { return std::string(a != 0 ? "true" : "false"); });
        case K::int64:
            return write_text<std::int64_t>(builder, call, [](std::int64_t a) { return fmt::format("{}", a); });
        case K::uint64:
            return write_text<std::uint64_t>(builder, call, [](std::uint64_t a) { return fmt::format("{}", a); });
        case K::float64:
            return write_text<double>(builder, call, format_double);
        case K::decimal:
            return write_text<Int128>(builder, call,
                                      [scale = type.scale](Int128 a) { return format_decimal(a, scale); });
        case K::timestamp:
            return write_text<std::int64_t>(builder, call, format_timestamp);
        case K::duration:
            return write_text<std::int64_t>(builder, call, format_seconds);
        case K::enumeration:
            return builder.finish(call.syntax, pure<Text, std::int64_t>(of(K::string), call.take(),
                                                                        [names = type.enumeration](std::int64_t a) {
                                                                            return names->name_of(a);
                                                                        }));
        case K::bytes:
            return convert<Text, Text>(builder, call, K::string, [](Text& out, Arena&, Text bytes) {
                out = bytes;
                return is_valid_utf8(bytes) ? nullptr : "these bytes are no UTF-8";
            });
        default:
            return builder.no_overload(call);
    }
}

Typed to_bool(Builder& builder, Builder::Call& call) {
    if (call.matches({K::boolean})) return std::move(call.arguments[0]);
    if (!call.matches({K::string})) return builder.no_overload(call);
    return convert<std::uint8_t, Text>(builder, call, K::boolean,
                                       [](std::uint8_t& out, Arena&, Text text) -> const char* {
                                           static constexpr Text yes[] = {"1", "t", "T", "true", "TRUE", "True"};
                                           static constexpr Text no[] = {"0", "f", "F", "false", "FALSE", "False"};
                                           for (const Text one : yes) {
                                               if (text == one) {
                                                   out = 1;
                                                   return nullptr;
                                               }
                                           }
                                           for (const Text one : no) {
                                               if (text == one) return nullptr;
                                           }
                                           return "this string is no bool";
                                       });
}

/// Whether CEL could hold the instant although takt cannot: years 1 to 9999.
bool is_cel_timestamp(Text text) {
    if (text.size() < 20 || text[4] != '-') return false;
    std::string shifted(text);
    if (shifted.substr(0, 4) == "0000") return false;
    // The same day and time in a year that fits, leap or not as the written one, tells whether the rest is right.
    int year = 0;
    for (int i = 0; i < 4; ++i) {
        if (shifted[static_cast<std::size_t>(i)] < '0' || shifted[static_cast<std::size_t>(i)] > '9') return false;
        year = year * 10 + (shifted[static_cast<std::size_t>(i)] - '0');
    }
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    shifted.replace(0, 4, leap ? "2000" : "2001");
    return parse_timestamp(shifted).has_value();
}

Typed to_timestamp(Builder& builder, Builder::Call& call) {
    if (call.matches({K::timestamp})) return std::move(call.arguments[0]);
    if (call.matches({K::int64})) {
        if (const auto seconds = constant_int(call.arguments[0])) {
            const bool cel = *seconds >= -62135596800 && *seconds <= 253402300799;
            Int128 nanoseconds = static_cast<Int128>(*seconds) * kSecond;
            if (cel && (nanoseconds < INT64_MIN || nanoseconds > INT64_MAX))
                return builder.fail(call.syntax, "C205",
                                    "instants before 1677 or after 2262 are outside takt's subset of CEL");
        }
        return convert<std::int64_t, std::int64_t>(
            builder, call, K::timestamp, [](std::int64_t& out, Arena&, std::int64_t seconds) {
                return __builtin_mul_overflow(seconds, kSecond, &out) ? kRange : nullptr;
            });
    }
    if (!call.matches({K::string})) return builder.no_overload(call);
    if (const auto text = constant_text(call.arguments[0])) {
        if (!parse_timestamp(*text) && is_cel_timestamp(*text))
            return builder.fail(call.syntax, "C205",
                                "instants before 1677 or after 2262 are outside takt's subset of CEL");
    }
    return convert<std::int64_t, Text>(builder, call, K::timestamp,
                                       [](std::int64_t& out, Arena&, Text text) -> const char* {
                                           const auto time = parse_timestamp(text);
                                           if (!time) return "this string is no timestamp (RFC 3339)";
                                           out = *time;
                                           return nullptr;
                                       });
}

/// CEL's form: a sign, then numbers with a fraction and a unit each: "1h30m", "-1.5s", "320ms". The value in
/// nanoseconds goes to `exact`; false when it is no duration.
bool read_duration(Text text, Int128& exact) {
    exact = 0;
    bool negative = false;
    if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
        negative = text[0] == '-';
        text.remove_prefix(1);
    }
    if (text.empty()) return false;
    if (text == "0") return true;
    static constexpr std::pair<Text, std::int64_t> units[] = {
        {"ns", 1},      {"us", kMicrosecond}, {"µs", kMicrosecond}, {"ms", kMillisecond},
        {"s", kSecond}, {"m", kMinute},       {"h", kHour}};
    while (!text.empty()) {
        std::size_t size = 0;
        std::size_t points = 0;
        while (size < text.size() && ((text[size] >= '0' && text[size] <= '9') || text[size] == '.'))
            points += text[size++] == '.' ? 1 : 0;
        if (size == points || points > 1 || size > 24) return false;
        std::string digits(text.substr(0, size));
        if (digits.back() == '.') digits.pop_back();
        if (digits.front() == '.') digits.insert(digits.begin(), '0');
        while (digits.size() > 1 && digits[0] == '0' && digits[1] != '.') digits.erase(0, 1);
        const auto number = parse_decimal(digits);
        if (!number) return false;
        text.remove_prefix(size);
        std::int64_t unit = 0;
        std::size_t unit_size = 0;
        for (const auto& [name, value] : units) {
            if (text.substr(0, name.size()) == name && name.size() > unit_size) {
                unit = value;
                unit_size = name.size();
            }
        }
        if (unit == 0) return false;
        text.remove_prefix(unit_size);
        const auto scaled = checked_multiply(number->units, unit);
        if (!scaled) return false;
        exact += *scaled / power_of_ten(number->scale);
    }
    if (negative) exact = -exact;
    return true;
}

Typed to_duration(Builder& builder, Builder::Call& call) {
    if (call.matches({K::duration})) return std::move(call.arguments[0]);
    if (!call.matches({K::string})) return builder.no_overload(call);
    if (const auto text = constant_text(call.arguments[0])) {
        Int128 exact = 0;
        constexpr Int128 kCelLimit = static_cast<Int128>(315576000000) * kSecond;  // 10,000 years
        if (read_duration(*text, exact) && exact >= -kCelLimit && exact <= kCelLimit &&
            (exact < INT64_MIN || exact > INT64_MAX)) {
            return builder.fail(call.syntax, "C205", "durations beyond 292 years are outside takt's subset of CEL");
        }
    }
    return convert<std::int64_t, Text>(builder, call, K::duration,
                                       [](std::int64_t& out, Arena&, Text text) -> const char* {
                                           Int128 exact = 0;
                                           if (!read_duration(text, exact)) return "this string is no duration";
                                           if (exact < INT64_MIN || exact > INT64_MAX) return kRange;
                                           out = static_cast<std::int64_t>(exact);
                                           return nullptr;
                                       });
}

}  // namespace

std::optional<Typed> build_conversion(Builder& builder, Builder::Call& call) {
    if (call.method || call.arguments.size() != 1) return std::nullopt;
    if (call.name == "int") return to_int(builder, call);
    if (call.name == "uint") return to_uint(builder, call);
    if (call.name == "double") return to_double(builder, call);
    if (call.name == "string") return to_text(builder, call);
    if (call.name == "bool") return to_bool(builder, call);
    if (call.name == "timestamp") return to_timestamp(builder, call);
    if (call.name == "duration") return to_duration(builder, call);
    if (call.name == "bytes") {
        if (call.matches({K::bytes})) return std::move(call.arguments[0]);
        if (!call.matches({K::string})) return builder.no_overload(call);
        return builder.finish(call.syntax, pure<Text, Text>(of(K::bytes), call.take(), [](Text text) { return text; }));
    }
    return std::nullopt;
}

}  // namespace takt::expression
