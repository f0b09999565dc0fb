#pragma once

#include <string>

#include "tests/simulation/world.h"

namespace takt::simulation {

// Two oracles, neither with any code of the engine. Both say what is wrong, or nothing.

/// Sums by batch, without windows and without cuts: each id counts once unless all its deliveries are dead letters; per
/// posting and key the ledger has exactly that, keys are unique, revisions of a pane are 1, 2, 3 and add up.
std::string check_sums(const World& world);

/// The rules told once more over the recorded cuts: the fate of each message, and every revision of `made`.
std::string check_rules(const World& world);

}  // namespace takt::simulation
