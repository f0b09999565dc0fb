#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pipeline/plan/epoch_log.h"
#include "pipeline/plan/plan.h"
#include "pipeline/runtime/rerun.h"

namespace takt {

/// Sequences [first, last] of a source. From 1 on: from where the config says that the source begins.
struct SequenceRange {
    std::uint64_t first = 1;
    std::uint64_t last = std::numeric_limits<std::uint64_t>::max();
};

/// Reads these messages of a source once more through its own connector, which keeps no place and acknowledges nothing;
/// at most up to what is there at present, without those that are `quarantined`. How that ended: `more` the range was
/// read, `end` bounded input is at its end before it, `idle` the other side has no more now. C660: it cannot be read
/// again; E660: it says nothing; the connector's errors.
Result<Source::State> reread(const SourcePlan& source, const SequenceRange& range,
                             const std::vector<QuarantinedMessage>& quarantined,
                             const std::function<void(std::shared_ptr<const MessageBlock>)>& take);

/// Fills the live tables of a plan with what their origins hold now.
Status load_live_tables(const Plan& plan);

/// The source of that name. C661: the config has none.
Result<const SourcePlan*> find_source(const Plan& plan, const std::string& name);

/// The dead letters that were refused because of when they came, not of what they say: a Rerun must be told.
std::map<EventPlace, OutcomeCode> refused_by_arrival(const Plan& plan, std::span<const DeadLetter> letters);

/// The messages that were refused because they kill whoever reads them.
std::vector<QuarantinedMessage> quarantined_in(const Plan& plan, std::span<const DeadLetter> letters);

/// "plant=P100 material=PUMP", as a ledger's reports say it.
std::string key_text(const std::vector<Posting::KeyField>& fields);

}  // namespace takt
