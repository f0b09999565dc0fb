#pragma once

#include <memory>

#include "pipeline/expression/expression.h"
#include "pipeline/plan/row_operator.h"

namespace takt {

/// Rows whose expression ends in an error go to the dead letters with this reason.
constexpr std::string_view kExpressionReason = "EXPRESSION";

/// An expression and the column that it fills. Immutable.
class ExpressionColumn {
  public:
    class Scratch {
      public:
        explicit Scratch(const Program& program) : program_scratch(program.make_scratch()) {}
        std::unique_ptr<Program::Scratch> program_scratch;
        ExpressionErrors errors;
    };

    ExpressionColumn(Program program, Slot slot) : program_(std::move(program)), slot_(slot) {}
    const Program& program() const { return program_; }
    Slot slot() const { return slot_; }
    Scratch make_scratch() const { return Scratch(program_); }

    /// Fills the column for the selected rows; rows in error are rejected with `on_error` and taken out of `rows`.
    void fill(Batch& batch, Selection& rows, Scratch& scratch, OutcomeCode on_error) const;

  private:
    Program program_;
    Slot slot_;
};

/// Rejects the rows of `errors`.
void reject_errors(Batch& batch, const ExpressionErrors& errors, OutcomeCode outcome);

/// Takes the rows of `errors` out of `rows`; both ascending.
void remove_errors(Selection& rows, const ExpressionErrors& errors);

}  // namespace takt
