// Lists of scalars: index, membership, concatenation, comprehensions.
#include <fmt/format.h>

#include <algorithm>

#include "pipeline/expression/builder.h"
#include "pipeline/expression/fixed_text.h"
#include "pipeline/expression/values.h"

namespace takt::expression {
namespace {

using K = TypeKind;

class IndexNode final : public Program::Node {
  public:
    IndexNode(Type type, NodePointer list, NodePointer index)
        : Node(std::move(type)), list_(std::move(list)), index_(std::move(index)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        const Values list = list_->evaluate(frame, rows, nullptr);
        const Values index = index_->evaluate(frame, rows, nullptr);
        NodeScratch& own = scratch(frame);
        own.errors.clear();
        merge_errors(own.errors, list.errors);
        merge_errors(own.errors, index.errors);
        Column& out = result_column(frame, target);
        Errors mine;
        for (const Row row : rows) {
            const ListSpan span = Reader<ListSpan>(list)[row];
            const std::int64_t at = position(index, row);
            if (at >= 0 && at < span.size) {
                copy_value(*list.column->elements(), span.begin + static_cast<std::uint32_t>(at), out, row);
            } else {
                mine.push_back({row, "index out of range"});
                std::memset(out.values<char>() + row * value_size_bytes(type().kind), 0, value_size_bytes(type().kind));
            }
        }
        merge_errors(own.errors, &mine);
        return {&out, false, own.errors.empty() ? nullptr : &own.errors, true};
    }

  private:
    /// -1 where the number is no whole position.
    static std::int64_t position(const Values& index, Row row) {
        switch (index.column->type().kind) {
            case K::int64:
                return Reader<std::int64_t>(index)[row];
            case K::uint64: {
                const std::uint64_t at = Reader<std::uint64_t>(index)[row];
                return at <= INT64_MAX ? static_cast<std::int64_t>(at) : -1;
            }
            default: {
                const double at = Reader<double>(index)[row];
                if (!(at >= 0 && at < 4294967296.0)) return -1;
                const auto whole = static_cast<std::int64_t>(at);
                return static_cast<double>(whole) == at ? whole : -1;
            }
        }
    }

    NodePointer list_;
    NodePointer index_;
};

/// Membership in any list, by CEL's equality.
class InListNode final : public Program::Node {
  public:
    InListNode(NodePointer value, NodePointer list)
        : Node(Type::of(K::boolean)), value_(std::move(value)), list_(std::move(list)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        const Values value = value_->evaluate(frame, rows, nullptr);
        const Values list = list_->evaluate(frame, rows, nullptr);
        NodeScratch& own = scratch(frame);
        own.errors.clear();
        merge_errors(own.errors, value.errors);
        merge_errors(own.errors, list.errors);
        Column& out = result_column(frame, target);
        for (const Row row : rows) {
            const ListSpan span = Reader<ListSpan>(list)[row];
            bool found = false;
            for (std::uint32_t i = 0; !found && i < span.size; ++i) {
                found = equal_values(*value.column, value.constant ? 0 : row, *list.column->elements(), span.begin + i);
            }
            out.values<std::uint8_t>()[row] = found ? 1 : 0;
        }
        return {&out, false, own.errors.empty() ? nullptr : &own.errors, true};
    }

  private:
    NodePointer value_;
    NodePointer list_;
};

Typed in_numbers(Builder& builder, Builder::Call& call, std::vector<std::int64_t> wanted) {
    std::vector<NodePointer> value;
    value.push_back(std::move(call.arguments[0].node));
    const auto [low, high] = std::minmax_element(wanted.begin(), wanted.end());
    if (*low >= 0 && *high < 64) {
        std::uint64_t mask = 0;
        for (const std::int64_t one : wanted) mask |= std::uint64_t{1} << one;
        return builder.finish(call.syntax, pure<std::uint8_t, std::int64_t>(
                                               Type::of(K::boolean), std::move(value), [mask](std::int64_t v) {
                                                   const auto bit = static_cast<std::uint64_t>(v);
                                                   return static_cast<std::uint8_t>(bit < 64 ? (mask >> bit) & 1 : 0);
                                               }));
    }
    std::sort(wanted.begin(), wanted.end());
    return builder.finish(
        call.syntax, pure<std::uint8_t, std::int64_t>(Type::of(K::boolean), std::move(value), [wanted](std::int64_t v) {
            return static_cast<std::uint8_t>(std::binary_search(wanted.begin(), wanted.end(), v));
        }));
}

Typed in_texts(Builder& builder, Builder::Call& call, std::vector<std::string_view> wanted) {
    std::vector<NodePointer> value;
    value.push_back(std::move(call.arguments[0].node));
    if (wanted.size() <= 8) {
        // The texts are those of the list's constant, kept as long as the program.
        std::vector<std::pair<std::uint64_t, std::string_view>> heads;
        for (const std::string_view one : wanted) heads.push_back({head_of(one), builder.keep(one)});
        return builder.finish(
            call.syntax,
            pure<std::uint8_t, std::string_view>(Type::of(K::boolean), std::move(value), [heads](std::string_view v) {
                const std::uint64_t head = head_of(v);
                for (const auto& [one_head, one] : heads) {
                    if (one_head == head && one.size() == v.size() && (v.size() <= 8 || one == v))
                        return std::uint8_t{1};
                }
                return std::uint8_t{0};
            }));
    }
    for (std::string_view& one : wanted) one = builder.keep(one);
    std::sort(wanted.begin(), wanted.end());
    return builder.finish(
        call.syntax,
        pure<std::uint8_t, std::string_view>(Type::of(K::boolean), std::move(value), [wanted](std::string_view v) {
            return static_cast<std::uint8_t>(std::binary_search(wanted.begin(), wanted.end(), v));
        }));
}

/// `x in [constants]` of one type, by a table; nothing when it must go the slow way.
std::optional<Typed> in_constants(Builder& builder, Builder::Call& call) {
    const Column* list = call.arguments[1].node->constant();
    if (list == nullptr) return std::nullopt;
    const ListSpan span = list->values<ListSpan>()[0];
    const Type type = call.arguments[0].type();
    const K element = call.arguments[1].type().element;
    if (span.size == 0) return with_never_equal(builder, call, false);
    if (type.is(K::enumeration) && element == K::string) {
        std::vector<std::int64_t> wanted;
        for (std::uint32_t i = 0; i < span.size; ++i) {
            const std::string_view text = list->elements()->values<std::string_view>()[span.begin + i];
            const EnumType::Value* value = type.enumeration->find(text);
            if (value == nullptr) {
                const Syntax& written = *call.syntax.arguments[1];
                const Syntax& at = written.kind == Syntax::Kind::list ? *written.arguments[i] : written;
                return unknown_enumerator(builder, at, type, text);
            }
            wanted.push_back(value->value);
        }
        return in_numbers(builder, call, std::move(wanted));
    }
    if (type.kind != element) return std::nullopt;
    if (type.is(K::int64)) {
        const std::int64_t* values = list->elements()->values<std::int64_t>() + span.begin;
        return in_numbers(builder, call, {values, values + span.size});
    }
    if (type.is(K::string)) {
        const std::string_view* values = list->elements()->values<std::string_view>() + span.begin;
        return in_texts(builder, call, {values, values + span.size});
    }
    return std::nullopt;
}

class ConcatenateNode final : public Program::Node {
  public:
    ConcatenateNode(Type type, NodePointer left, NodePointer right)
        : Node(std::move(type)), left_(std::move(left)), right_(std::move(right)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        const Values sides[] = {left_->evaluate(frame, rows, nullptr), right_->evaluate(frame, rows, nullptr)};
        NodeScratch& own = scratch(frame);
        own.errors.clear();
        std::size_t elements = 0;
        for (const Values& side : sides) {
            merge_errors(own.errors, side.errors);
            for (const Row row : rows) elements += Reader<ListSpan>(side)[row].size;
        }
        Column& out = result_column(frame, target);
        ListWriter writer(out, type().element_type(), elements);
        for (const Row row : rows) {
            writer.begin_row(row);
            for (const Values& side : sides) {
                const ListSpan span = Reader<ListSpan>(side)[row];
                for (std::uint32_t i = 0; i < span.size; ++i) writer.append(*side.column->elements(), span.begin + i);
            }
        }
        return {&out, false, own.errors.empty() ? nullptr : &own.errors, true};
    }

  private:
    NodePointer left_;
    NodePointer right_;
};

enum class Macro : std::uint8_t { all, exists, exists_one, filter, map };

/// Walks over the lists of all rows: their elements become the rows of a frame of their own, kBatchRows at a time.
class ComprehensionNode final : public Program::Node {
  public:
    ComprehensionNode(Type type, Macro macro, NodePointer list, NodePointer condition, NodePointer body)
        : Node(std::move(type)),
          macro_(macro),
          list_(std::move(list)),
          condition_(std::move(condition)),
          body_(std::move(body)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        const Values list = list_->evaluate(frame, rows, nullptr);
        NodeScratch& own = scratch(frame);
        Errors errors;
        merge_errors(errors, list.errors);
        std::size_t total = 0;
        for (const Row row : rows) total += Reader<ListSpan>(list)[row].size;
        Column& out = result_column(frame, target);
        const bool makes_list = type().is(K::list);
        std::optional<ListWriter> writer;
        if (makes_list) writer.emplace(out, type().element_type(), total);
        Errors mine;
        std::vector<const char*> failures;
        std::vector<std::uint8_t> verdicts;  // 0 false, 1 true, 2 error
        for (const Row row : rows) {
            const ListSpan span = Reader<ListSpan>(list)[row];
            if (makes_list) writer->begin_row(row);
            State state;
            for (std::uint32_t begin = 0; begin < span.size; begin += kBatchRows) {
                const std::uint32_t size = std::min(span.size - begin, kBatchRows);
                walk(frame, row, *list.column->elements(), span.begin + begin, begin, size, state,
                     writer ? &*writer : nullptr);
            }
            if (!makes_list) {
                out.values<std::uint8_t>()[row] = state.value(macro_);
            } else if (state.failure != nullptr) {
                out.values<ListSpan>()[row] = {0, 0};
            }
            const char* failure = state.error(macro_);
            if (failure != nullptr) mine.push_back({row, failure});
        }
        merge_errors(errors, &mine);
        own.errors = std::move(errors);
        return {&out, false, own.errors.empty() ? nullptr : &own.errors, true};
    }

  private:
    struct State {
        std::uint64_t trues = 0;
        std::uint64_t falses = 0;
        const char* failure = nullptr;

        std::uint8_t value(Macro macro) const {
            if (error(macro) != nullptr) return 0;
            switch (macro) {
                case Macro::all:
                    return falses == 0 ? 1 : 0;
                case Macro::exists:
                    return trues > 0 ? 1 : 0;
                default:
                    return trues == 1 ? 1 : 0;
            }
        }
        /// all and exists are chains of && and ||: a deciding element absorbs errors. The others are not.
        const char* error(Macro macro) const {
            if (macro == Macro::all && falses > 0) return nullptr;
            if (macro == Macro::exists && trues > 0) return nullptr;
            return failure;
        }
    };

    void walk(const Frame& outer, Row row, const Column& elements, std::uint32_t from, std::uint32_t index_from,
              std::uint32_t size, State& state, ListWriter* writer) const {
        Column element(elements.type());
        element.reset(size);
        Column index(Type::of(K::int64));
        index.reset(size);
        std::vector<Row> outer_rows(size, row);
        Selection all;
        all.assign_all(size);
        for (std::uint32_t i = 0; i < size; ++i) {
            copy_value(elements, from + i, element, i);
            index.values<std::int64_t>()[i] = index_from + i;
        }
        Frame frame;
        frame.batch = outer.batch;
        frame.rows = size;
        frame.scratch = outer.scratch;
        frame.strings = outer.strings;
        frame.outer = &outer;
        frame.outer_row = &outer_rows;
        frame.variable[0] = &element;
        frame.variable[1] = &index;

        Selection chosen = all;
        if (condition_ != nullptr) {
            chosen.clear();
            const Values verdict = condition_->evaluate(frame, all, nullptr);
            const Reader<std::uint8_t> yes(verdict);
            std::size_t at = 0;
            for (const Row i : all) {
                if (verdict.errors != nullptr && at < verdict.errors->size() && (*verdict.errors)[at].first == i) {
                    if (state.failure == nullptr) state.failure = (*verdict.errors)[at].second;
                    ++at;
                    continue;
                }
                if (yes[i] != 0) {
                    ++state.trues;
                    chosen.push_back(i);
                } else {
                    ++state.falses;
                }
            }
        }
        if (writer == nullptr) return;
        if (body_ == nullptr) {
            for (const Row i : chosen) writer->append(element, i);
            return;
        }
        const Values made = body_->evaluate(frame, chosen, nullptr);
        if (made.errors != nullptr && !made.errors->empty() && state.failure == nullptr)
            state.failure = (*made.errors)[0].second;
        for (const Row i : chosen) writer->append(*made.column, made.constant ? 0 : i);
    }

    Macro macro_;
    NodePointer list_;
    NodePointer condition_;  ///< bool; null: map without a filter
    NodePointer body_;       ///< what map makes; null: the element
};

}  // namespace

Typed build_index(Builder& builder, Builder::Call& call) {
    if (call.arguments.size() != 2 || !call.arguments[0].type().is(K::list)) return builder.no_overload(call);
    const Type list = call.arguments[0].type();
    const K index = call.arguments[1].type().kind;
    if (list.element == K::null) return builder.fail(call.syntax, "C205", "an index into an empty list");
    const bool whole = index == K::int64 || (call.arguments[1].dyn && is_number(index));
    if (!whole) {
        if (!call.arguments[1].dyn) return builder.no_overload(call);
        return builder.finish(call.syntax, always_fails(list.element_type(), std::move(call.arguments[1].node),
                                                        "no such overload: an index is a number"));
    }
    return builder.finish(call.syntax,
                          std::make_unique<IndexNode>(list.element_type(), std::move(call.arguments[0].node),
                                                      std::move(call.arguments[1].node)));
}

Typed build_in(Builder& builder, Builder::Call& call) {
    if (!call.arguments[1].type().is(K::list)) return builder.no_overload(call);
    const Type value = call.arguments[0].type();
    const Type list = call.arguments[1].type();
    if (auto typed = in_constants(builder, call)) return std::move(*typed);
    const bool comparable = value.kind == list.element || list.element == K::null ||
                            (is_number(value.kind) && is_number(list.element)) || call.arguments[0].dyn ||
                            call.arguments[1].dyn;
    if (!comparable) return builder.no_overload(call);
    return builder.finish(call.syntax, std::make_unique<InListNode>(std::move(call.arguments[0].node),
                                                                    std::move(call.arguments[1].node)));
}

Typed concatenate_lists(Builder& builder, Builder::Call& call) {
    const Type left = call.arguments[0].type();
    const Type right = call.arguments[1].type();
    const bool same = left == right || left.element == K::null || right.element == K::null;
    if (!same) return builder.no_overload(call);
    return builder.finish(call.syntax, std::make_unique<ConcatenateNode>(left.element == K::null ? right : left,
                                                                         std::move(call.arguments[0].node),
                                                                         std::move(call.arguments[1].node)));
}

Typed Builder::build_comprehension(const Syntax& syntax) {
    static const std::pair<std::string_view, Macro> known[] = {{"all", Macro::all},
                                                               {"exists", Macro::exists},
                                                               {"exists_one", Macro::exists_one},
                                                               {"existsOne", Macro::exists_one},
                                                               {"filter", Macro::filter},
                                                               {"map", Macro::map},
                                                               {"transformList", Macro::map}};
    const auto found =
        std::find_if(std::begin(known), std::end(known), [&](const auto& one) { return one.first == syntax.name; });
    if (found == std::end(known))
        return fail(syntax, "C205",
                    fmt::format("'{}' makes a map: maps are outside takt's subset of CEL", syntax.name));
    const Macro macro = found->second;
    Typed list = build(*syntax.operand);
    if (!list) return list;
    if (!list.type().is(K::list))
        return fail(*list.syntax, "C204",
                    fmt::format("'{}' walks over a list, this is a {}", syntax.name, to_string(list.type())));

    const std::size_t count = syntax.arguments.size();
    const bool two_variables =
        syntax.name == "transformList" || (macro != Macro::filter && macro != Macro::map && count == 3);
    const std::size_t variables = two_variables ? 2 : 1;
    const std::size_t expressions = count - variables;
    const bool with_filter = macro == Macro::map && expressions == 2;
    if (count <= variables || (expressions != 1 && !with_filter))
        return fail(syntax, "C204", fmt::format("'{}' takes other arguments", syntax.name));
    for (std::size_t i = 0; i < variables; ++i) {
        if (syntax.arguments[i]->kind != Syntax::Kind::identifier)
            return fail(*syntax.arguments[i], "C201", "a variable's name is expected here");
    }
    ++depth_;
    const std::size_t mark = variables_.size();
    const std::string& last = syntax.arguments[variables - 1]->name;
    if (two_variables) variables_.push_back({syntax.arguments[0]->name, Type::of(K::int64), depth_, 1});
    variables_.push_back({last, list.type().element_type(), depth_, 0});
    // The elements of an empty list have no type: whatever is said of them holds.
    const bool empty = list.type().element == K::null;
    const std::size_t mistakes_before = mistakes_.size();
    Typed first = build(*syntax.arguments[variables]);
    Typed second = with_filter ? build(*syntax.arguments[variables + 1]) : Typed{};
    variables_.resize(mark);
    --depth_;
    if (empty) {
        mistakes_.resize(mistakes_before);
        if (macro == Macro::filter || macro == Macro::map) return list;
        return constant_value(syntax, Type::of(K::boolean), static_cast<std::uint8_t>(macro == Macro::all ? 1 : 0));
    }
    if (!first || (with_filter && !second)) return Typed{nullptr, false, &syntax};
    const bool has_condition = macro != Macro::map || with_filter;
    if (has_condition && !first.type().is(K::boolean)) {
        return fail(
            *first.syntax, "C204",
            fmt::format("the condition of '{}' must be a bool, this is a {}", syntax.name, to_string(first.type())));
    }
    Type type = Type::of(K::boolean);
    NodePointer condition = has_condition ? std::move(first.node) : nullptr;
    NodePointer body;
    if (macro == Macro::map) body = with_filter ? std::move(second.node) : std::move(first.node);
    if (macro == Macro::filter) type = list.type();
    if (macro == Macro::map) {
        if (body->type().is(K::list)) return fail(syntax, "C205", "lists of lists are outside takt's subset of CEL");
        type = Type::list_of(body->type());
    }
    return finish(syntax, std::make_unique<ComprehensionNode>(type, macro, std::move(list.node), std::move(condition),
                                                              std::move(body)));
}

std::optional<Typed> build_list_function(Builder& builder, Builder::Call& call) {
    if (call.name == "size" && call.arguments.size() == 1 && call.arguments[0].type().is(K::list)) {
        return builder.finish(call.syntax,
                              pure<std::int64_t, ListSpan>(Type::of(K::int64), call.take(), [](const ListSpan& span) {
                                  return static_cast<std::int64_t>(span.size);
                              }));
    }
    return std::nullopt;
}

}  // namespace takt::expression
