#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipeline/journal/state_audit.h"
#include "sinks/ledger_audit.h"
#include "sinks/report_table.h"

namespace takt {

/// What `takt audit` shows.
struct AuditReport {
    ReportTable equations;             ///< a row for each thing that an equation is about, then one for each imbalance
    ReportTable events;                ///< by outcome, with their hashes
    std::vector<std::string> summary;  ///< the lines for the front page
    std::vector<Imbalance> imbalances;

    bool balances() const { return imbalances.empty(); }
};

/// `ledger`: of the sink of this name, with the path under which people know it.
struct AuditedLedger {
    std::string path;
    std::string sink;
    LedgerAudit audit;
};

AuditReport make_audit_report(const StateAudit& state, const std::optional<AuditedLedger>& ledger);

}  // namespace takt
