#include "sinks/ledger_schema.h"

namespace takt {
namespace {

/// "takt" in ASCII; `file` and sqlite3 show it.
constexpr std::int64_t kApplicationId = 0x74616B74;

const char* const kTables = R"sql(
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE posting (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  payload_hash TEXT NOT NULL,
  pipeline TEXT NOT NULL,
  type TEXT NOT NULL,
  revision INTEGER NOT NULL,
  previous_key TEXT,
  window_start TEXT,
  window_end TEXT,
  posting_date TEXT NOT NULL,
  correlation_id TEXT,
  key_fields TEXT NOT NULL,
  quantity TEXT,
  quantity_cumulative TEXT,
  quantity_units INTEGER,
  quantity_scale INTEGER,
  unit TEXT,
  amount TEXT,
  amount_cumulative TEXT,
  amount_units INTEGER,
  amount_scale INTEGER,
  currency TEXT,
  debit TEXT,
  credit TEXT,
  events INTEGER NOT NULL,
  event_ids_hash TEXT NOT NULL,
  lineage TEXT NOT NULL,
  config_hash TEXT NOT NULL,
  epoch INTEGER NOT NULL
);
CREATE TABLE posting_line (
  posting INTEGER NOT NULL REFERENCES posting(id),
  line INTEGER NOT NULL,
  account TEXT NOT NULL,
  cost_center TEXT,
  side TEXT NOT NULL CHECK (side IN ('debit', 'credit')),
  amount TEXT NOT NULL,
  amount_units INTEGER NOT NULL,
  PRIMARY KEY (posting, line)
) WITHOUT ROWID;
CREATE INDEX posting_correlation ON posting (correlation_id);
CREATE VIEW posting_key AS
  SELECT p.id AS posting, field.key AS name, field.value AS value FROM posting p, json_each(p.key_fields) field;
CREATE TABLE dead_letter (
  pipeline TEXT NOT NULL,
  source TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  part INTEGER NOT NULL,
  subject TEXT,
  ingest_time TEXT NOT NULL,
  event_id TEXT,
  reason TEXT NOT NULL,
  text TEXT,
  owner TEXT,
  step TEXT,
  correlation_id TEXT,
  bytes BLOB NOT NULL,
  epoch INTEGER NOT NULL,
  UNIQUE (pipeline, source, sequence, part)
);
CREATE TABLE outcome (
  pipeline TEXT NOT NULL,
  outcome TEXT NOT NULL,
  rule TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (pipeline, outcome, rule)
) WITHOUT ROWID;
)sql";

/// Also in ledgers that were made before there was one.
const char* const kFenceTable = R"sql(
CREATE TABLE IF NOT EXISTS fence (
  pipeline TEXT PRIMARY KEY,
  state TEXT NOT NULL,
  incarnation INTEGER NOT NULL
) WITHOUT ROWID;
)sql";

/// SQL for an integer number of units as a plain decimal: no float, no function that is not in every sqlite3.
std::string decimal_sql(const std::string& units, const std::string& scale) {
    const std::string digits = fmt::format("printf('%0*d', {} + 1, abs({}))", scale, units);
    return fmt::format(
        "CASE WHEN {0} IS NULL THEN NULL ELSE iif({0} < 0, '-', '') || iif({1} = 0, abs({0}), "
        "substr({2}, 1, length({2}) - {1}) || '.' || substr({2}, -{1})) END",
        units, scale, digits);
}

std::string views_sql() {
    std::string sql;
    // max(revision) makes the bare columns those of the last revision (sqlite.org/lang_select.html#bareagg).
    sql += fmt::format(R"sql(
CREATE VIEW v_posting_net AS
  SELECT pipeline, type, key_fields, window_start, window_end, posting_date, correlation_id, revisions,
         {} AS quantity, unit, {} AS amount, currency, debit, credit, events
  FROM (SELECT pipeline, type, key_fields, window_start, window_end, posting_date, correlation_id, max(revision) AS revisions,
               sum(quantity_units) AS q, quantity_scale, unit, sum(amount_units) AS a, amount_scale, currency, debit, credit,
               sum(events) AS events
        FROM posting GROUP BY pipeline, type, key_fields, window_start, window_end);
)sql",
                       decimal_sql("q", "quantity_scale"), decimal_sql("a", "amount_scale"));
    sql += fmt::format(R"sql(
CREATE VIEW v_balance AS
  SELECT account, currency, {} AS debit, {} AS credit, {} AS balance
  FROM (SELECT l.account, p.currency, p.amount_scale AS scale,
               sum(iif(l.side = 'debit', l.amount_units, 0)) AS d,
               sum(iif(l.side = 'credit', l.amount_units, 0)) AS c,
               sum(iif(l.side = 'debit', l.amount_units, -l.amount_units)) AS b
        FROM posting_line l JOIN posting p ON p.id = l.posting GROUP BY l.account, p.currency, p.amount_scale);
)sql",
                       decimal_sql("d", "scale"), decimal_sql("c", "scale"), decimal_sql("b", "scale"));
    sql += R"sql(
CREATE VIEW v_dead_letter_count AS
  SELECT pipeline, reason, owner, count(*) AS count, min(ingest_time) AS first, max(ingest_time) AS last
  FROM dead_letter GROUP BY pipeline, reason, owner;
)sql";
    return sql;
}

}  // namespace

Status check_ledger(SqliteDatabase& database) {
    const Result<std::int64_t> application = database.query_integer("PRAGMA application_id");
    if (!application.ok()) return application.error();
    if (*application != kApplicationId)
        return Error{"C621", fmt::format("{} is a database, but no ledger of takt", database.path())};
    const Result<std::int64_t> version = database.query_integer("PRAGMA user_version");
    if (!version.ok()) return version.error();
    if (*version != kLedgerSchemaVersion)
        return Error{"C621", fmt::format("{} is a ledger of version {}; this takt reads and writes version {}",
                                         database.path(), *version, kLedgerSchemaVersion)};
    return {};
}

Status create_ledger(SqliteDatabase& database) {
    // Immediate: of two writers that find the file empty, the second waits and then finds the tables.
    if (Status status = database.run("BEGIN IMMEDIATE"); !status.ok()) return status;
    const Result<std::int64_t> objects = database.query_integer("SELECT count(*) FROM sqlite_schema");
    Status status = objects.ok() ? Status() : Status(objects.error());
    if (status.ok() && *objects == 0) {
        status = database.run(
            fmt::format("{}{}{}INSERT INTO meta VALUES ('schema_version', '{}');PRAGMA application_id = {};"
                        "PRAGMA user_version = {};",
                        kTables, kFenceTable, views_sql(), kLedgerSchemaVersion, kApplicationId, kLedgerSchemaVersion));
    } else if (status.ok()) {
        status = check_ledger(database);
        if (status.ok()) status = database.run(kFenceTable);
    }
    if (!status.ok()) {
        (void)database.run("ROLLBACK");
        return status;
    }
    return database.run("COMMIT");
}

}  // namespace takt
