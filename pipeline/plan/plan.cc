#include "pipeline/plan/plan.h"

namespace takt {

std::vector<const KeyedNode*> keyed_nodes(const Plan& plan) {
    std::vector<bool> from_source(plan.segments.size());
    for (const SourcePlan& source : plan.sources) {
        if (source.segment < from_source.size()) from_source[source.segment] = true;
    }
    std::vector<const KeyedNode*> nodes;
    for (const bool of_sources : {true, false}) {
        for (std::size_t i = 0; i < plan.segments.size(); ++i) {
            if (from_source[i] != of_sources) continue;
            if (plan.segments[i]->dedup) nodes.push_back(&*plan.segments[i]->dedup);
            for (const KeyedNode& terminal : plan.segments[i]->terminals) nodes.push_back(&terminal);
        }
    }
    return nodes;
}

}  // namespace takt
