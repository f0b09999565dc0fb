// CEL's math extension.
#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "pipeline/expression/builder.h"
#include "pipeline/expression/values.h"

namespace takt::expression {
namespace {

using K = TypeKind;

/// An argument of a type that the function does not take: an error at run time when it was written as dyn, else at load
/// time.
Typed wrong_type(Builder& builder, Builder::Call& call, K result) {
    for (Typed& argument : call.arguments) {
        if (argument.dyn)
            return builder.finish(call.syntax, always_fails(of(result), std::move(argument.node), "no such overload"));
    }
    return builder.no_overload(call);
}

template <typename T>
Typed choose(Builder& builder, Builder::Call& call, bool greatest, const Type& type) {
    std::vector<NodePointer> nodes = call.take();
    NodePointer best = std::move(nodes[0]);
    for (std::size_t i = 1; i < nodes.size(); ++i) {
        std::vector<NodePointer> pair;
        pair.push_back(std::move(best));
        pair.push_back(std::move(nodes[i]));
        best = builder.number(pure<T, T, T>(
            type, std::move(pair), [greatest](T a, T b) { return greatest ? (a < b ? b : a) : (b < a ? b : a); }));
    }
    return Typed{std::move(best), false, &call.syntax};
}

/// One of several constants of different number types: known when the config is loaded, and of its own type.
Typed choose_constant(Builder& builder, Builder::Call& call, bool greatest) {
    std::size_t best = 0;
    const auto order_of = [&](std::size_t a, std::size_t b) {
        const auto with = [&](auto left) -> std::partial_ordering {
            const Column& other = *call.arguments[b].node->constant();
            switch (other.type().kind) {
                case K::int64:
                    return order(left, other.values<std::int64_t>()[0]);
                case K::uint64:
                    return order(left, other.values<std::uint64_t>()[0]);
                default:
                    return order(left, other.values<double>()[0]);
            }
        };
        const Column& value = *call.arguments[a].node->constant();
        switch (value.type().kind) {
            case K::int64:
                return with(value.values<std::int64_t>()[0]);
            case K::uint64:
                return with(value.values<std::uint64_t>()[0]);
            default:
                return with(value.values<double>()[0]);
        }
    };
    for (std::size_t i = 1; i < call.arguments.size(); ++i) {
        const auto ordering = order_of(i, best);
        if (greatest ? ordering > 0 : ordering < 0) best = i;
    }
    Typed chosen = std::move(call.arguments[best]);
    chosen.dyn = true;
    (void)builder;
    return chosen;
}

Typed build_extreme(Builder& builder, Builder::Call& call, bool greatest) {
    if (call.arguments.empty()) return builder.no_overload(call);
    if (call.arguments.size() == 1 && call.arguments[0].type().is(K::list)) {
        return builder.fail(*call.syntax.arguments[0], "C205",
                            "math.greatest and math.least of a list need one that is written out");
    }
    bool same = true;
    bool constant = true;
    bool numbers = true;
    bool decimals = false;
    for (const Typed& argument : call.arguments) {
        same = same && argument.type() == call.arguments[0].type();
        constant = constant && argument.node->constant() != nullptr;
        numbers = numbers && is_number(argument.type().kind);
        decimals = decimals || argument.type().is(K::decimal);
    }
    if (decimals) {
        int scale = 0;
        for (const Typed& argument : call.arguments) {
            if (!argument.type().is(K::decimal) && !argument.type().is(K::int64)) return builder.no_overload(call);
            scale = std::max<int>(scale, argument.type().scale);
        }
        for (Typed& argument : call.arguments) argument.node = to_scale(builder, std::move(argument.node), scale);
        return choose<Int128>(builder, call, greatest, Type::decimal(scale));
    }
    if (!numbers) return wrong_type(builder, call, K::int64);
    if (!same) {
        if (constant) return choose_constant(builder, call, greatest);
        return builder.fail(call.syntax, "C205",
                            fmt::format("{} of numbers of different types: convert them to one type first", call.name));
    }
    switch (call.arguments[0].type().kind) {
        case K::int64:
            return choose<std::int64_t>(builder, call, greatest, of(K::int64));
        case K::uint64:
            return choose<std::uint64_t>(builder, call, greatest, of(K::uint64));
        default:
            return choose<double>(builder, call, greatest, of(K::float64));
    }
}

template <typename F>
Typed of_real(Builder& builder, Builder::Call& call, F function) {
    if (!call.matches({K::float64})) return wrong_type(builder, call, K::float64);
    return builder.finish(call.syntax, pure<double, double>(of(K::float64), call.take(), function));
}

template <typename F>
Typed test_real(Builder& builder, Builder::Call& call, F function) {
    if (!call.matches({K::float64})) return wrong_type(builder, call, K::boolean);
    return builder.finish(call.syntax,
                          pure<std::uint8_t, double>(of(K::boolean), call.take(), [function](double value) {
                              return static_cast<std::uint8_t>(function(value));
                          }));
}

Typed build_abs(Builder& builder, Builder::Call& call) {
    if (call.matches({K::int64})) {
        return builder.finish(
            call.syntax, fallible<std::int64_t, std::int64_t>(
                             of(K::int64), call.take(), [](std::int64_t& out, Arena&, std::int64_t a) -> const char* {
                                 out = a;
                                 return a < 0 && __builtin_sub_overflow(std::int64_t{0}, a, &out) ? "integer overflow"
                                                                                                  : nullptr;
                             }));
    }
    if (call.matches({K::uint64})) return std::move(call.arguments[0]);
    if (call.matches({K::float64})) return of_real(builder, call, [](double a) { return std::fabs(a); });
    if (call.matches({K::decimal})) {
        const Type type = call.arguments[0].type();
        return builder.finish(
            call.syntax, fallible<Int128, Int128>(type, call.take(), [](Int128& out, Arena&, Int128 a) -> const char* {
                out = a;
                return a < 0 && __builtin_sub_overflow(Int128{0}, a, &out) ? "decimal overflow" : nullptr;
            }));
    }
    return wrong_type(builder, call, K::int64);
}

Typed build_sign(Builder& builder, Builder::Call& call) {
    if (call.matches({K::int64})) {
        return builder.finish(call.syntax,
                              pure<std::int64_t, std::int64_t>(of(K::int64), call.take(), [](std::int64_t a) {
                                  return static_cast<std::int64_t>((a > 0) - (a < 0));
                              }));
    }
    if (call.matches({K::uint64})) {
        return builder.finish(call.syntax,
                              pure<std::uint64_t, std::uint64_t>(of(K::uint64), call.take(), [](std::uint64_t a) {
                                  return a > 0 ? std::uint64_t{1} : std::uint64_t{0};
                              }));
    }
    if (call.matches({K::decimal})) {
        return builder.finish(call.syntax, pure<std::int64_t, Int128>(of(K::int64), call.take(), [](Int128 a) {
                                  return static_cast<std::int64_t>((a > 0) - (a < 0));
                              }));
    }
    return of_real(builder, call, [](double a) { return std::isnan(a) ? a : static_cast<double>((a > 0) - (a < 0)); });
}

template <typename T, typename F>
Typed bits(Builder& builder, Builder::Call& call, K kind, F function) {
    return builder.finish(call.syntax, pure<T, T, T>(of(kind), call.take(), function));
}

Typed build_bits(Builder& builder, Builder::Call& call) {
    const auto make = [&](auto function) {
        if (call.matches({K::int64, K::int64})) return bits<std::int64_t>(builder, call, K::int64, function);
        if (call.matches({K::uint64, K::uint64})) return bits<std::uint64_t>(builder, call, K::uint64, function);
        return wrong_type(builder, call, K::int64);
    };
    if (call.name == "math.bitAnd") return make([](auto a, auto b) { return a & b; });
    if (call.name == "math.bitOr") return make([](auto a, auto b) { return a | b; });
    if (call.name == "math.bitXor") return make([](auto a, auto b) { return a ^ b; });
    // bitNot
    if (call.matches({K::int64}))
        return builder.finish(call.syntax, pure<std::int64_t, std::int64_t>(of(K::int64), call.take(),
                                                                            [](std::int64_t a) { return ~a; }));
    if (call.matches({K::uint64}))
        return builder.finish(call.syntax, pure<std::uint64_t, std::uint64_t>(of(K::uint64), call.take(),
                                                                              [](std::uint64_t a) { return ~a; }));
    return wrong_type(builder, call, K::int64);
}

template <typename T>
Typed shift(Builder& builder, Builder::Call& call, K kind, bool left) {
    return builder.finish(call.syntax,
                          fallible<T, T, std::int64_t>(of(kind), call.take(),
                                                       [left](T& out, Arena&, T value, std::int64_t by) -> const char* {
                                                           if (by < 0) return "a shift by a negative number of bits";
                                                           const auto raw = static_cast<std::uint64_t>(value);
                                                           // Bits move as in an unsigned number: a right shift fills
                                                           // with zeros.
                                                           if (by < 64)
                                                               out = static_cast<T>(left ? raw << by : raw >> by);
                                                           return nullptr;
                                                       }));
}

Typed build_shift(Builder& builder, Builder::Call& call) {
    const bool left = call.name == "math.bitShiftLeft";
    if (call.matches({K::int64, K::int64})) return shift<std::int64_t>(builder, call, K::int64, left);
    if (call.matches({K::uint64, K::int64})) return shift<std::uint64_t>(builder, call, K::uint64, left);
    return wrong_type(builder, call, K::int64);
}

}  // namespace

std::optional<Typed> build_math_function(Builder& builder, Builder::Call& call) {
    if (call.name.rfind("math.", 0) != 0) return std::nullopt;
    if (call.name == "math.greatest") return build_extreme(builder, call, true);
    if (call.name == "math.least") return build_extreme(builder, call, false);
    if (call.name == "math.ceil") return of_real(builder, call, [](double a) { return std::ceil(a); });
    if (call.name == "math.floor") return of_real(builder, call, [](double a) { return std::floor(a); });
    if (call.name == "math.round") return of_real(builder, call, [](double a) { return std::round(a); });
    if (call.name == "math.trunc") return of_real(builder, call, [](double a) { return std::trunc(a); });
    if (call.name == "math.isNaN") return test_real(builder, call, [](double a) { return std::isnan(a); });
    if (call.name == "math.isInf") return test_real(builder, call, [](double a) { return std::isinf(a); });
    if (call.name == "math.isFinite") return test_real(builder, call, [](double a) { return std::isfinite(a); });
    if (call.name == "math.abs") return build_abs(builder, call);
    if (call.name == "math.sign") return build_sign(builder, call);
    if (call.name == "math.bitShiftLeft" || call.name == "math.bitShiftRight") return build_shift(builder, call);
    if (call.name.rfind("math.bit", 0) == 0) return build_bits(builder, call);
    if (call.name == "math.sqrt") {
        if (call.matches({K::int64})) {
            return builder.finish(call.syntax,
                                  pure<double, std::int64_t>(of(K::float64), call.take(), [](std::int64_t a) {
                                      return std::sqrt(static_cast<double>(a));
                                  }));
        }
        if (call.matches({K::uint64})) {
            return builder.finish(call.syntax,
                                  pure<double, std::uint64_t>(of(K::float64), call.take(), [](std::uint64_t a) {
                                      return std::sqrt(static_cast<double>(a));
                                  }));
        }
        return of_real(builder, call, [](double a) { return std::sqrt(a); });
    }
    return std::nullopt;
}

}  // namespace takt::expression
