#include "pipeline/expression/builder.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/expression/values.h"

namespace takt::expression {
namespace {

class ConstantNode final : public Program::Node {
  public:
    ConstantNode(Type type, std::unique_ptr<Column> value) : Node(std::move(type)), value_(std::move(value)) {}
    Values evaluate(const Frame&, const Selection&, Column*) const override {
        return {value_.get(), true, nullptr, true};
    }
    const Column* constant() const override { return value_.get(); }

  private:
    std::unique_ptr<Column> value_;
};

/// Where row `row` of a frame stands in the frame `levels` further out.
Row outer_row(const Frame& frame, Row row, std::uint32_t levels) {
    const Frame* at = &frame;
    for (; levels > 0; --levels) {
        row = (*at->outer_row)[row];
        at = at->outer;
    }
    return row;
}

/// Gathers column values of an outer frame for the rows of a comprehension.
Values gather(const Frame& frame, const Selection& rows, const Column& from, std::uint32_t levels, Column& to) {
    for (const Row row : rows) copy_value(from, outer_row(frame, row, levels), to, row);
    return {&to, false, nullptr, false};
}

class ColumnNode final : public Program::Node {
  public:
    ColumnNode(Type type, Slot slot, std::uint32_t depth) : Node(std::move(type)), slot_(slot), depth_(depth) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column*) const override {
        const Frame* root = &frame;
        while (root->outer != nullptr) root = root->outer;
        const Column& column = root->batch->column(slot_);
        if (depth_ == 0) return {&column, false, nullptr, false};
        return gather(frame, rows, column, depth_, result_column(frame, nullptr));
    }
    Slot slot() const { return slot_; }

  private:
    Slot slot_;
    std::uint32_t depth_;  ///< comprehensions around it
};

class VariableNode final : public Program::Node {
  public:
    VariableNode(Type type, int index, std::uint32_t levels) : Node(std::move(type)), index_(index), levels_(levels) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column*) const override {
        const Frame* at = &frame;
        for (std::uint32_t i = 0; i < levels_; ++i) at = at->outer;
        const Column& column = *at->variable[index_];
        if (levels_ == 0) return {&column, false, nullptr, true};
        return gather(frame, rows, column, levels_, result_column(frame, nullptr));
    }

  private:
    int index_;
    std::uint32_t levels_;  ///< comprehensions between it and the one that binds it
};

class HasNode final : public Program::Node {
  public:
    HasNode(Slot slot, std::uint32_t depth) : Node(Type::of(TypeKind::boolean)), slot_(slot), depth_(depth) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        const Frame* root = &frame;
        while (root->outer != nullptr) root = root->outer;
        const Bitmap& valid = root->batch->column(slot_).valid();
        Column& out = result_column(frame, target);
        for (const Row row : rows) {
            out.values<std::uint8_t>()[row] = valid.test(depth_ == 0 ? row : outer_row(frame, row, depth_)) ? 1 : 0;
        }
        return {&out, false, nullptr, true};
    }

  private:
    Slot slot_;
    std::uint32_t depth_;
};

/// && and ||. With `decides` = false for && and true for ||: a side that decides settles the row whatever the other
/// side is, an error too.
class LogicNode final : public Program::Node {
  public:
    LogicNode(bool decides, NodePointer left, NodePointer right)
        : Node(Type::of(TypeKind::boolean)),
          decides_(decides ? 1 : 0),
          left_(std::move(left)),
          right_(std::move(right)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        NodeScratch& own = scratch(frame);
        const Values left = left_->evaluate(frame, rows, nullptr);
        Column& out = result_column(frame, target);
        std::uint8_t* values = out.values<std::uint8_t>();
        const Reader<std::uint8_t> left_values(left);
        Selection& open = own.first;
        open.resize(rows.size());
        Row* const open_to = open.data();
        std::size_t open_rows = 0;
        const std::uint8_t decides = decides_;
        if (left.errors == nullptr) {
            for_each_row(rows, [&, values, open_to](Row row) {
                const std::uint8_t value = left_values[row];
                values[row] = value;
                open_to[open_rows] = row;
                open_rows += value ^ decides;
            });
        } else {
            std::size_t error = 0;
            for (const Row row : rows) {
                while (error < left.errors->size() && (*left.errors)[error].first < row) ++error;
                const bool failed = error < left.errors->size() && (*left.errors)[error].first == row;
                values[row] = failed ? !decides : left_values[row];
                open_to[open_rows] = row;
                open_rows += values[row] != decides ? 1 : 0;
            }
        }
        open.resize(open_rows);
        own.errors.clear();
        if (open_rows == 0) return {&out, false, nullptr, true};

        Errors left_errors;
        if (left.errors != nullptr) left_errors = *left.errors;
        const Values right = right_->evaluate(frame, open, nullptr);
        const Reader<std::uint8_t> right_values(right);
        if (left_errors.empty() && right.errors == nullptr) {
            for_each_row(open, [values, right_values](Row row) { values[row] = right_values[row]; });
            return {&out, false, nullptr, true};
        }
        settle(open, left_errors, right, right_values, values, own.errors);
        return {&out, false, own.errors.empty() ? nullptr : &own.errors, true};
    }

    const Errors* select(const Frame& frame, const Selection& rows, Selection& yes) const override {
        if (decides_ != 0) return Node::select(frame, rows, yes);
        // What && lets through is what the right side lets through of the left side's rows, unless the left side has
        // errors to absorb.
        Selection& open = scratch(frame).first;
        const Errors* failed = left_->select(frame, rows, open);
        if (failed != nullptr) return Node::select(frame, rows, yes);
        return right_->select(frame, open, yes);
    }

  private:
    void settle(const Selection& open, const Errors& left_errors, const Values& right,
                const Reader<std::uint8_t>& right_values, std::uint8_t* values, Errors& errors) const {
        std::size_t left_at = 0;
        std::size_t right_at = 0;
        for (const Row row : open) {
            while (left_at < left_errors.size() && left_errors[left_at].first < row) ++left_at;
            const bool left_failed = left_at < left_errors.size() && left_errors[left_at].first == row;
            bool right_failed = false;
            if (right.errors != nullptr) {
                while (right_at < right.errors->size() && (*right.errors)[right_at].first < row) ++right_at;
                right_failed = right_at < right.errors->size() && (*right.errors)[right_at].first == row;
            }
            if (!right_failed && right_values[row] == decides_) {
                values[row] = decides_;
            } else if (left_failed) {
                errors.push_back(left_errors[left_at]);
                values[row] = 0;
            } else if (right_failed) {
                errors.push_back((*right.errors)[right_at]);
                values[row] = 0;
            } else {
                values[row] = right_values[row];
            }
        }
    }

    std::uint8_t decides_;
    NodePointer left_;
    NodePointer right_;
};

class ConditionalNode final : public Program::Node {
  public:
    ConditionalNode(Type type, NodePointer condition, NodePointer yes, NodePointer no)
        : Node(std::move(type)), condition_(std::move(condition)), yes_(std::move(yes)), no_(std::move(no)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        NodeScratch& own = scratch(frame);
        const Values condition = condition_->evaluate(frame, rows, nullptr);
        const Reader<std::uint8_t> chosen(condition);
        own.errors.clear();
        merge_errors(own.errors, condition.errors);
        own.first.clear();
        own.second.clear();
        std::size_t error = 0;
        Column& out = result_column(frame, target);
        const bool is_list = type().is(TypeKind::list);
        for (const Row row : rows) {
            while (error < own.errors.size() && own.errors[error].first < row) ++error;
            if (error < own.errors.size() && own.errors[error].first == row) {
                std::memset(out.values<char>() + row * value_size_bytes(type().kind), 0, value_size_bytes(type().kind));
                continue;
            }
            (chosen[row] != 0 ? own.first : own.second).push_back(row);
        }
        const Values yes = yes_->evaluate(frame, own.first, nullptr);
        const Values no = no_->evaluate(frame, own.second, nullptr);
        if (is_list) {
            ListWriter writer(out, type().element_type(), elements(yes, own.first) + elements(no, own.second));
            copy_lists(writer, yes, own.first);
            copy_lists(writer, no, own.second);
        } else {
            for (const Row row : own.first) copy_value(*yes.column, yes.constant ? 0 : row, out, row);
            for (const Row row : own.second) copy_value(*no.column, no.constant ? 0 : row, out, row);
        }
        merge_errors(own.errors, yes.errors);
        merge_errors(own.errors, no.errors);
        return {&out, false, own.errors.empty() ? nullptr : &own.errors, true};
    }

  private:
    static std::size_t elements(const Values& values, const Selection& rows) {
        std::size_t count = 0;
        for (const Row row : rows) count += Reader<ListSpan>(values)[row].size;
        return count;
    }
    static void copy_lists(ListWriter& writer, const Values& values, const Selection& rows) {
        for (const Row row : rows) {
            writer.begin_row(row);
            const ListSpan span = Reader<ListSpan>(values)[row];
            for (std::uint32_t i = 0; i < span.size; ++i) writer.append(*values.column->elements(), span.begin + i);
        }
    }

    NodePointer condition_;
    NodePointer yes_;
    NodePointer no_;
};

class ListNode final : public Program::Node {
  public:
    ListNode(Type type, std::vector<NodePointer> elements) : Node(std::move(type)), elements_(std::move(elements)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        NodeScratch& own = scratch(frame);
        own.errors.clear();
        std::vector<Values> values;
        for (const NodePointer& element : elements_) {
            values.push_back(element->evaluate(frame, rows, nullptr));
            merge_errors(own.errors, values.back().errors);
        }
        Column& out = result_column(frame, target);
        ListWriter writer(out, type().element_type(), rows.size() * elements_.size());
        for (const Row row : rows) {
            writer.begin_row(row);
            for (const Values& value : values) writer.append(*value.column, value.constant ? 0 : row);
        }
        return {&out, false, own.errors.empty() ? nullptr : &own.errors, true};
    }

  private:
    std::vector<NodePointer> elements_;
};

/// Always an error, after those of its argument.
class FailNode final : public Program::Node {
  public:
    FailNode(Type type, NodePointer argument, const char* message)
        : Node(std::move(type)), argument_(std::move(argument)), message_(message) {}
    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        NodeScratch& own = scratch(frame);
        const Values argument = argument_->evaluate(frame, rows, nullptr);
        Errors mine;
        own.errors.clear();
        merge_errors(own.errors, argument.errors);
        Column& out = result_column(frame, target);
        for (const Row row : rows) {
            mine.push_back({row, message_});
            std::memset(out.values<char>() + row * value_size_bytes(type().kind), 0, value_size_bytes(type().kind));
        }
        merge_errors(own.errors, &mine);
        return {&out, false, &own.errors, true};
    }

  private:
    NodePointer argument_;
    const char* message_;
};

bool same_but_scale(const Type& a, const Type& b) {
    return a == b || (a.is(TypeKind::decimal) && b.is(TypeKind::decimal));
}

}  // namespace

NodePointer always_fails(Type type, NodePointer argument, const char* message) {
    return std::make_unique<FailNode>(std::move(type), std::move(argument), message);
}

void merge_errors(Errors& errors, const Errors* more) {
    if (more == nullptr || more->empty()) return;
    if (errors.empty()) {
        errors = *more;
        return;
    }
    Errors merged;
    merged.reserve(errors.size() + more->size());
    std::size_t at = 0;
    for (const auto& error : errors) {
        while (at < more->size() && (*more)[at].first < error.first) merged.push_back((*more)[at++]);
        if (at < more->size() && (*more)[at].first == error.first) ++at;
        merged.push_back(error);
    }
    while (at < more->size()) merged.push_back((*more)[at++]);
    errors = std::move(merged);
}

void copy_value(const Column& from, std::size_t from_row, Column& to, std::size_t to_row) {
    switch (value_size_bytes(from.type().kind)) {
        case 1:
            to.values<std::uint8_t>()[to_row] = from.values<std::uint8_t>()[from_row];
            break;
        case 8:
            to.values<std::uint64_t>()[to_row] = from.values<std::uint64_t>()[from_row];
            break;
        default:
            to.values<Int128>()[to_row] = from.values<Int128>()[from_row];
            break;
    }
}

void remove_rows(Selection& rows, const Errors& errors) {
    std::size_t kept = 0;
    std::size_t at = 0;
    for (const Row row : rows) {
        while (at < errors.size() && errors[at].first < row) ++at;
        if (at < errors.size() && errors[at].first == row) continue;
        rows.data()[kept++] = row;
    }
    rows.resize(kept);
}

ListWriter::ListWriter(Column& lists, const Type& element_type, std::size_t elements_at_most) : lists_(lists) {
    if (lists.elements() == nullptr) lists.set_elements(std::make_unique<Column>());
    elements_ = lists.elements();
    elements_->set_type(element_type);
    // Room for one at least, so that the column has memory.
    elements_->reset(static_cast<std::uint32_t>(std::max<std::size_t>(elements_at_most, 1)));
}

void ListWriter::begin_row(Row row) {
    row_ = row;
    lists_.values<ListSpan>()[row] = {next_, 0};
}

void ListWriter::append(const Column& from, std::size_t from_row) {
    copy_value(from, from_row, *elements_, next_++);
    ++lists_.values<ListSpan>()[row_].size;
}

void ListWriter::append_text(std::string_view text) {
    elements_->values<std::string_view>()[next_++] = text;
    ++lists_.values<ListSpan>()[row_].size;
}

void ListWriter::append_int(std::int64_t value) {
    elements_->values<std::int64_t>()[next_++] = value;
    ++lists_.values<ListSpan>()[row_].size;
}

bool Builder::Call::matches(std::initializer_list<TypeKind> kinds) const {
    if (arguments.size() != kinds.size()) return false;
    std::size_t i = 0;
    for (const TypeKind kind : kinds) {
        if (!arguments[i++].type().is(kind)) return false;
    }
    return true;
}

std::vector<NodePointer> Builder::Call::take() {
    std::vector<NodePointer> nodes;
    for (Typed& argument : arguments) nodes.push_back(std::move(argument.node));
    return nodes;
}

Typed Builder::fail(const Syntax& at, const char* code, std::string message, std::string hint) {
    mistakes_.push_back({at.offset, at.length, code, std::move(message), std::move(hint)});
    return Typed{nullptr, false, &at};
}

Typed Builder::no_overload(const Call& call) {
    std::vector<std::string> types;
    for (const Typed& argument : call.arguments) types.push_back(to_string(argument.type()));
    if (call.name.front() == '_' || call.name.front() == '!' || call.name.front() == '-' || call.name.front() == '@') {
        std::string symbol;
        for (const char c : call.name) {
            if (c != '_' && c != '@') symbol.push_back(c);
        }
        return fail(call.syntax, "C204", fmt::format("'{}' does not take {}", symbol, fmt::join(types, " and ")));
    }
    if (call.method) {
        const std::vector<std::string> rest(types.begin() + 1, types.end());
        return fail(call.syntax, "C204",
                    fmt::format("{}.{}({}) does not exist", types[0], call.name, fmt::join(rest, ", ")));
    }
    return fail(call.syntax, "C204", fmt::format("{}({}) does not exist", call.name, fmt::join(types, ", ")));
}

NodePointer Builder::number(NodePointer node) {
    node->number = nodes_++;
    return node;
}

Typed Builder::finish(const Syntax& syntax, NodePointer node) {
    return Typed{number(std::move(node)), false, &syntax};
}

Typed Builder::constant(const Syntax& syntax, Type type, const Column& value) {
    auto column = std::make_unique<Column>(type);
    column->reset(1);
    column->valid().set(0);
    if (type.is(TypeKind::list)) {
        const ListSpan span = value.values<ListSpan>()[0];
        ListWriter writer(*column, type.element_type(), span.size);
        writer.begin_row(0);
        for (std::uint32_t i = 0; i < span.size; ++i) writer.append(*value.elements(), span.begin + i);
        if (is_text(type.element)) {
            for (std::uint32_t i = 0; i < span.size; ++i) {
                std::string_view& text = column->elements()->values<std::string_view>()[i];
                text = keep(text);
            }
        }
    } else {
        copy_value(value, 0, *column, 0);
        if (is_text(type.kind)) {
            std::string_view& text = column->values<std::string_view>()[0];
            text = keep(text);
        }
    }
    return finish(syntax, std::make_unique<ConstantNode>(std::move(type), std::move(column)));
}

template <typename T>
Typed Builder::constant_value(const Syntax& syntax, Type type, T value) {
    Column column(type);
    column.reset(1);
    column.values<T>()[0] = value;
    return constant(syntax, std::move(type), column);
}
template Typed Builder::constant_value(const Syntax&, Type, Int128);
template Typed Builder::constant_value(const Syntax&, Type, std::int64_t);
template Typed Builder::constant_value(const Syntax&, Type, std::uint64_t);
template Typed Builder::constant_value(const Syntax&, Type, double);
template Typed Builder::constant_value(const Syntax&, Type, std::uint8_t);
template Typed Builder::constant_value(const Syntax&, Type, std::string_view);

std::string_view Builder::keep(std::string_view text) {
    return arena_->copy(text);
}

std::vector<Slot> Builder::slots() const {
    std::vector<Slot> sorted = slots_;
    std::sort(sorted.begin(), sorted.end());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    return sorted;
}

/// Evaluates a node of constants once; one that fails stays, and fails for each row.
Typed Builder::fold(const Syntax& syntax, NodePointer node) {
    Program::Scratch scratch;
    scratch.nodes.resize(nodes_);
    Arena strings;
    Frame frame;
    frame.rows = 1;
    frame.scratch = &scratch;
    frame.strings = &strings;
    Selection rows;
    rows.push_back(0);
    const Values values = node->evaluate(frame, rows, nullptr);
    if (values.errors != nullptr && !values.errors->empty()) return Typed{std::move(node), false, &syntax};
    const Type type = node->type();
    return constant(syntax, type, *values.column);
}

Typed Builder::build(const Syntax& syntax) {
    switch (syntax.kind) {
        case Syntax::Kind::literal:
            return build_literal(syntax);
        case Syntax::Kind::identifier:
            return build_name(syntax, syntax.name);
        case Syntax::Kind::select:
            return build_select(syntax);
        case Syntax::Kind::list:
            return build_list(syntax);
        case Syntax::Kind::map:
            return fail(syntax, "C205", "maps are outside takt's subset of CEL: use a table and a lookup");
        case Syntax::Kind::call:
            return build_call(syntax);
    }
    return Typed{};
}

Typed Builder::build_literal(const Syntax& syntax) {
    struct Visitor {
        Builder& builder;
        const Syntax& syntax;
        Typed operator()(std::monostate) const {
            return builder.constant_value(syntax, Type::of(TypeKind::null), std::uint8_t{0});
        }
        Typed operator()(bool value) const {
            return builder.constant_value(syntax, Type::of(TypeKind::boolean), static_cast<std::uint8_t>(value));
        }
        Typed operator()(std::int64_t value) const {
            return builder.constant_value(syntax, Type::of(TypeKind::int64), value);
        }
        Typed operator()(std::uint64_t value) const {
            return builder.constant_value(syntax, Type::of(TypeKind::uint64), value);
        }
        Typed operator()(double value) const {
            return builder.constant_value(syntax, Type::of(TypeKind::float64), value);
        }
        Typed operator()(const std::string& value) const {
            return builder.constant_value(syntax, Type::of(syntax.bytes ? TypeKind::bytes : TypeKind::string),
                                          std::string_view(value));
        }
    };
    return std::visit(Visitor{*this, syntax}, syntax.literal);
}

std::string Builder::dotted_name(const Syntax& syntax) {
    if (syntax.kind == Syntax::Kind::identifier) return syntax.name;
    if (syntax.kind != Syntax::Kind::select) return {};
    const std::string of = dotted_name(*syntax.operand);
    return of.empty() ? of : of + "." + syntax.name;
}

bool Builder::begins_with_variable(const Syntax& syntax) const {
    if (syntax.kind == Syntax::Kind::select) return begins_with_variable(*syntax.operand);
    if (syntax.kind != Syntax::Kind::identifier || syntax.absolute) return false;
    return std::any_of(variables_.begin(), variables_.end(),
                       [&](const Variable& variable) { return variable.name == syntax.name; });
}

Typed Builder::build_name(const Syntax& syntax, const std::string& name) {
    const bool hides = begins_with_variable(syntax);
    for (auto variable = variables_.rbegin(); hides && variable != variables_.rend(); ++variable) {
        if (variable->name == name) {
            return finish(syntax,
                          std::make_unique<VariableNode>(variable->type, variable->index, depth_ - variable->depth));
        }
    }
    if (const Scope::Entry* entry = scope_.find(name)) {
        slots_.push_back(entry->slot);
        return finish(syntax, std::make_unique<ColumnNode>(entry->type, entry->slot, depth_));
    }
    static constexpr std::string_view types[] = {"bool",  "int",  "uint", "double",    "string",
                                                 "bytes", "list", "map",  "null_type", "type"};
    for (const std::string_view type : types) {
        if (name == type)
            return fail(syntax, "C205",
                        fmt::format("'{}' as a value: types are no values in takt's subset of CEL", name));
    }
    std::vector<std::string> names;
    for (const Scope::Entry& entry : scope_.entries()) names.push_back(entry.name);
    std::string hint;
    std::size_t nearest = 3;
    for (const std::string& candidate : names) {
        // Levenshtein distance by one row.
        std::vector<std::size_t> row(candidate.size() + 1);
        for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
        for (std::size_t i = 1; i <= name.size(); ++i) {
            std::size_t diagonal = row[0];
            row[0] = i;
            for (std::size_t j = 1; j < row.size(); ++j) {
                const std::size_t kept = row[j];
                row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (name[i - 1] == candidate[j - 1] ? 0u : 1u)});
                diagonal = kept;
            }
        }
        if (row.back() < nearest && row.back() * 3 <= name.size() + 2) {
            nearest = row.back();
            hint = fmt::format("did you mean '{}'?", candidate);
        }
    }
    return fail(syntax, "C202", fmt::format("no column '{}' here", name), std::move(hint));
}

Typed Builder::build_select(const Syntax& syntax) {
    const std::string name = dotted_name(syntax);
    if (name.empty() || begins_with_variable(syntax))
        return fail(syntax, "C205", "fields of maps and messages are outside takt's subset of CEL");
    return build_name(syntax, name);
}

Typed Builder::build_list(const Syntax& syntax) {
    std::vector<Typed> elements;
    bool good = true;
    for (const auto& element : syntax.arguments) {
        elements.push_back(build(*element));
        good = good && elements.back();
    }
    if (!good) return Typed{nullptr, false, &syntax};
    Type element_type = elements.empty() ? Type::of(TypeKind::null) : elements[0].type();
    bool foldable = true;
    for (const Typed& element : elements) {
        const Type& type = element.type();
        if (type.is(TypeKind::list))
            return fail(*element.syntax, "C205", "lists of lists are outside takt's subset of CEL");
        if (!same_but_scale(type, element_type)) {
            return fail(*element.syntax, "C205",
                        fmt::format("a list holds values of one type: here {} and {}", to_string(element_type),
                                    to_string(type)));
        }
        if (type.is(TypeKind::decimal) && type.scale > element_type.scale) element_type = type;
        foldable = foldable && element.node->constant() != nullptr;
    }
    std::vector<NodePointer> nodes;
    for (Typed& element : elements) {
        nodes.push_back(element_type.is(TypeKind::decimal)
                            ? to_scale(*this, std::move(element.node), element_type.scale)
                            : std::move(element.node));
    }
    NodePointer list = number(std::make_unique<ListNode>(Type::list_of(element_type), std::move(nodes)));
    return foldable ? fold(syntax, std::move(list)) : Typed{std::move(list), false, &syntax};
}

Typed Builder::build_has(const Syntax& syntax) {
    if (syntax.arguments.size() != 1) return fail(syntax, "C204", "has() takes one column");
    const std::string name = dotted_name(*syntax.arguments[0]);
    const bool is_column = !name.empty() && !begins_with_variable(*syntax.arguments[0]);
    const Scope::Entry* entry = is_column ? scope_.find(name) : nullptr;
    if (entry == nullptr) {
        if (!is_column)
            return fail(*syntax.arguments[0], "C205",
                        "has() takes a column's name; maps and messages are outside takt's subset of CEL");
        return build_name(*syntax.arguments[0], name);
    }
    slots_.push_back(entry->slot);
    return finish(syntax, std::make_unique<HasNode>(entry->slot, depth_));
}

Typed Builder::build_logic(const Syntax& syntax, bool is_and) {
    Typed left = build(*syntax.arguments[0]);
    Typed right = build(*syntax.arguments[1]);
    if (!left || !right) return Typed{nullptr, false, &syntax};
    for (Typed* side : {&left, &right}) {
        if (side->type().is(TypeKind::boolean)) continue;
        if (!side->dyn)
            return fail(*side->syntax, "C204",
                        fmt::format("'{}' takes bools, this is a {}", is_and ? "&&" : "||", to_string(side->type())));
        side->node = number(
            always_fails(Type::of(TypeKind::boolean), std::move(side->node), "no such overload: a bool is needed"));
    }
    const bool foldable = left.node->constant() != nullptr && right.node->constant() != nullptr;
    NodePointer node = number(std::make_unique<LogicNode>(!is_and, std::move(left.node), std::move(right.node)));
    return foldable ? fold(syntax, std::move(node)) : Typed{std::move(node), false, &syntax};
}

Typed Builder::build_conditional(const Syntax& syntax) {
    Typed condition = build(*syntax.arguments[0]);
    Typed yes = build(*syntax.arguments[1]);
    Typed no = build(*syntax.arguments[2]);
    if (!condition || !yes || !no) return Typed{nullptr, false, &syntax};
    if (!condition.type().is(TypeKind::boolean)) {
        return fail(*condition.syntax, "C204",
                    fmt::format("the condition of '?' must be a bool, this is a {}", to_string(condition.type())));
    }
    Type type = yes.type();
    if (type.is(TypeKind::decimal) || no.type().is(TypeKind::decimal)) {
        const auto numeric = [](const Type& one) { return one.is(TypeKind::decimal) || one.is(TypeKind::int64); };
        if (numeric(yes.type()) && numeric(no.type())) {
            const int scale = std::max(yes.type().scale, no.type().scale);
            yes.node = to_scale(*this, std::move(yes.node), scale);
            no.node = to_scale(*this, std::move(no.node), scale);
            type = Type::decimal(scale);
        }
    }
    if (type.is(TypeKind::list) && type.element == TypeKind::null) type = no.type();
    if (!(yes.node->type() == no.node->type()) && !(type.is(TypeKind::list) && no.type().is(TypeKind::list))) {
        return fail(syntax, "C204",
                    fmt::format("both values of '?' must be of one type: here {} and {}", to_string(yes.type()),
                                to_string(no.type())));
    }
    const bool foldable = condition.node->constant() && yes.node->constant() && no.node->constant();
    NodePointer node = number(
        std::make_unique<ConditionalNode>(type, std::move(condition.node), std::move(yes.node), std::move(no.node)));
    return foldable ? fold(syntax, std::move(node)) : Typed{std::move(node), yes.dyn || no.dyn, &syntax};
}

/// What CEL's type() would give for an expression of this type.
static std::string name_of_type(const Type& type) {
    switch (type.kind) {
        case TypeKind::timestamp:
            return "google.protobuf.Timestamp";
        case TypeKind::duration:
            return "google.protobuf.Duration";
        case TypeKind::null:
            return "null_type";
        case TypeKind::list:
            return "list";
        case TypeKind::decimal:
            return "decimal";
        case TypeKind::enumeration:
            return "enumeration";
        default:
            return to_string(type);
    }
}

/// `type(a) == type(b)`, `type(a) != int`: types are no values here, but whether two are the same is known when the
/// config is loaded.
std::optional<Typed> Builder::build_type_comparison(const Syntax& syntax) {
    static constexpr std::string_view names[] = {"bool",
                                                 "int",
                                                 "uint",
                                                 "double",
                                                 "string",
                                                 "bytes",
                                                 "list",
                                                 "map",
                                                 "null_type",
                                                 "type",
                                                 "decimal",
                                                 "google.protobuf.Timestamp",
                                                 "google.protobuf.Duration"};
    const auto is_type_of = [](const Syntax& side) {
        return side.kind == Syntax::Kind::call && side.name == "type" && !side.operand && side.arguments.size() == 1;
    };
    const auto is_name = [&](const Syntax& side) {
        const std::string name = dotted_name(side);
        return std::find(std::begin(names), std::end(names), name) != std::end(names) && !begins_with_variable(side) &&
               scope_.find(name) == nullptr;
    };
    const Syntax& left = *syntax.arguments[0];
    const Syntax& right = *syntax.arguments[1];
    if (!is_type_of(left) && !is_type_of(right)) return std::nullopt;
    Call call{syntax, syntax.name, false, {}};
    std::vector<std::string> found;
    for (const Syntax* side : {&left, &right}) {
        if (is_name(*side)) {
            found.push_back(dotted_name(*side));
        } else if (is_type_of(*side)) {
            const Syntax& of = *side->arguments[0];
            if (is_name(of) || is_type_of(of)) {
                found.push_back("type");
                continue;
            }
            call.arguments.push_back(build(of));
            if (!call.arguments.back()) return std::move(call.arguments.back());
            found.push_back(name_of_type(call.arguments.back().type()));
        } else {
            return std::nullopt;
        }
    }
    bool foldable = true;
    for (const Typed& argument : call.arguments) foldable = foldable && argument.node->constant() != nullptr;
    Typed typed = with_never_equal(*this, call, (found[0] == found[1]) == (syntax.name == "_==_"));
    return foldable ? fold(syntax, std::move(typed.node)) : std::move(typed);
}

Typed Builder::build_call(const Syntax& syntax) {
    if (syntax.name == "_==_" || syntax.name == "_!=_") {
        if (auto typed = build_type_comparison(syntax)) return std::move(*typed);
    }
    if (syntax.name == "_&&_") return build_logic(syntax, true);
    if (syntax.name == "_||_") return build_logic(syntax, false);
    if (syntax.name == "_?_:_") return build_conditional(syntax);
    if (syntax.name == "has" && !syntax.operand) return build_has(syntax);
    static constexpr std::string_view macros[] = {"all", "exists",        "exists_one",   "existsOne",        "filter",
                                                  "map", "transformList", "transformMap", "transformMapEntry"};
    if (syntax.operand && std::find(std::begin(macros), std::end(macros), syntax.name) != std::end(macros) &&
        syntax.arguments.size() >= 2) {
        return build_comprehension(syntax);
    }
    std::string name = syntax.name;
    const bool in_namespace = syntax.operand && syntax.operand->kind == Syntax::Kind::identifier &&
                              (syntax.operand->name == "math" || syntax.operand->name == "strings") &&
                              scope_.find(syntax.operand->name) == nullptr && !begins_with_variable(*syntax.operand);
    if (in_namespace) name = syntax.operand->name + "." + name;
    if (name == "type" && !syntax.operand)
        return fail(syntax, "C205",
                    "type() is outside takt's subset of CEL: types are known when the config is loaded");
    Call call{syntax, name, syntax.operand != nullptr && !in_namespace, {}};
    bool good = true;
    if (call.method) {
        call.arguments.push_back(build(*syntax.operand));
        good = static_cast<bool>(call.arguments.back());
    }
    // The list of a format holds values of any types: the format reads it itself. So does the list of math.greatest: it
    // is its arguments.
    const bool is_format = call.method && name == "format";
    const bool of_list = (name == "math.greatest" || name == "math.least") && syntax.arguments.size() == 1 &&
                         syntax.arguments[0]->kind == Syntax::Kind::list;
    for (const auto& argument : of_list ? syntax.arguments[0]->arguments : syntax.arguments) {
        if (is_format) break;
        call.arguments.push_back(build(*argument));
        good = good && call.arguments.back();
    }
    if (!good) return Typed{nullptr, false, &syntax};
    if (name == "dyn" && !call.method && call.arguments.size() == 1) {
        Typed typed = std::move(call.arguments[0]);
        typed.dyn = true;
        return typed;
    }
    bool foldable = !is_format;
    for (const Typed& argument : call.arguments) foldable = foldable && argument.node->constant() != nullptr;
    Typed typed = dispatch(call);
    if (!typed || !foldable || typed.node->constant() != nullptr) return typed;
    const bool dyn = typed.dyn;
    typed = fold(syntax, std::move(typed.node));
    typed.dyn = dyn;
    return typed;
}

Typed Builder::dispatch(Call& call) {
    using Family = std::optional<Typed> (*)(Builder&, Call&);
    static constexpr Family families[] = {build_operator,        build_string_function, build_math_function,
                                          build_time_function,   build_conversion,      build_list_function,
                                          build_decimal_function};
    for (const Family family : families) {
        if (auto typed = family(*this, call)) {
            typed->syntax = &call.syntax;
            return std::move(*typed);
        }
    }
    return fail(call.syntax, "C203", fmt::format("no function '{}' in takt's subset of CEL", call.name));
}

const Int128* constant_decimal(const Typed& typed) {
    const Column* value = typed.node->constant();
    return value != nullptr && typed.type().is(TypeKind::decimal) ? value->values<Int128>() : nullptr;
}

std::optional<std::int64_t> constant_int(const Typed& typed) {
    const Column* value = typed.node->constant();
    if (value == nullptr || !typed.type().is(TypeKind::int64)) return std::nullopt;
    return value->values<std::int64_t>()[0];
}

std::optional<std::string_view> constant_text(const Typed& typed) {
    const Column* value = typed.node->constant();
    if (value == nullptr || !typed.type().is(TypeKind::string)) return std::nullopt;
    return value->values<std::string_view>()[0];
}

}  // namespace takt::expression
