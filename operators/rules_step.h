#pragma once

#include <memory>
#include <string>
#include <vector>

#include "operators/expression_column.h"
#include "pipeline/plan/planner.h"

namespace takt {

/// Named conditions that are tried in order; what fails ends with the condition's outcome. Serves `filter` (a row that
/// fits is dropped) and `require` (a row that does not fit is a dead letter).
struct Rule {
    std::string name;
    Program condition;
    bool rejects_when = true;  ///< the value of the condition that ends the row
    OutcomeCode outcome = kUndecided;
    std::string text;  ///< for the dead letter; empty: none
};

std::unique_ptr<RowOperator> make_rules_step(std::vector<Rule> rules, OutcomeCode on_error);

/// Compiles a condition and reports when it is no bool.
std::optional<Program> plan_condition(const ExpressionText& text, const std::string& what, const Stream& stream,
                                      PlanContext& context);

/// Adds the node and publishes the step's output.
void publish_row_step(const StepSpec& step, Stream stream, std::unique_ptr<RowOperator> op, const char* kind,
                      std::string detail, PlanContext& context);

/// The dead-letter outcome of rows whose expression fails in this step.
OutcomeCode expression_outcome(const StepSpec& step, const Stream& stream, PlanContext& context);

}  // namespace takt
