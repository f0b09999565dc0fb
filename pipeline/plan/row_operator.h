#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/batch/batch.h"

namespace takt {

/// A stream is a selection of the rows of each batch of a segment; steps read streams and make streams.
using StreamId = std::int32_t;

/// A stateless step: a pure function of a batch. Immutable; run by many threads at once, each with a Scratch of its
/// own.
class RowOperator {
  public:
    class Scratch {
      public:
        virtual ~Scratch() = default;
    };

    virtual ~RowOperator() = default;
    virtual std::unique_ptr<Scratch> make_scratch() const { return std::make_unique<Scratch>(); }

    /// Reads the input selections, writes every output selection (cleared by the callee), fills the columns that it
    /// owns for the selected rows. A row in no output was rejected, with an outcome (see reject), or is dropped by
    /// design of the operator.
    virtual void process(Batch& batch, std::span<const Selection* const> in, std::span<Selection* const> out,
                         Scratch& scratch) const = 0;
};

/// Gives the row its outcome, unless it has one already. `text` must be static or live in the batch's arena; empty:
/// none.
inline void reject(Batch& batch, Row row, OutcomeCode outcome, std::string_view text = {}) {
    if (batch.outcome[row] != kUndecided) return;
    batch.outcome[row] = outcome;
    if (!text.empty()) batch.reject_texts.push_back({row, text, outcome});
}

/// A stateless step in its place.
struct RowNode {
    std::string step;
    std::unique_ptr<RowOperator> op;
    std::vector<StreamId> in;
    std::vector<StreamId> out;
};

}  // namespace takt
