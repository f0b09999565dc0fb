#pragma once

#include "pipeline/base/result.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/sqlite/sqlite_database.h"

namespace takt {

// The tables of a dead-letter store: docs/formats/dead-letters.md. Raised when a table changes; a store of another
// version is refused.
constexpr std::int64_t kDeadLetterSchemaVersion = 1;

/// Of a retry (request r) of an entry e with the letter l: its source's name, then what `read_replay` reads. The event
/// is as it was edited, else as it was refused last.
constexpr const char* kReplayColumns =
    "e.source, e.sequence, e.part, r.replay, l.subject, l.ingest_time, coalesce(r.data, l.bytes)";
/// `first`: the place of kReplayColumns in the row. Without source, who and why.
DeadLetterReplay read_replay(const SqliteStatement& row, int first);

/// Where a state directory has its store.
std::string dead_letter_path(const std::string& state_folder);

/// Makes the tables where the database is empty. C651: it holds something else, or a store of another version.
Status create_dead_letter_tables(SqliteDatabase& database);
/// C651 where the database is no store of this version.
Status check_dead_letter_tables(SqliteDatabase& database);

}  // namespace takt
