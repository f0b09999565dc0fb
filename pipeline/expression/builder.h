#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipeline/expression/node.h"
#include "pipeline/expression/syntax.h"

namespace takt::expression {

/// Type::of, which stands in nearly every line of a function family.
inline Type of(TypeKind kind) {
    return Type::of(kind);
}

/// A typed subexpression while it is built.
struct Typed {
    NodePointer node;  ///< null after a mistake
    bool dyn = false;  ///< written as dyn(...): compares across types
    const Syntax* syntax = nullptr;

    explicit operator bool() const { return node != nullptr; }
    const Type& type() const { return node->type(); }
};

/// Types a syntax tree against a scope and makes nodes of it; constants are folded as they are built.
class Builder {
  public:
    Builder(const Scope& scope, std::vector<ExpressionMistake>& mistakes) : scope_(scope), mistakes_(mistakes) {}

    Typed build(const Syntax& syntax);

    std::uint32_t nodes() const { return nodes_; }
    /// Columns that were read, ascending, each once.
    std::vector<Slot> slots() const;

    // For the function families (operators.cc, strings.cc, ...): each tries a call whose arguments are typed, and gives
    // nothing when the name is not its own. A null node inside the result means that a mistake was reported.
    struct Call {
        const Syntax& syntax;
        const std::string& name;  ///< "math.abs", "startsWith"
        bool method = false;      ///< arguments[0] is the receiver
        std::vector<Typed> arguments;

        bool matches(std::initializer_list<TypeKind> kinds) const;
        std::vector<NodePointer> take();
    };
    Typed fail(const Syntax& at, const char* code, std::string message, std::string hint = {});
    Typed no_overload(const Call& call);
    Typed finish(const Syntax& syntax, NodePointer node);
    NodePointer number(NodePointer node);
    Typed constant(const Syntax& syntax, Type type, const Column& value);
    template <typename T>
    Typed constant_value(const Syntax& syntax, Type type, T value);

    /// Keeps the text of constants alive as long as the program.
    std::string_view keep(std::string_view text);
    std::shared_ptr<Arena> arena() { return arena_; }

  private:
    struct Variable {
        std::string name;
        Type type;
        std::uint32_t depth;  ///< of the comprehension that binds it, from 1
        int index;            ///< 0 element, 1 index
    };

    Typed build_literal(const Syntax& syntax);
    Typed build_name(const Syntax& syntax, const std::string& name);
    Typed build_select(const Syntax& syntax);
    Typed build_list(const Syntax& syntax);
    Typed build_call(const Syntax& syntax);
    Typed build_has(const Syntax& syntax);
    std::optional<Typed> build_type_comparison(const Syntax& syntax);
    Typed build_conditional(const Syntax& syntax);
    Typed build_logic(const Syntax& syntax, bool is_and);
    Typed build_comprehension(const Syntax& syntax);
    Typed dispatch(Call& call);
    /// "a.b.c" of a select chain; empty when something else stands in it.
    static std::string dotted_name(const Syntax& syntax);
    /// Whether a name or select chain begins with a variable of a macro, which hides columns.
    bool begins_with_variable(const Syntax& syntax) const;
    Typed fold(const Syntax& syntax, NodePointer node);

    const Scope& scope_;
    std::vector<ExpressionMistake>& mistakes_;
    std::uint32_t nodes_ = 0;
    std::vector<Slot> slots_;
    std::vector<Variable> variables_;
    std::uint32_t depth_ = 0;
    std::shared_ptr<Arena> arena_ = std::make_shared<Arena>();  ///< shared with the program
};

// Parts of operators that stand in the family of their operands.
Typed build_index(Builder& builder, Builder::Call& call);
Typed build_in(Builder& builder, Builder::Call& call);
Typed concatenate_lists(Builder& builder, Builder::Call& call);
/// A constant bool, after the arguments' errors.
Typed with_never_equal(Builder& builder, Builder::Call& call, bool value);
Typed unknown_enumerator(Builder& builder, const Syntax& at, const Type& type, std::string_view text);

std::optional<Typed> build_operator(Builder& builder, Builder::Call& call);
std::optional<Typed> build_string_function(Builder& builder, Builder::Call& call);
std::optional<Typed> build_math_function(Builder& builder, Builder::Call& call);
std::optional<Typed> build_time_function(Builder& builder, Builder::Call& call);
std::optional<Typed> build_conversion(Builder& builder, Builder::Call& call);
std::optional<Typed> build_list_function(Builder& builder, Builder::Call& call);
std::optional<Typed> build_decimal_function(Builder& builder, Builder::Call& call);

/// The constant of an argument, for what must be known at load time.
const Int128* constant_decimal(const Typed& typed);
std::optional<std::int64_t> constant_int(const Typed& typed);
std::optional<std::string_view> constant_text(const Typed& typed);

/// A node that fails for every row, after its argument.
NodePointer always_fails(Type type, NodePointer argument, const char* message);

constexpr const char* kDecimalOverflow = "decimal overflow";

/// Brings a decimal node to another scale, and an int to a decimal.
NodePointer to_scale(Builder& builder, NodePointer node, int scale);

/// Copies one value between columns of one type.
void copy_value(const Column& from, std::size_t from_row, Column& to, std::size_t to_row);

/// Makes list values: `spans` lie in the column, elements are appended to its child. Call begin once per evaluation.
class ListWriter {
  public:
    ListWriter(Column& lists, const Type& element_type, std::size_t elements_at_most);
    void begin_row(Row row);
    void append(const Column& from, std::size_t from_row);
    Column& elements() { return *elements_; }
    std::uint32_t size() const { return next_; }
    void append_text(std::string_view text);
    void append_int(std::int64_t value);

  private:
    Column& lists_;
    Column* elements_;
    std::uint32_t next_ = 0;
    Row row_ = 0;
};

}  // namespace takt::expression
