#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/journal/disk.h"
#include "pipeline/journal/frame.h"
#include "pipeline/journal/outbox.h"
#include "pipeline/plan/audit.h"

namespace takt {

/// What a state directory says when its books are gone through (docs/audit.md).
struct StateAudit {
    std::string pipeline;
    std::uint64_t incarnation = 0;
    std::uint64_t first_epoch = 0;  ///< of the frames that are kept; 0: none
    std::uint64_t last_epoch = 0;
    std::vector<std::string> sources;
    std::vector<SourceCut> cuts;
    std::vector<StoredFrame::OutcomeName> outcomes;  ///< by code
    AuditTotals totals;                              ///< at the end of last_epoch
    std::vector<SinkOutbox> sinks;                   ///< at the same time
    std::vector<Imbalance> imbalances;               ///< the first ones of each equation
};

/// Recomputes what the kept frames hold, and compares it with the totals that they carry, these with each other, and
/// what was generated with the outbox. The directory may be in use; nothing is written or locked. C704: it is no state
/// directory. F704, F705, F706, F707, F708: it is damaged, or of a later version. E700.
Result<StateAudit> audit_state(Disk& disk, const std::string& state_directory);

/// What a sink was to get, of all types that it takes.
OutboxTotal generated_for(const SinkOutbox& sink, const AuditTotals& totals);
/// All of its states together.
OutboxTotal delivered_or_not(const SinkOutbox& sink);
/// "12 postings, 7.50 EUR, hash 3f..".
std::string text_of(const OutboxTotal& total);

}  // namespace takt
