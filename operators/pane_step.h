#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operators/accumulator.h"
#include "operators/expression_column.h"
#include "operators/key_columns.h"
#include "operators/window.h"
#include "pipeline/plan/planner.h"

namespace takt {

/// The stateless half of an aggregate or posting: which key, which window, which values. Runs before the exchange, so
/// that lateness is known beforehand. Rows that `where` does not want leave the stream without an outcome.
struct PaneStepSpec {
    std::string name;
    std::vector<KeyColumn> by;
    WindowSpec window;
    Duration lateness = 0;
    std::optional<Program> where;
    std::vector<ExpressionColumn> arguments;  ///< of functions, and texts
    Slot zone = kNoSlot;                      ///< string column with the IANA name; kNoSlot: UTC
    Slot key = kNoSlot;                       ///< string column, written here: the encoded key
    Slot key_hash = kNoSlot;                  ///< uint64 column, written here
    Slot start = kNoSlot;       ///< timestamp column, written here: the (last) window's start; kNoSlot: no windows
    Slot end = kNoSlot;         ///< timestamp column, written here
    Slot late_after = kNoSlot;  ///< timestamp column of the segment, raised here
    OutcomeCode no_window = kUndecided;  ///< no zone or shift plan
    OutcomeCode on_error = kUndecided;   ///< an expression failed
};

std::unique_ptr<RowOperator> make_pane_step(PaneStepSpec spec);

/// A function call of a config as planned: "sum(base * rate)".
struct PlannedFunction {
    Function function;
    Slot argument = kNoSlot;
    Type argument_type;
    Type result;
};

/// Reads "FUNCTION(EXPRESSION)" (or "count()"), compiles the argument into a column of its own (added to `arguments`).
/// Nothing on mistakes.
std::optional<PlannedFunction> plan_function(const ExpressionText& text, const std::string& column_name,
                                             const Stream& stream, PlanContext& context,
                                             std::vector<ExpressionColumn>& arguments);

/// Compiles an expression into a column of its own; a bare column name stays that column. kNoSlot on mistakes or
/// another type than `kind`.
Slot plan_value(const ExpressionText& text, const std::string& column_name, std::optional<TypeKind> kind,
                const Stream& stream, PlanContext& context, std::vector<ExpressionColumn>& arguments,
                Type* type = nullptr);

/// The columns named by `by`; mistakes where they cannot be part of a key.
std::vector<KeyColumn> plan_key(const std::vector<std::string>& names, const ConfigNode& node, const Stream& stream,
                                PlanContext& context);

/// Makes sure that the segment's id_hash column is filled for the stream's rows; returns its slot, kNoSlot when events
/// have no id.
Slot plan_id_hash(Stream& stream, PlanContext& context);

/// Fills the key, window and lateness slots of a spec.
void plan_pane_columns(const Stream& stream, PlanContext& context, PaneStepSpec& spec);

}  // namespace takt
