#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "pipeline/base/result.h"
#include "pipeline/sqlite/sqlite_database.h"
#include "sinks/report_table.h"

namespace takt {

/// Which postings a question is about; empty members let all pass.
struct LedgerFilter {
    std::string pipeline = {};
    std::string type = {};
    std::string order = {};      ///< key field `order_id`, or the correlation id
    std::string from_date = {};  ///< posting date "2026-05-12", inclusive
    std::string to_date = {};    ///< inclusive
    std::int64_t limit = 0;      ///< rows at most; 0: all
};

/// Questions to a ledger, also while it is written. Sums are exact at any size. One thread at a time.
/// Errors: C620 the file is not there or is no database; C621 it is no ledger of this version; E620, F626 as the sink.
class LedgerReader {
  public:
    static Result<LedgerReader> open(const std::string& path);

    /// Each posting: one row per revision, by date, type, key fields, revision.
    Result<ReportTable> postings(const LedgerFilter& filter);
    /// Net of all revisions: one row per pane.
    Result<ReportTable> net(const LedgerFilter& filter);
    /// Postings, revisions beyond the first, quantity by unit, amount: by type and currency.
    Result<ReportTable> totals(const LedgerFilter& filter);
    /// Debit, credit and balance by account and currency, and a row of sums per currency.
    Result<ReportTable> balances(const LedgerFilter& filter);
    /// Number by reason and owner, with an example.
    Result<ReportTable> dead_letter_counts(const LedgerFilter& filter);
    /// Each dead letter, in order of arrival; of one reason where it is given. Of the filter: pipeline and limit.
    Result<ReportTable> dead_letters(const LedgerFilter& filter, const std::string& reason = {});
    Result<ReportTable> outcomes(const LedgerFilter& filter);
    /// One posting in full, as a page of text: header, lines, lineage, and all revisions of its pane. `key`: at least 4
    /// digits from its start. D621: no posting or several have such a key.
    Result<std::string> posting(const std::string& key);
    /// What is out of balance: postings whose lines do not add up per side. Empty: good.
    Result<ReportTable> unbalanced();

    /// Writes `postings.csv` (net per pane), `dead_letters.csv` and `outcomes.csv`, each atomically, into a folder that
    /// is made where it is missing. The columns: docs/reference/ledger.md.
    Status export_to(const std::string& folder, const LedgerFilter& filter = {});

  private:
    explicit LedgerReader(SqliteDatabase database) : database_(std::move(database)) {}
    Result<ReportTable> query(const std::string& sql, const LedgerFilter& filter,
                              const std::vector<std::string>& more = {});

    SqliteDatabase database_;
};

}  // namespace takt
