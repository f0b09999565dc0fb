#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/plan/engine_state.h"
#include "pipeline/plan/plan.h"

namespace takt {

// What a changed config means for the state of the one before (docs/config-changes.md). Pure functions.

/// From harmless to worst.
enum class ChangeClass : std::uint8_t {
    free,         ///< no state depends on it
    mapped,       ///< the state goes on under another name or place
    new_uid,      ///< what the state holds would mean something else: another uid, and a state of its own
    drops_state,  ///< nothing has that state any more
};
/// "free", "mapped", "new uid", "drops state".
std::string_view to_string(ChangeClass change);

/// One edit of a config and what it does to the state.
struct ConfigEdit {
    ChangeClass change = ChangeClass::free;
    std::string what = {};     ///< "aggregate hourly", "source floor"
    std::string uid = {};      ///< of the state that would go: what --drop-state takes; empty where none would
    std::string edit = {};     ///< "window: tumbling 1h -> tumbling 30m"
    std::string why = {};      ///< why it is of that class, and what can be done
    std::string blocked = {};  ///< why dropping the state is no way out; empty: it is one

    // Of the state that would go, where it is known.
    std::uint64_t entries = 0;  ///< ids, panes
    std::uint64_t told = 0;     ///< panes that have posted or sent on something
    std::vector<ValueSum> open = {};

    bool refused_unless_dropped() const { return change >= ChangeClass::new_uid; }
};

/// What is known of the config before: of a state directory, or of a plan, which holds nothing.
struct KeptState {
    bool counted = false;  ///< of a state directory: `entries` and the like of its steps say something
    std::vector<std::string> sources;
    std::vector<EngineState::Step> steps;  ///< without their groups
};
KeptState kept_by(const EngineState& state);
KeptState kept_by(const Plan& plan);

/// What the plan does to that state, in the order of its steps, then what is gone. Only what concerns state: empty
/// where it goes on as it is.
std::vector<ConfigEdit> compare_state(const KeptState& before, const Plan& plan);

/// The state as the plan goes on with it, one epoch later, in which nothing has come: steps and sources by their names,
/// without what `edits` drops. The plan's outcomes must begin with those of the state.
EngineState carry_over(EngineState state, const Plan& plan, const std::vector<ConfigEdit>& edits);
/// That epoch.
EpochResult carrying_epoch(const EngineState& carried, const Plan& plan);

/// Whether codes of the state's outcomes mean the same in the plan.
bool outcomes_fit(const EngineState& state, const Plan& plan);

/// "3 panes, 2 of them posted; open: 12.50 EUR amount, 7 pcs quantity".
std::string text_of_state(const ConfigEdit& edit);

/// One line an edit: "needs a new uid: aggregate hourly (uid hourly): window: ... ; 3 panes ...".
std::string text_of(const ConfigEdit& edit);

}  // namespace takt
