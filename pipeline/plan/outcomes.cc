#include "pipeline/plan/outcomes.h"

#include "pipeline/base/check.h"

namespace takt {

std::string_view to_string(OutcomeKind kind) {
    switch (kind) {
        case OutcomeKind::undecided:
            return "undecided";
        case OutcomeKind::accepted:
            return "accepted";
        case OutcomeKind::duplicate:
            return "duplicate";
        case OutcomeKind::filtered:
            return "filtered";
        case OutcomeKind::dead_letter:
            return "dead_letter";
    }
    check_failed("unknown outcome kind", __FILE__, __LINE__);
}

OutcomeTable::OutcomeTable() {
    outcomes_.resize(5);
    outcomes_[kMalformed] = {OutcomeKind::dead_letter, "DECODE", "plant_it", "decode", false};
    outcomes_[kAccepted] = {OutcomeKind::accepted, "", "", "", false};
    outcomes_[kUnrouted] = {OutcomeKind::filtered, "unrouted", "", "", false};
    outcomes_[kUnroutedAfterDedup] = {OutcomeKind::filtered, "unrouted", "", "", true};
}

OutcomeCode OutcomeTable::add(Outcome outcome) {
    for (std::size_t code = 0; code < outcomes_.size(); ++code) {
        if (outcomes_[code] == outcome) return static_cast<OutcomeCode>(code);
    }
    CHECK(outcomes_.size() < 0xffff);
    outcomes_.push_back(std::move(outcome));
    return static_cast<OutcomeCode>(outcomes_.size() - 1);
}

}  // namespace takt
