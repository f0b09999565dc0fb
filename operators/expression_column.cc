#include "operators/expression_column.h"

namespace takt {

void ExpressionColumn::fill(Batch& batch, Selection& rows, Scratch& scratch, OutcomeCode on_error) const {
    scratch.errors.clear();
    program_.evaluate(batch, rows, *scratch.program_scratch, batch.column(slot_), batch.arena, scratch.errors);
    if (scratch.errors.rows.empty()) return;
    reject_errors(batch, scratch.errors, on_error);
    remove_errors(rows, scratch.errors);
}

void reject_errors(Batch& batch, const ExpressionErrors& errors, OutcomeCode outcome) {
    for (const auto& [row, text] : errors.rows) reject(batch, row, outcome, text);
}

void remove_errors(Selection& rows, const ExpressionErrors& errors) {
    std::size_t kept = 0;
    std::size_t next_error = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const Row row = rows[i];
        while (next_error < errors.rows.size() && errors.rows[next_error].first < row) ++next_error;
        if (next_error < errors.rows.size() && errors.rows[next_error].first == row) continue;
        rows.data()[kept++] = row;
    }
    rows.resize(kept);
}

}  // namespace takt
