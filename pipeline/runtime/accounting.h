#pragma once

#include <string>
#include <vector>

#include "pipeline/plan/plan.h"
#include "pipeline/runtime/chunk.h"

namespace takt {

/// Counts what became of each row of a batch that all its steps are through with (undecided: accepted), and makes the
/// dead letters, in order of rows. `origin_name`: the source, or the step that made the rows. `watermark`: the one that
/// lateness was judged against.
void account(const Segment& segment, const OutcomeTable& outcomes, const std::string& origin_name, Timestamp watermark,
             const Part& part, std::vector<std::uint64_t>& counts, std::vector<DeadLetter>& dead_letters);

}  // namespace takt
