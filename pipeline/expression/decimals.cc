// Exact decimals: takt's addition to CEL.
#include <fmt/format.h>

#include "pipeline/base/decimal.h"
#include "pipeline/expression/builder.h"

namespace takt::expression {
namespace {

using K = TypeKind;

std::optional<int> constant_digits(Builder& builder, const Typed& typed, Typed& failed) {
    const auto digits = constant_int(typed);
    if (digits && *digits >= 0 && *digits <= kMaxDecimalScale) return static_cast<int>(*digits);
    failed = builder.fail(*typed.syntax, "C207",
                          fmt::format("the number of digits must be written out, 0 to {}", kMaxDecimalScale));
    return std::nullopt;
}

Typed from_text(Builder& builder, Builder::Call& call) {
    const auto text = constant_text(call.arguments[0]);
    if (!text) {
        return builder.fail(
            call.syntax, "C207",
            "decimal() of a string that is not written out needs its digits after the point: decimal(x, 6)");
    }
    const std::size_t point = text->find('.');
    const bool plain = text->find_first_of("eE") == std::string_view::npos;
    const auto value = parse_decimal(*text);
    if (!value)
        return builder.fail(*call.arguments[0].syntax, "C207",
                            fmt::format("'{}' is no decimal number that fits", *text));
    // The scale is as it is written: "12.50" has two digits.
    int scale = value->scale;
    if (plain && point != std::string_view::npos)
        scale = std::min(static_cast<int>(text->size() - point - 1), kMaxDecimalScale);
    const auto units = rescale_exact(value->units, value->scale, std::max(scale, value->scale));
    if (!units) return builder.fail(*call.arguments[0].syntax, "C207", fmt::format("'{}' has too many digits", *text));
    return builder.constant_value(call.syntax, Type::decimal(std::max(scale, value->scale)), *units);
}

Typed build_scale(Builder& builder, Builder::Call& call) {
    if (call.arguments.size() != 4)
        return builder.fail(call.syntax, "C204", "scale(x, numerator, denominator, digits) takes four arguments");
    Typed failed;
    const auto digits = constant_digits(builder, call.arguments[3], failed);
    if (!digits) return failed;
    for (std::size_t i = 0; i < 3; ++i) {
        Typed& argument = call.arguments[i];
        if (argument.type().is(K::int64)) argument.node = to_scale(builder, std::move(argument.node), 0);
        if (argument.type().is(K::float64))
            return builder.fail(*argument.syntax, "C207", "a binary float never enters a posting");
        if (!argument.type().is(K::decimal)) return builder.no_overload(call);
    }
    // x / 10^s * n / 10^t / (d / 10^u) at `digits`: a power of ten goes to the numerator or the denominator.
    const int shift =
        *digits - call.arguments[0].type().scale - call.arguments[1].type().scale + call.arguments[2].type().scale;
    if (shift > kMaxDecimalScale || shift < -kMaxDecimalScale)
        return builder.fail(call.syntax, "C207", "the scales of these numbers are too far apart");
    const Int128 up = power_of_ten(shift > 0 ? shift : 0);
    const Int128 down = power_of_ten(shift < 0 ? -shift : 0);
    std::vector<NodePointer> nodes = call.take();
    nodes.pop_back();
    return builder.finish(call.syntax, fallible<Int128, Int128, Int128, Int128>(
                                           Type::decimal(*digits), std::move(nodes),
                                           [up, down](Int128& out, Arena&, Int128 x, Int128 numerator,
                                                      Int128 denominator) -> const char* {
                                               if (denominator == 0) return "division by zero";
                                               const auto above = checked_multiply(numerator, up);
                                               const auto below = checked_multiply(denominator, down);
                                               if (!above || !below) return kDecimalOverflow;
                                               const auto result = multiply_divide_half_even(x, *above, *below);
                                               if (!result) return kDecimalOverflow;
                                               out = *result;
                                               return nullptr;
                                           }));
}

}  // namespace

NodePointer to_scale(Builder& builder, NodePointer node, int scale) {
    const bool whole = node->type().is(K::int64);
    const int from = whole ? 0 : node->type().scale;
    if (!whole && from == scale) return node;
    if (const Column* value = node->constant()) {
        const Int128 units = whole ? Int128{value->values<std::int64_t>()[0]} : value->values<Int128>()[0];
        const auto rescaled = rescale_exact(units, from, scale);
        if (rescaled) {
            static const Syntax nowhere;
            return builder.constant_value(nowhere, Type::decimal(scale), *rescaled).node;
        }
    }
    CHECK(scale >= from);
    const Int128 factor = power_of_ten(scale - from);
    std::vector<NodePointer> arguments;
    arguments.push_back(std::move(node));
    const auto multiply = [factor](Int128& out, Arena&, auto units) {
        return __builtin_mul_overflow(Int128{units}, factor, &out) ? kDecimalOverflow : nullptr;
    };
    if (whole)
        return builder.number(fallible<Int128, std::int64_t>(Type::decimal(scale), std::move(arguments), multiply));
    return builder.number(fallible<Int128, Int128>(Type::decimal(scale), std::move(arguments), multiply));
}

std::optional<Typed> build_decimal_function(Builder& builder, Builder::Call& call) {
    if (call.method) return std::nullopt;
    if (call.name == "scale") return build_scale(builder, call);
    if (call.name == "decimal") {
        if (call.matches({K::string})) return from_text(builder, call);
        if (call.matches({K::decimal})) return std::move(call.arguments[0]);
        if (call.matches({K::int64})) {
            NodePointer node = to_scale(builder, std::move(call.arguments[0].node), 0);
            return Typed{std::move(node), false, &call.syntax};
        }
        if (call.arguments.size() >= 1 && call.arguments[0].type().is(K::float64)) {
            return builder.fail(*call.arguments[0].syntax, "C207",
                                "a binary float never enters a posting: take the number as a decimal from the start");
        }
        if (call.arguments.size() == 2 && call.arguments[0].type().is(K::string)) {
            Typed failed;
            const auto digits = constant_digits(builder, call.arguments[1], failed);
            if (!digits) return failed;
            std::vector<NodePointer> nodes = call.take();
            nodes.pop_back();
            return builder.finish(call.syntax,
                                  fallible<Int128, std::string_view>(
                                      Type::decimal(*digits), std::move(nodes),
                                      [scale = *digits](Int128& out, Arena&, std::string_view text) -> const char* {
                                          const auto value = parse_decimal(text);
                                          if (!value) return "this string is no decimal number";
                                          const auto units = rescale_exact(value->units, value->scale, scale);
                                          if (!units) return "this decimal number has more digits than fit";
                                          out = *units;
                                          return nullptr;
                                      }));
        }
        return builder.no_overload(call);
    }
    if (call.name == "round" && call.arguments.size() == 2 && call.arguments[0].type().is(K::decimal)) {
        Typed failed;
        const auto digits = constant_digits(builder, call.arguments[1], failed);
        if (!digits) return failed;
        const int from = call.arguments[0].type().scale;
        std::vector<NodePointer> nodes = call.take();
        nodes.pop_back();
        return builder.finish(call.syntax, fallible<Int128, Int128>(
                                               Type::decimal(*digits), std::move(nodes),
                                               [from, to = *digits](Int128& out, Arena&, Int128 units) -> const char* {
                                                   const auto result = rescale(units, from, to);
                                                   if (!result) return kDecimalOverflow;
                                                   out = *result;
                                                   return nullptr;
                                               }));
    }
    if (call.name == "abs" && call.matches({K::decimal})) {
        const Type type = call.arguments[0].type();
        return builder.finish(
            call.syntax,
            fallible<Int128, Int128>(type, call.take(), [](Int128& out, Arena&, Int128 units) -> const char* {
                out = units;
                return units < 0 && __builtin_sub_overflow(Int128{0}, units, &out) ? kDecimalOverflow : nullptr;
            }));
    }
    return std::nullopt;
}

}  // namespace takt::expression
