#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/keyed_operator.h"
#include "pipeline/plan/outcomes.h"

namespace takt {

/// Everything that the epochs to come depend on, besides their messages: what a snapshot holds. The same for any number
/// of lanes and threads, and any number of lanes can take it over.
struct EngineState {
    struct Step {
        StepIdentity identity;
        StateGroups groups;
        std::uint64_t entries = 0;   ///< ids, panes
        std::uint64_t told = 0;      ///< panes of which something was posted or sent on
        std::vector<ValueSum> open;  ///< in `contributed`: what its panes hold and have not told
    };
    struct Table {
        std::string name;                             ///< in the config
        std::shared_ptr<const TableEntries> entries;  ///< never null; shared with the engine, which changes a copy
    };
    std::uint64_t epoch = 0;           ///< the last one that is in it
    bool carried_over = false;         ///< from another config, in that epoch, in which nothing came
    std::vector<std::string> sources;  ///< names by index
    std::vector<SourceCut> cuts;       ///< by source index
    /// By code. The outcomes of all configs that the state has lived through: a code never changes its meaning, and a
    /// plan that goes on with the state begins its table with these (PlanOverrides::outcomes).
    std::vector<Outcome> outcomes;
    std::vector<std::uint64_t> total_outcomes;  ///< events by outcome code since the first epoch
    AuditTotals audit;                          ///< at the end of that epoch
    Timestamp watermark = kBeginningOfTime;
    std::vector<std::string> source_times;  ///< by source index, as the runtime writes them; empty: said nothing yet
    std::vector<Table> tables;              ///< live ones that have had a first version, in the order of the config
    std::vector<Step> steps;                ///< in the order of keyed_nodes
};

/// Adds one lane's part of a step to what a snapshot says of it for people: entries, told, open.
void describe(const KeyedState& state, EngineState::Step& step);

/// Value by value, one for each step, measure and unit, without those that are 0: what `add_open` of several lanes
/// gives.
std::vector<ValueSum> merged(std::vector<ValueSum> sums);

}  // namespace takt
