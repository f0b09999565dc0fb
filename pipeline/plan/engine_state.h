#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/keyed_operator.h"

namespace takt {

/// Everything that the epochs to come depend on, besides their messages: what a snapshot holds. The same for any number
/// of lanes and threads, and any number of lanes can take it over.
struct EngineState {
    struct Step {
        std::string step;
        StateGroups groups;
    };
    std::uint64_t epoch = 0;                    ///< the last one that is in it
    std::vector<std::string> sources;           ///< names by index
    std::vector<SourceCut> cuts;                ///< by source index
    std::vector<std::uint64_t> total_outcomes;  ///< events by outcome code since the first epoch
    AuditTotals audit;                          ///< at the end of that epoch
    std::string watermarks;                     ///< as the runtime writes them
    std::vector<Step> steps;                    ///< keyed steps in plan order
};

}  // namespace takt
