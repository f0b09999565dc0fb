#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/plan/posting.h"
#include "pipeline/sqlite/sqlite_database.h"

namespace takt {

/// The error of a key that names no posting, or several.
constexpr const char* kNoPosting = "D621";

/// A pane as its postings in a ledger leave it.
struct LedgerPane {
    std::string first_key;  ///< idempotency key of revision 1: names the pane
    std::string last_key;
    std::string type;
    std::string key_fields;  ///< "plant=P100 material=PUMP"
    std::uint32_t revision = 0;
    std::optional<Timestamp> window_start;
    std::optional<Timestamp> window_end;
    std::int32_t posting_date = 0;           ///< days since 1970
    std::optional<Decimal> quantity;         ///< cumulative, as the last one says
    std::optional<Decimal> posted_quantity;  ///< the sum of all of them
    std::string unit;
    std::optional<Decimal> amount;  ///< likewise
    std::optional<Decimal> posted_amount;
    std::string currency;
    std::size_t closed = 0;  ///< how many of its postings are not in the ledger: people have settled them otherwise
};

/// A posting that its sink has not accepted, as a state directory says.
struct UnbookedPosting {
    std::shared_ptr<const Posting> posting;  ///< shared with the outbox that it is from
    bool closed = false;                     ///< given up, and later revisions of its pane go on
};

/// A posting, and whether the ledger has it; else it is an unbooked one, closed or not.
struct TracedPosting {
    Posting posting;
    bool booked = true;
    bool closed = false;
};

/// "plant=P100 material=PUMP", as reports of a ledger say it.
std::string key_text(const std::vector<Posting::KeyField>& fields);

/// What a ledger says of where its postings come from. One thread at a time.
/// Errors: those of LedgerReader::open; F626 a row cannot be what a sink wrote.
class LedgerLineage {
  public:
    static Result<LedgerLineage> open(const std::string& path);

    /// What the ledger need not have; none until then.
    void set_unbooked(std::vector<UnbookedPosting> postings);
    /// The posting whose key begins so, with its lineage: all but lines and accounts. D621: none, or several.
    Result<TracedPosting> posting(const std::string& key);
    /// Each pane of a pipeline, by type, key fields and window, with what was closed.
    Result<std::vector<LedgerPane>> panes(const std::string& pipeline);
    /// The dead letters of a pipeline: place, id, reason, text, owner.
    Result<std::vector<DeadLetter>> dead_letters(const std::string& pipeline);

  private:
    explicit LedgerLineage(SqliteDatabase database) : database_(std::move(database)) {}
    Result<std::vector<std::string>> booked_keys(const std::string& beginning);
    Result<Posting> booked_posting(const std::string& key);
    Status read_lineage(const std::string& key, Lineage& lineage);
    Status read_key_fields(Posting& posting);
    Error damaged(const std::string& key, std::string_view what) const;

    SqliteDatabase database_;
    std::map<std::string, UnbookedPosting> unbooked_;  ///< by key
};

}  // namespace takt
