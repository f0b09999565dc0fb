#pragma once

#include <string>
#include <vector>

#include "pipeline/batch/batch.h"

namespace takt {

enum class OutcomeKind : std::uint8_t { undecided, accepted, duplicate, filtered, dead_letter };

/// "accepted", "duplicate", "filtered", "dead_letter".
std::string_view to_string(OutcomeKind kind);

/// One way in which a row can end.
struct Outcome {
    OutcomeKind kind = OutcomeKind::undecided;
    std::string rule;          ///< the filter's rule or the dead letter's reason; empty for accepted and duplicate
    std::string owner;         ///< dead letters: who must act
    std::string step;          ///< the step that decides so
    bool after_dedup = false;  ///< judged beforehand, holds only when the deduplication finds the row fresh

    bool operator==(const Outcome&) const = default;
};

constexpr OutcomeCode kAccepted = 2;
/// Took a way that ends in no posting and no aggregate.
constexpr OutcomeCode kUnrouted = 3;
constexpr OutcomeCode kUnroutedAfterDedup = 4;

/// Every outcome that a plan knows; a code is an index. Fixed after planning.
class OutcomeTable {
  public:
    OutcomeTable();
    /// The code of this outcome; an equal one is shared.
    OutcomeCode add(Outcome outcome);
    const Outcome& at(OutcomeCode code) const { return outcomes_[code]; }
    const std::vector<Outcome>& all() const { return outcomes_; }
    std::size_t size() const { return outcomes_.size(); }

  private:
    std::vector<Outcome> outcomes_;
};

}  // namespace takt
