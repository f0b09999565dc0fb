#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pipeline/base/arena.h"
#include "pipeline/batch/batch.h"

namespace takt {

/// The names an expression may use: columns of a layout, by dotted name ("item.standard_cost"), each with its slot.
/// A dotted prefix without a value of its own ("item") is no name: only its fields are.
class Scope {
  public:
    struct Entry {
        std::string name;
        Type type;
        Slot slot;
    };
    void add(std::string name, Type type, Slot slot) { entries_.push_back({std::move(name), std::move(type), slot}); }
    const Entry* find(std::string_view name) const {
        for (const Entry& entry : entries_) {
            if (entry.name == name) return &entry;
        }
        return nullptr;
    }
    const std::vector<Entry>& entries() const { return entries_; }

  private:
    std::vector<Entry> entries_;
};

/// Why an expression was refused at load time, and where in its text (bytes from its start).
struct ExpressionMistake {
    std::uint32_t offset = 0;
    std::uint32_t length = 0;  ///< 0: only the place is known
    std::string code;          ///< C2xx
    std::string message;
    std::string hint;  ///< "did you mean 'quantity'?"; empty when there is none
};

/// Rows whose evaluation ended in an error (CEL: division by zero, overflow, bad conversion, index out of range).
struct ExpressionErrors {
    std::vector<std::pair<Row, const char*>> rows;  ///< ascending by row; the message is static
    void clear() { rows.clear(); }
};

/// Intermediate values of one node of an expression.
struct NodeScratch {
    Column column;
    std::vector<std::pair<Row, const char*>> errors;
    Selection first;
    Selection second;
};

/// A compiled expression: immutable, shared by threads; each thread brings its own Scratch.
///
/// Semantics: CEL (github.com/google/cel-spec, doc/langdef.md), a typed subset, plus `decimal` (exact, 128 bit) and
/// enumerations compared with their names. An absent column reads as its type's default, `has(name)` tells; && and ||
/// absorb errors as CEL does.
class Program {
  public:
    /// Intermediate columns, reused from batch to batch.
    struct Scratch {
        std::vector<NodeScratch> nodes;  ///< by node number
    };
    class Node;

    Program();
    ~Program();
    Program(Program&&) noexcept;
    Program& operator=(Program&&) noexcept;

    const Type& type() const;
    /// The columns it reads, ascending, each once: what a projection must decode.
    const std::vector<Slot>& slots() const;
    /// Whether `value` of the given name can never change: the expression reads no column.
    bool constant() const { return slots().empty(); }

    std::unique_ptr<Scratch> make_scratch() const;

    /// Writes the value of each selected row into `out` (reset by the callee to batch.rows rows; type() is its type;
    /// valid unless the value is absent or in error). `out` may be a column of the batch that the expression does not
    /// read. Strings that it makes live in `strings`.
    void evaluate(const Batch& batch, const Selection& rows, Scratch& scratch, Column& out, Arena& strings,
                  ExpressionErrors& errors) const;

    /// For boolean programs: splits `rows` into those where it is true and those where it is false (both ascending);
    /// rows in error are in neither. The three outputs are overwritten; `yes` or `no` may be null when not wanted.
    void split(const Batch& batch, const Selection& rows, Scratch& scratch, Selection* yes, Selection* no,
               ExpressionErrors& errors) const;

  private:
    friend std::variant<Program, std::vector<ExpressionMistake>> compile_expression(std::string_view, const Scope&);
    struct Body;
    std::unique_ptr<const Body> body_;
};

/// Parses, types and compiles. All mistakes at once where they are independent.
std::variant<Program, std::vector<ExpressionMistake>> compile_expression(std::string_view text, const Scope& scope);

}  // namespace takt
