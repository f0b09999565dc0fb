#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/plan/epoch_log.h"
#include "pipeline/plan/plan.h"
#include "pipeline/runtime/rerun.h"
#include "sinks/ledger_lineage.h"

namespace takt {

/// Sequences [first, last] of a source. From 1 on: from where the config says that the source begins.
struct SequenceRange {
    std::uint64_t first = 1;
    std::uint64_t last = std::numeric_limits<std::uint64_t>::max();
};

/// Reads these messages of a source once more through its own connector, which keeps no place and acknowledges nothing;
/// at most up to what is there at present, without those that are `quarantined`. How that ended: `more` the range was
/// read, `end` bounded input is at its end before it, `idle` the other side has no more now. E660: it says nothing; the
/// connector's errors. Only of a source that can be read again.
Result<Source::State> reread(const SourcePlan& source, const SequenceRange& range,
                             const std::vector<QuarantinedMessage>& quarantined,
                             const std::function<void(std::shared_ptr<const MessageBlock>)>& take);

/// Fills the live tables of a plan with what their origins hold now.
Status load_live_tables(const Plan& plan);

/// The source of that name. C661: the config has none.
Result<const SourcePlan*> find_source(const Plan& plan, const std::string& name);

/// What the sources do not say of their events, and dead letters do.
struct Arrivals {
    /// An event of the dead letters as it was sent again.
    struct Retry {
        DeadLetterReplay event;
        std::uint64_t epoch = 0;  ///< that took it
    };
    std::map<EventPlace, OutcomeCode> refused;    ///< because of when they came, not of what they say
    std::vector<QuarantinedMessage> quarantined;  ///< because they kill whoever reads them
    std::map<EventPlace, Retry> retries;          ///< accepted
    std::string state_folder;                     ///< whose journal has what sources do not keep; empty: none
};
/// From the dead letters that a ledger lists, and from a state directory's, where one is named: see check_state_of.
/// Errors of the two.
Result<Arrivals> find_arrivals(const Plan& plan, LedgerLineage& ledger, const std::string& state_folder);

/// Reads messages of a source once more, as `reread` does, or from the journal, where only that has them (then it ends
/// as `quiet`: nobody says that there is no more), and runs them, and the retries of these sequences that came up to an
/// epoch. C660: they are kept nowhere; errors of reread and read_kept_input.
Result<Source::State> rerun_source(const SourcePlan& source, const SequenceRange& range, const Arrivals& arrivals,
                                   Rerun& rerun, std::uint64_t last_epoch = std::numeric_limits<std::uint64_t>::max());

/// C703: the state directory is another pipeline's. Its errors, where it is none.
Status check_state_of(const Plan& plan, const std::string& state_folder);

}  // namespace takt
