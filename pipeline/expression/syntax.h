#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pipeline/expression/expression.h"

namespace takt::expression {

/// An expression as written, before types. Operators are calls of functions named like CEL's own: "_+_", "_&&_",
/// "_?_:_", "!_", "-_", "_[_]", "@in".
struct Syntax {
    enum class Kind : std::uint8_t { literal, identifier, select, call, list, map };
    using Literal = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string>;

    Kind kind = Kind::literal;
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
    Literal literal;          ///< monostate: null
    bool bytes = false;       ///< a string literal b'...'
    bool absolute = false;    ///< an identifier written ".x": never a variable of a macro
    std::uint32_t depth = 1;  ///< nodes from here to the furthest leaf; bounded, so that recursion over a tree is safe
    std::string name;         ///< identifier, field, function
    std::unique_ptr<Syntax> operand;                 ///< select: of what; call: the receiver, or null
    std::vector<std::unique_ptr<Syntax>> arguments;  ///< call; list: elements; map: keys and values in turn
};

/// The grammar of CEL (cel-spec, doc/langdef.md). Nothing and one mistake when the text is not an expression.
std::unique_ptr<Syntax> parse(std::string_view text, std::vector<ExpressionMistake>& mistakes);

}  // namespace takt::expression
