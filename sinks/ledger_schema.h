#pragma once

#include "pipeline/base/result.h"
#include "pipeline/sqlite/sqlite_database.h"

namespace takt {

// The ledger's tables and views: docs/reference/ledger.md. Raised when a table changes; a ledger of another version is
// refused.
constexpr std::int64_t kLedgerSchemaVersion = 1;

/// Makes the tables and views where the database is empty. C621: it holds something else, or a ledger of another
/// version.
Status create_ledger(SqliteDatabase& database);
/// C621 where the database is no ledger of this version.
Status check_ledger(SqliteDatabase& database);

}  // namespace takt
