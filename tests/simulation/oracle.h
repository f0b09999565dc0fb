#pragma once

#include <string>

#include "tests/simulation/world.h"

namespace takt::simulation {

// Two oracles without any code of the engine, and the daemon's own books. All say what is wrong, or nothing.

/// The state directory's audit balances, nothing waits any more, and it has for refused or parked just what a ledger
/// refused or parked, once, and what corrects that: `World::ledgers` get it as `waits`. Where the journal was damaged
/// on purpose, it may be unreadable.
std::string check_books(World& world, const std::string& state, bool damaged);

/// Sums by batch, without windows and without cuts: each id counts once unless all its deliveries are dead letters; per
/// posting and key the ledger and what waits have exactly that, keys are unique, revisions of a pane are 1, 2, 3 and
/// add up, and the first one that waits holds back the later ones.
std::string check_sums(const World& world);

/// The rules told once more over the recorded cuts: the fate of each message, and every revision of `made`,
/// in effect or waiting.
std::string check_rules(const World& world);

}  // namespace takt::simulation
