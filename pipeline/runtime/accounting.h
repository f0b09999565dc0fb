#pragma once

#include <string>
#include <vector>

#include "pipeline/plan/plan.h"
#include "pipeline/runtime/chunk.h"

namespace takt {

/// All rows of a batch. `seed`: of their source.
EventSum sum_of_rows(const Batch& batch, const Hash128& seed);

/// Counts what became of each row of a batch that all its steps are through with (undecided: accepted), and makes the
/// dead letters, in order of rows. `origin_name`: the source, or the step that made the rows; `seed`: its hash.
/// `watermark`: the one that lateness was judged against.
void account(const Segment& segment, const OutcomeTable& outcomes, const std::string& origin_name, const Hash128& seed,
             Timestamp watermark, const Part& part, std::vector<EventSum>& sums, std::vector<DeadLetter>& dead_letters);

}  // namespace takt
