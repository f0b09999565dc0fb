#include "pipeline/plan/engine_state.h"

namespace takt {

std::vector<ValueSum> merged(std::vector<ValueSum> sums) {
    AuditTotals totals;
    for (const ValueSum& sum : sums) totals.add(sum);
    std::erase_if(totals.values, [](const ValueSum& sum) { return sum.contributed == 0; });
    return std::move(totals.values);
}

void describe(const KeyedState& state, EngineState::Step& step) {
    step.entries += state.entries();
    step.told += state.told();
    state.add_open(step.open);
    step.open = merged(std::move(step.open));
}

}  // namespace takt
