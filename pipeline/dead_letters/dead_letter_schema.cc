#include "pipeline/dead_letters/dead_letter_schema.h"

#include <fmt/format.h>

#include "pipeline/base/time.h"

namespace takt {
namespace {

/// "takd" in ASCII; `file` and sqlite3 show it.
constexpr std::int64_t kApplicationId = 0x74616B64;

const char* const kTables = R"sql(
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('last_epoch', 0), ('synchronized', 0);
CREATE TABLE entry (
  id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  part INTEGER NOT NULL,
  of_source INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'replayed', 'accepted', 'duplicate', 'filtered', 'rejected', 'discarded')),
  letter INTEGER NOT NULL
);
CREATE INDEX entry_event ON entry (source, sequence, part);
CREATE INDEX entry_state ON entry (state);
CREATE TABLE letter (
  id INTEGER PRIMARY KEY,
  entry INTEGER NOT NULL REFERENCES entry (id),
  replay INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  place INTEGER NOT NULL,
  subject TEXT,
  ingest_time TEXT NOT NULL,
  event_id TEXT,
  correlation_id TEXT,
  reason TEXT NOT NULL,
  text TEXT,
  owner TEXT,
  step TEXT,
  bytes BLOB NOT NULL,
  incarnation INTEGER NOT NULL,
  engine_version TEXT NOT NULL,
  config_hash TEXT NOT NULL,
  UNIQUE (epoch, place),
  UNIQUE (entry, replay)
);
CREATE TABLE request (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  entry INTEGER NOT NULL REFERENCES entry (id),
  replay INTEGER NOT NULL,
  data BLOB,
  who TEXT NOT NULL,
  why TEXT,
  time TEXT NOT NULL,
  epoch INTEGER,
  outcome TEXT,
  rule TEXT,
  UNIQUE (entry, replay)
);
CREATE INDEX request_open ON request (id) WHERE epoch IS NULL;
CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time TEXT NOT NULL,
  entry INTEGER,
  who TEXT NOT NULL,
  what TEXT NOT NULL,
  why TEXT
);
CREATE INDEX audit_entry ON audit (entry);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'lines of the audit are only ever added'); END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'lines of the audit are only ever added'); END;
)sql";

}  // namespace

std::string dead_letter_path(const std::string& state_folder) {
    return state_folder + "/dead_letters.db";
}

DeadLetterReplay read_replay(const SqliteStatement& row, int first) {
    DeadLetterReplay replay;
    replay.sequence = static_cast<std::uint64_t>(row.integer(first + 1));
    replay.part = static_cast<std::uint32_t>(row.integer(first + 2));
    replay.replay = static_cast<std::uint32_t>(row.integer(first + 3));
    replay.subject = row.text(first + 4);
    replay.ingest_time = parse_timestamp(row.text(first + 5)).value_or(0);
    replay.data = row.blob(first + 6);
    return replay;
}

Status check_dead_letter_tables(SqliteDatabase& database) {
    const Result<std::int64_t> application = database.query_integer("PRAGMA application_id");
    if (!application) return application.error();
    if (*application != kApplicationId)
        return Error{"C651", fmt::format("{} is a database, but no store of dead letters", database.path())};
    const Result<std::int64_t> version = database.query_integer("PRAGMA user_version");
    if (!version) return version.error();
    if (*version != kDeadLetterSchemaVersion)
        return Error{"C651", fmt::format("{} is a store of dead letters of version {}; this takt reads and writes "
                                         "version {}",
                                         database.path(), *version, kDeadLetterSchemaVersion)};
    return {};
}

Status create_dead_letter_tables(SqliteDatabase& database) {
    return database.transaction([&]() -> Status {
        const Result<std::int64_t> objects = database.query_integer("SELECT count(*) FROM sqlite_schema");
        if (!objects) return objects.error();
        if (*objects > 0) return check_dead_letter_tables(database);
        return database.run(fmt::format("{}PRAGMA application_id = {}; PRAGMA user_version = {};", kTables,
                                        kApplicationId, kDeadLetterSchemaVersion));
    });
}

}  // namespace takt
