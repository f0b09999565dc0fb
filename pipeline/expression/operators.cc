// Operators: arithmetic, comparison, negation.
#include <fmt/format.h>

#include <cmath>
#include <compare>

#include "pipeline/expression/builder.h"
#include "pipeline/expression/fixed_text.h"
#include "pipeline/expression/values.h"

namespace takt::expression {
namespace {

using K = TypeKind;
constexpr const char* kIntegerOverflow = "integer overflow";
constexpr const char* kTimeOverflow = "beyond the range of time";

enum class Comparison : std::uint8_t { equal, not_equal, less, less_equal, greater, greater_equal };

std::optional<Comparison> comparison_of(const std::string& name) {
    static const std::pair<std::string_view, Comparison> known[] = {
        {"_==_", Comparison::equal},      {"_!=_", Comparison::not_equal}, {"_<_", Comparison::less},
        {"_<=_", Comparison::less_equal}, {"_>_", Comparison::greater},    {"_>=_", Comparison::greater_equal}};
    for (const auto& [symbol, comparison] : known) {
        if (symbol == name) return comparison;
    }
    return std::nullopt;
}

/// Calls `make` with the comparison as a function object of its own type, so that each has a loop of its own.
template <typename Make>
Typed with_comparison(Comparison comparison, Make&& make) {
    switch (comparison) {
        case Comparison::equal:
            return make([](const auto& a, const auto& b) { return a == b; });
        case Comparison::not_equal:
            return make([](const auto& a, const auto& b) { return !(a == b); });
        case Comparison::less:
            return make([](const auto& a, const auto& b) { return a < b; });
        case Comparison::less_equal:
            return make([](const auto& a, const auto& b) { return a <= b; });
        case Comparison::greater:
            return make([](const auto& a, const auto& b) { return a > b; });
        case Comparison::greater_equal:
            return make([](const auto& a, const auto& b) { return a >= b; });
    }
    return {};
}

template <typename T>
Typed compare_same(Builder& builder, Builder::Call& call, Comparison comparison) {
    return with_comparison(comparison, [&](auto function) {
        return builder.finish(call.syntax,
                              pure<std::uint8_t, T, T>(of(K::boolean), call.take(), [function](const T& a, const T& b) {
                                  return static_cast<std::uint8_t>(function(a, b));
                              }));
    });
}

/// A text against one that is written out; nothing when both change from row to row.
std::optional<Typed> compare_fixed_text(Builder& builder, Builder::Call& call, Comparison comparison) {
    if (comparison != Comparison::equal && comparison != Comparison::not_equal) return std::nullopt;
    if (call.arguments[0].node->constant() != nullptr) std::swap(call.arguments[0], call.arguments[1]);
    const Column* fixed = call.arguments[1].node->constant();
    if (fixed == nullptr || call.arguments[0].node->constant() != nullptr) return std::nullopt;
    const std::uint8_t equal = comparison == Comparison::equal ? 1 : 0;
    std::vector<NodePointer> value;
    value.push_back(std::move(call.arguments[0].node));
    return with_fixed_text(builder.keep(fixed->values<std::string_view>()[0]), [&](auto is) {
        return builder.finish(call.syntax, pure<std::uint8_t, std::string_view>(
                                               of(K::boolean), std::move(value), [is, equal](std::string_view text) {
                                                   const bool same = text.size() == is.size && is(text.data());
                                                   return static_cast<std::uint8_t>(same ? equal : !equal);
                                               }));
    });
}

/// Whether a comparison holds for two sides in this order; of sides without one only != does.
bool holds(Comparison comparison, std::partial_ordering order) {
    switch (comparison) {
        case Comparison::equal:
            return order == 0;
        case Comparison::not_equal:
            return order != 0;
        case Comparison::less:
            return order < 0;
        case Comparison::less_equal:
            return order <= 0;
        case Comparison::greater:
            return order > 0;
        case Comparison::greater_equal:
            return order >= 0;
    }
    return false;
}

/// Numbers of different types: rare, so one loop for all comparisons.
template <typename A, typename B>
Typed compare_mixed(Builder& builder, Builder::Call& call, Comparison comparison) {
    return builder.finish(call.syntax,
                          pure<std::uint8_t, A, B>(of(K::boolean), call.take(), [comparison](const A& a, const B& b) {
                              return static_cast<std::uint8_t>(holds(comparison, order(a, b)));
                          }));
}

template <typename A>
Typed compare_number(Builder& builder, Builder::Call& call, Comparison comparison) {
    switch (call.arguments[1].type().kind) {
        case K::int64:
            return compare_mixed<A, std::int64_t>(builder, call, comparison);
        case K::uint64:
            return compare_mixed<A, std::uint64_t>(builder, call, comparison);
        default:
            return compare_mixed<A, double>(builder, call, comparison);
    }
}

/// Lists are equal when their elements are, one by one.
class ListEqualNode final : public Program::Node {
  public:
    ListEqualNode(bool equal, NodePointer left, NodePointer right)
        : Node(of(K::boolean)), equal_(equal), left_(std::move(left)), right_(std::move(right)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        const Values left = left_->evaluate(frame, rows, nullptr);
        const Values right = right_->evaluate(frame, rows, nullptr);
        NodeScratch& own = scratch(frame);
        own.errors.clear();
        merge_errors(own.errors, left.errors);
        merge_errors(own.errors, right.errors);
        Column& out = result_column(frame, target);
        for (const Row row : rows) {
            const ListSpan a = Reader<ListSpan>(left)[row];
            const ListSpan b = Reader<ListSpan>(right)[row];
            bool same = a.size == b.size;
            for (std::uint32_t i = 0; same && i < a.size; ++i) {
                same = equal_values(*left.column->elements(), a.begin + i, *right.column->elements(), b.begin + i);
            }
            out.values<std::uint8_t>()[row] = same == equal_ ? 1 : 0;
        }
        return {&out, false, own.errors.empty() ? nullptr : &own.errors, true};
    }

  private:
    bool equal_;
    NodePointer left_;
    NodePointer right_;
};

/// An enumeration against the name of one of its values.
std::optional<Typed> compare_enum(Builder& builder, Builder::Call& call, Comparison comparison) {
    Typed& left = call.arguments[0];
    Typed& right = call.arguments[1];
    const bool left_enum = left.type().is(K::enumeration);
    if (!left_enum && !right.type().is(K::enumeration)) return std::nullopt;
    Typed& with_names = left_enum ? left : right;
    Typed& other = left_enum ? right : left;
    if (comparison != Comparison::equal && comparison != Comparison::not_equal) {
        return builder.fail(call.syntax, "C204", "an enumeration has no order: compare it with == or !=, or use 'in'");
    }
    if (other.type().is(K::enumeration)) {
        if (!(other.type() == with_names.type())) return builder.no_overload(call);
        return compare_same<std::int64_t>(builder, call, comparison);
    }
    const auto text = constant_text(other);
    if (!text) {
        if (!other.type().is(K::string)) return builder.no_overload(call);
        return builder.fail(*other.syntax, "C204",
                            "an enumeration compares with a name written out; for other strings write string(...)");
    }
    const EnumType::Value* value = with_names.type().enumeration->find(*text);
    if (value == nullptr) return unknown_enumerator(builder, *other.syntax, with_names.type(), *text);
    other = builder.constant_value(*other.syntax, with_names.type(), value->value);
    return compare_same<std::int64_t>(builder, call, comparison);
}

std::optional<Typed> compare_decimal(Builder& builder, Builder::Call& call, Comparison comparison) {
    Typed& left = call.arguments[0];
    Typed& right = call.arguments[1];
    if (!left.type().is(K::decimal) && !right.type().is(K::decimal)) return std::nullopt;
    for (Typed* side : {&left, &right}) {
        if (side->type().is(K::int64)) side->node = to_scale(builder, std::move(side->node), 0);
        if (side->type().is(K::float64)) {
            return builder.fail(*side->syntax, "C207",
                                "a binary float never compares with a decimal: write double(...) around the decimal, "
                                "or decimal(\"...\")");
        }
        if (!side->type().is(K::decimal)) return builder.no_overload(call);
    }
    // A constant takes the other side's scale where that loses nothing.
    for (int i = 0; i < 2; ++i) {
        Typed& fixed = call.arguments[static_cast<std::size_t>(i)];
        const Typed& other = call.arguments[static_cast<std::size_t>(1 - i)];
        const Int128* units = constant_decimal(fixed);
        if (units == nullptr || fixed.type().scale == other.type().scale) continue;
        const auto rescaled = rescale_exact(*units, fixed.type().scale, other.type().scale);
        if (rescaled) fixed = builder.constant_value(*fixed.syntax, other.type(), *rescaled);
    }
    if (left.type().scale == right.type().scale) return compare_same<Int128>(builder, call, comparison);
    const int left_scale = left.type().scale;
    const int right_scale = right.type().scale;
    return builder.finish(
        call.syntax,
        pure<std::uint8_t, Int128, Int128>(of(K::boolean), call.take(), [=](const Int128& a, const Int128& b) {
            return static_cast<std::uint8_t>(holds(comparison, compare({a, left_scale}, {b, right_scale}) <=> 0));
        }));
}

Typed build_comparison(Builder& builder, Builder::Call& call, Comparison comparison) {
    if (auto typed = compare_enum(builder, call, comparison)) return std::move(*typed);
    if (auto typed = compare_decimal(builder, call, comparison)) return std::move(*typed);
    const K left = call.arguments[0].type().kind;
    const K right = call.arguments[1].type().kind;
    const bool equality = comparison == Comparison::equal || comparison == Comparison::not_equal;
    if (is_number(left) && is_number(right)) {
        if (left == right) {
            if (left == K::int64) return compare_same<std::int64_t>(builder, call, comparison);
            if (left == K::uint64) return compare_same<std::uint64_t>(builder, call, comparison);
            return compare_same<double>(builder, call, comparison);
        }
        if (left == K::int64) return compare_number<std::int64_t>(builder, call, comparison);
        if (left == K::uint64) return compare_number<std::uint64_t>(builder, call, comparison);
        return compare_number<double>(builder, call, comparison);
    }
    if (left == right) {
        switch (left) {
            case K::boolean:
                return compare_same<std::uint8_t>(builder, call, comparison);
            case K::string:
            case K::bytes:
                if (auto typed = compare_fixed_text(builder, call, comparison)) return std::move(*typed);
                return compare_same<std::string_view>(builder, call, comparison);
            case K::timestamp:
            case K::duration:
                return compare_same<std::int64_t>(builder, call, comparison);
            case K::null:
                if (equality) return compare_same<std::uint8_t>(builder, call, comparison);
                break;
            case K::list:
                if (equality) {
                    return builder.finish(call.syntax,
                                          std::make_unique<ListEqualNode>(comparison == Comparison::equal,
                                                                          std::move(call.arguments[0].node),
                                                                          std::move(call.arguments[1].node)));
                }
                break;
            default:
                break;
        }
        return builder.no_overload(call);
    }
    const bool any = call.arguments[0].dyn || call.arguments[1].dyn || left == K::null || right == K::null;
    if (!any) return builder.no_overload(call);
    if (!equality) {
        if (left == K::null || right == K::null) return builder.no_overload(call);
        std::vector<NodePointer> both = call.take();
        return builder.finish(call.syntax, always_fails(of(K::boolean), std::move(both[0]),
                                                        "no such overload: these types have no order"));
    }
    // Values of different types are never equal; their own errors stay.
    return with_never_equal(builder, call, comparison == Comparison::not_equal);
}

template <typename F>
Typed decimal_arithmetic(Builder& builder, Builder::Call& call, F function) {
    const int scale = std::max(call.arguments[0].type().scale, call.arguments[1].type().scale);
    for (Typed& side : call.arguments) side.node = to_scale(builder, std::move(side.node), scale);
    return builder.finish(call.syntax,
                          fallible<Int128, Int128, Int128>(Type::decimal(scale), call.take(),
                                                           [function](Int128& out, Arena&, Int128 a, Int128 b) {
                                                               const auto result = function(a, b);
                                                               if (!result) return kDecimalOverflow;
                                                               out = *result;
                                                               return static_cast<const char*>(nullptr);
                                                           }));
}

std::optional<Typed> build_decimal_arithmetic(Builder& builder, Builder::Call& call) {
    bool any = false;
    for (const Typed& side : call.arguments) any = any || side.type().is(K::decimal);
    if (!any) return std::nullopt;
    for (Typed& side : call.arguments) {
        if (side.type().is(K::float64))
            return builder.fail(*side.syntax, "C207", "a binary float never mixes with a decimal");
        if (side.type().is(K::int64)) side.node = to_scale(builder, std::move(side.node), 0);
        if (!side.type().is(K::decimal)) return builder.no_overload(call);
    }
    if (call.name == "_+_") return decimal_arithmetic(builder, call, checked_add);
    if (call.name == "_-_") return decimal_arithmetic(builder, call, checked_subtract);
    if (call.name == "_*_") {
        const int scale = call.arguments[0].type().scale + call.arguments[1].type().scale;
        if (scale > kMaxDecimalScale) {
            return builder.fail(
                call.syntax, "C207",
                fmt::format("this product has {} digits after the point, more than {}: round a factor first", scale,
                            kMaxDecimalScale));
        }
        return builder.finish(call.syntax,
                              fallible<Int128, Int128, Int128>(
                                  Type::decimal(scale), call.take(), [](Int128& out, Arena&, Int128 a, Int128 b) {
                                      return __builtin_mul_overflow(a, b, &out) ? kDecimalOverflow : nullptr;
                                  }));
    }
    return builder.fail(
        call.syntax, "C207",
        "decimals do not divide without saying how to round: use scale(x, numerator, denominator, digits)");
}

template <typename T>
std::optional<Typed> integer_arithmetic(Builder& builder, Builder::Call& call, K kind) {
    const auto make = [&](auto function) {
        return builder.finish(call.syntax, fallible<T, T, T>(of(kind), call.take(), function));
    };
    if (call.name == "_+_")
        return make(
            [](T& out, Arena&, T a, T b) { return __builtin_add_overflow(a, b, &out) ? kIntegerOverflow : nullptr; });
    if (call.name == "_-_")
        return make(
            [](T& out, Arena&, T a, T b) { return __builtin_sub_overflow(a, b, &out) ? kIntegerOverflow : nullptr; });
    if (call.name == "_*_")
        return make(
            [](T& out, Arena&, T a, T b) { return __builtin_mul_overflow(a, b, &out) ? kIntegerOverflow : nullptr; });
    const auto guard = [](T a, T b) -> const char* {
        if (b == 0) return "division by zero";
        if constexpr (std::is_signed_v<T>) {
            if (b == -1 && a == INT64_MIN) return kIntegerOverflow;
        }
        return nullptr;
    };
    if (call.name == "_/_") {
        return make([guard](T& out, Arena&, T a, T b) {
            const char* message = guard(a, b);
            if (message == nullptr) out = a / b;
            return message;
        });
    }
    return make([guard](T& out, Arena&, T a, T b) {
        const char* message = guard(a, b);
        if (message == nullptr) out = a % b;
        return message;
    });
}

std::optional<Typed> real_arithmetic(Builder& builder, Builder::Call& call) {
    const auto make = [&](auto function) {
        return builder.finish(call.syntax, pure<double, double, double>(of(K::float64), call.take(), function));
    };
    if (call.name == "_+_") return make([](double a, double b) { return a + b; });
    if (call.name == "_-_") return make([](double a, double b) { return a - b; });
    if (call.name == "_*_") return make([](double a, double b) { return a * b; });
    if (call.name == "_/_") return make([](double a, double b) { return a / b; });
    return builder.no_overload(call);
}

Typed time_arithmetic(Builder& builder, Builder::Call& call, K result) {
    const bool plus = call.name == "_+_";
    const Column* left = call.arguments[0].node->constant();
    const Column* right = call.arguments[1].node->constant();
    if (left != nullptr && right != nullptr) {
        // CEL's times reach further than takt's: what overflows here may well be a value there.
        std::int64_t value = 0;
        const std::int64_t a = left->values<std::int64_t>()[0];
        const std::int64_t b = right->values<std::int64_t>()[0];
        if (plus ? __builtin_add_overflow(a, b, &value) : __builtin_sub_overflow(a, b, &value)) {
            return builder.fail(
                call.syntax, "C205",
                "instants before 1677 or after 2262 and durations beyond 292 years are outside takt's subset of CEL");
        }
    }
    const auto make = [&](auto function) {
        return builder.finish(call.syntax,
                              fallible<std::int64_t, std::int64_t, std::int64_t>(of(result), call.take(), function));
    };
    if (plus) {
        return make([](std::int64_t& out, Arena&, std::int64_t a, std::int64_t b) {
            return __builtin_add_overflow(a, b, &out) ? kTimeOverflow : nullptr;
        });
    }
    return make([](std::int64_t& out, Arena&, std::int64_t a, std::int64_t b) {
        return __builtin_sub_overflow(a, b, &out) ? kTimeOverflow : nullptr;
    });
}

std::optional<Typed> build_arithmetic(Builder& builder, Builder::Call& call) {
    if (auto typed = build_decimal_arithmetic(builder, call)) return typed;
    const bool plus = call.name == "_+_";
    const bool minus = call.name == "_-_";
    if (call.matches({K::int64, K::int64})) return integer_arithmetic<std::int64_t>(builder, call, K::int64);
    if (call.matches({K::uint64, K::uint64})) return integer_arithmetic<std::uint64_t>(builder, call, K::uint64);
    if (call.matches({K::float64, K::float64})) return real_arithmetic(builder, call);
    if (plus && (call.matches({K::string, K::string}) || call.matches({K::bytes, K::bytes}))) {
        const Type type = call.arguments[0].type();
        return builder.finish(
            call.syntax,
            fallible<std::string_view, std::string_view, std::string_view>(
                type, call.take(), [](std::string_view& out, Arena& strings, std::string_view a, std::string_view b) {
                    if (!a.empty() || !b.empty()) {
                        char* to = strings.allocate(a.size() + b.size());
                        if (!a.empty()) std::memcpy(to, a.data(), a.size());
                        if (!b.empty()) std::memcpy(to + a.size(), b.data(), b.size());
                        out = {to, a.size() + b.size()};
                    }
                    return static_cast<const char*>(nullptr);
                }));
    }
    if ((plus || minus) && call.matches({K::timestamp, K::duration}))
        return time_arithmetic(builder, call, K::timestamp);
    if (plus && call.matches({K::duration, K::timestamp})) return time_arithmetic(builder, call, K::timestamp);
    if ((plus || minus) && call.matches({K::duration, K::duration})) return time_arithmetic(builder, call, K::duration);
    if (minus && call.matches({K::timestamp, K::timestamp})) return time_arithmetic(builder, call, K::duration);
    if (plus && call.matches({K::list, K::list})) return concatenate_lists(builder, call);
    return builder.no_overload(call);
}

Typed build_negation(Builder& builder, Builder::Call& call) {
    switch (call.arguments[0].type().kind) {
        case K::int64:
            return builder.finish(call.syntax,
                                  fallible<std::int64_t, std::int64_t>(
                                      of(K::int64), call.take(), [](std::int64_t& out, Arena&, std::int64_t a) {
                                          return __builtin_sub_overflow(std::int64_t{0}, a, &out) ? kIntegerOverflow
                                                                                                  : nullptr;
                                      }));
        case K::float64:
            return builder.finish(call.syntax,
                                  pure<double, double>(of(K::float64), call.take(), [](double a) { return -a; }));
        case K::decimal: {
            const Type type = call.arguments[0].type();
            return builder.finish(call.syntax,
                                  fallible<Int128, Int128>(type, call.take(), [](Int128& out, Arena&, Int128 a) {
                                      return __builtin_sub_overflow(Int128{0}, a, &out) ? kDecimalOverflow : nullptr;
                                  }));
        }
        case K::duration:
            return builder.finish(
                call.syntax, fallible<std::int64_t, std::int64_t>(
                                 of(K::duration), call.take(), [](std::int64_t& out, Arena&, std::int64_t a) {
                                     return __builtin_sub_overflow(std::int64_t{0}, a, &out) ? kTimeOverflow : nullptr;
                                 }));
        default:
            return builder.no_overload(call);
    }
}

}  // namespace

Typed unknown_enumerator(Builder& builder, const Syntax& at, const Type& type, std::string_view text) {
    std::vector<std::string> names;
    std::string nearest;
    std::size_t best = text.size() / 2 + 1;
    for (const EnumType::Value& value : type.enumeration->values) {
        names.push_back(value.name);
        // Names of one enumeration differ enough for the count of differing places to tell the one that was meant.
        std::size_t differing =
            value.name.size() > text.size() ? value.name.size() - text.size() : text.size() - value.name.size();
        for (std::size_t i = 0; i < std::min(value.name.size(), text.size()); ++i)
            differing += value.name[i] != text[i] ? 1 : 0;
        if (differing < best) {
            best = differing;
            nearest = value.name;
        }
    }
    return builder.fail(
        at, "C206", fmt::format("{} has no value '{}'; there are {}", to_string(type), text, fmt::join(names, ", ")),
        nearest.empty() ? std::string() : fmt::format("did you mean '{}'?", nearest));
}

Typed with_never_equal(Builder& builder, Builder::Call& call, bool value) {
    class NeverEqualNode final : public Program::Node {
      public:
        NeverEqualNode(bool result, std::vector<NodePointer> arguments)
            : Node(of(K::boolean)), value_(result), arguments_(std::move(arguments)) {}
        Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
            NodeScratch& own = scratch(frame);
            own.errors.clear();
            for (const NodePointer& argument : arguments_)
                merge_errors(own.errors, argument->evaluate(frame, rows, nullptr).errors);
            Column& out = result_column(frame, target);
            for (const Row row : rows) out.values<std::uint8_t>()[row] = value_ ? 1 : 0;
            return {&out, false, own.errors.empty() ? nullptr : &own.errors, true};
        }

      private:
        bool value_;
        std::vector<NodePointer> arguments_;
    };
    return builder.finish(call.syntax, std::make_unique<NeverEqualNode>(value, call.take()));
}

std::optional<Typed> build_operator(Builder& builder, Builder::Call& call) {
    if (const auto comparison = comparison_of(call.name)) return build_comparison(builder, call, *comparison);
    if (call.name == "_+_" || call.name == "_-_" || call.name == "_*_" || call.name == "_/_" || call.name == "_%_") {
        return build_arithmetic(builder, call);
    }
    if (call.name == "-_") return build_negation(builder, call);
    if (call.name == "!_") {
        if (!call.arguments[0].type().is(K::boolean)) return builder.no_overload(call);
        return builder.finish(call.syntax,
                              pure<std::uint8_t, std::uint8_t>(of(K::boolean), call.take(), [](std::uint8_t a) {
                                  return static_cast<std::uint8_t>(a == 0);
                              }));
    }
    if (call.name == "_[_]") return build_index(builder, call);
    if (call.name == "@in") return build_in(builder, call);
    return std::nullopt;
}

}  // namespace takt::expression
