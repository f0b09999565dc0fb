#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/plan/audit.h"
#include "pipeline/plan/posting.h"

namespace takt {

/// What a ledger holds of one pipeline, row by row.
struct LedgerAudit {
    std::vector<PostingSum> postings;   ///< by type, unit, currency
    std::vector<PostingSum> asked;      ///< the same of those rows that are postings that were asked for
    std::uint64_t last_epoch = 0;       ///< of all rows of the pipeline; 0: there are none
    std::vector<Imbalance> imbalances;  ///< of its rows, panes and documents; the first ones of each equation
};

/// Postings that the ledger's sink was given and has not accepted.
struct UnacceptedPostings {
    /// They may be there or not; a row with the key of one and another payload or other numbers is an imbalance.
    std::vector<const Posting*> asked;
    /// Given up by people: they must not be there, and later revisions of their panes are.
    std::vector<const Posting*> closed;
};

/// Sums up the rows of epochs up to `until_epoch` in one moment, also while the ledger is written. Errors of
/// LedgerReader::open.
Result<LedgerAudit> audit_ledger(const std::string& path, const std::string& pipeline, std::uint64_t until_epoch,
                                 const UnacceptedPostings& unaccepted);

}  // namespace takt
