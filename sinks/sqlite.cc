#include "sinks/sqlite.h"

#include <algorithm>

#include "pipeline/base/decimal.h"
#include "pipeline/sqlite/sqlite_database.h"
#include "sinks/ledger_schema.h"
#include "sinks/posting_json.h"

namespace takt {
namespace {

const char* const kInsertPosting =
    "INSERT INTO posting (key, payload_hash, pipeline, type, revision, previous_key, window_start, window_end, "
    "posting_date, "
    "correlation_id, key_fields, quantity, quantity_cumulative, quantity_units, quantity_scale, unit, amount, "
    "amount_cumulative, "
    "amount_units, amount_scale, currency, debit, credit, events, event_ids_hash, lineage, config_hash, epoch) "
    "VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28) "
    "ON CONFLICT (key) DO NOTHING";
const char* const kInsertLine =
    "INSERT INTO posting_line (posting, line, account, cost_center, side, amount, amount_units) VALUES "
    "(?1,?2,?3,?4,?5,?6,?7)";
const char* const kSelectOwnerOfRow = "SELECT count(*) FROM posting WHERE id = ?1 AND pipeline = ?2";
const char* const kSelectPosting = "SELECT id, payload_hash FROM posting WHERE key = ?1";
const char* const kInsertDeadLetter =
    "INSERT INTO dead_letter (pipeline, source, sequence, part, subject, ingest_time, event_id, reason, text, owner, "
    "step, "
    "correlation_id, bytes, epoch) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14) "
    "ON CONFLICT (pipeline, source, sequence, part) DO NOTHING";
const char* const kInsertOutcome =
    "INSERT INTO outcome (pipeline, outcome, rule, count) VALUES (?1,?2,?3,?4) "
    "ON CONFLICT (pipeline, outcome, rule) DO UPDATE SET count = count + excluded.count";
const char* const kSelectFence = "SELECT state, incarnation FROM fence WHERE pipeline = ?1";
const char* const kTakeFence =
    "INSERT INTO fence (pipeline, state, incarnation) VALUES (?1,?2,?3) "
    "ON CONFLICT (pipeline) DO UPDATE SET state = excluded.state, incarnation = excluded.incarnation";
const char* const kDeleteOutcomes = "DELETE FROM outcome WHERE pipeline = ?1";

/// What SQL can hold.
bool fits(Int128 units) {
    return units <= INT64_MAX && units >= INT64_MIN;
}

/// What SQL can also negate: a balance takes credit from debit.
bool fits_negated(Int128 units) {
    return fits(units) && units != INT64_MIN;
}

bool in_range(const Posting& posting) {
    if (posting.has_quantity && !fits(posting.quantity)) return false;
    if (posting.has_amount && !fits_negated(posting.amount)) return false;
    for (const PostingLine& line : posting.lines)
        if (!fits_negated(line.amount)) return false;
    return true;
}

std::string key_fields_json(const std::vector<Posting::KeyField>& fields) {
    std::string json = "{";
    for (const Posting::KeyField& field : fields) {
        if (field.value.empty()) continue;
        if (json.size() > 1) json += ',';
        append_json_string(json, field.name);
        json += ':';
        append_json_string(json, field.value);
    }
    return json + '}';
}

std::string lineage_json(const Lineage& lineage) {
    std::string json = "[";
    for (const Lineage::Range& range : lineage.ranges) {
        json += json.size() > 1 ? ",{\"source\":" : "{\"source\":";
        append_json_string(json, range.source);
        json += fmt::format(",\"first_sequence\":{},\"last_sequence\":{}}}", range.first_sequence, range.last_sequence);
    }
    return json + ']';
}

std::string_view pragma_of(SqliteSink::Synchronous synchronous) {
    switch (synchronous) {
        case SqliteSink::Synchronous::off:
            return "OFF";
        case SqliteSink::Synchronous::normal:
            return "NORMAL";
        case SqliteSink::Synchronous::full:
            break;
    }
    return "FULL";
}

}  // namespace

struct SqliteSink::Connection {
    explicit Connection(SqliteDatabase opened) : database(std::move(opened)) {}

    SqliteDatabase database;  // first: statements end before it
    SqliteStatement insert_posting, insert_line, select_posting, insert_dead_letter, insert_outcome, delete_outcomes,
        select_fence, take_fence;

    Status prepare() {
        const auto make = [&](SqliteStatement& to, const char* sql) -> Status {
            Result<SqliteStatement> made = database.prepare(sql);
            if (!made.ok()) return made.error();
            to = std::move(*made);
            return {};
        };
        for (auto& [statement, sql] :
             std::initializer_list<std::pair<SqliteStatement&, const char*>>{{insert_posting, kInsertPosting},
                                                                             {insert_line, kInsertLine},
                                                                             {select_posting, kSelectPosting},
                                                                             {insert_dead_letter, kInsertDeadLetter},
                                                                             {insert_outcome, kInsertOutcome},
                                                                             {delete_outcomes, kDeleteOutcomes},
                                                                             {select_fence, kSelectFence},
                                                                             {take_fence, kTakeFence}}) {
            if (Status status = make(statement, sql); !status.ok()) return status;
        }
        return {};
    }
};

OptionTable<SqliteSink::Options> SqliteSink::options() {
    OptionTable<Options> table;
    table.required("path", &Options::path, "file of the ledger; made where it is missing");
    table
        .optional("synchronous", &Options::synchronous,
                  "full: accepted postings survive a power cut; normal: they survive a crash of the daemon, and a "
                  "power cut may "
                  "leave a ledger that the state directory does not go on with (F524); off: for tests")
        .one_of({{"full", Synchronous::full}, {"normal", Synchronous::normal}, {"off", Synchronous::off}});
    table.optional("busy", &Options::busy, "how long to wait for another writer before the call counts as failed")
        .from(std::chrono::milliseconds(1))
        .to(std::chrono::minutes(10));
    table.short_form("path");
    return table;
}

SqliteSink::SqliteSink(Options options, std::string pipeline)
    : options_(std::move(options)), pipeline_(std::move(pipeline)) {}
SqliteSink::~SqliteSink() = default;

std::string SqliteSink::describe() const {
    return "sqlite " + options_.path;
}

Status SqliteSink::open() {
    connection_.reset();
    Result<SqliteDatabase> database = SqliteDatabase::open(options_.path, SqliteDatabase::Mode::read_write);
    if (!database.ok()) return database.error();
    const auto busy = std::chrono::duration_cast<std::chrono::milliseconds>(options_.busy);
    sqlite3_busy_timeout(database->handle(), static_cast<int>(busy.count()));
    // Keys are random: a larger page cache keeps their index in memory, and a longer log writes a page back once for
    // many changes.
    if (Status status = database->run(fmt::format("PRAGMA journal_mode = WAL; PRAGMA synchronous = {}; PRAGMA "
                                                  "cache_size = -65536; PRAGMA wal_autocheckpoint = 16384;",
                                                  pragma_of(options_.synchronous)));
        !status.ok())
        return status;
    if (Status status = create_ledger(*database); !status.ok()) return status;
    auto connection = std::make_unique<Connection>(std::move(*database));
    if (Status status = connection->prepare(); !status.ok()) return status;
    connection_ = std::move(connection);
    if (run_.incarnation == 0) return {};
    if (Status found = find_last_accepted(); !found.ok()) return found;
    return take_fence();
}

void SqliteSink::resume(const Past& past) {
    run_ = past.run;
    position_.last_sequence = past.confirmed.last_sequence;
}

/// A ledger that was restored from an older copy, or made anew, lacks what it had accepted, and nobody sends it again.
Status SqliteSink::find_last_accepted() {
    if (position_.last_sequence == 0) return {};
    Result<SqliteStatement> row = connection_->database.prepare(kSelectOwnerOfRow);
    if (!row.ok()) return row.error();
    row->bind(1, static_cast<std::int64_t>(position_.last_sequence));
    row->bind(2, pipeline_);
    if (row->step() != SQLITE_ROW) return connection_->database.error("cannot read");
    if (row->integer(0) > 0) return {};
    return Error{"F524",
                 fmt::format("SINK_REGRESSION: {} has accepted postings up to row {}, and now row {} is missing "
                             "or another pipeline's: it was restored or made anew, and postings are missing in "
                             "it",
                             describe(), position_.last_sequence, position_.last_sequence)};
}

/// Whose ledger it is; an incarnation of 0: nobody's.
Result<RunIdentity> SqliteSink::owner() {
    SqliteStatement& row = connection_->select_fence;
    row.bind(1, pipeline_);
    RunIdentity owner;
    const int code = row.step();
    if (code == SQLITE_ROW) owner = {std::string(row.text(0)), static_cast<std::uint64_t>(row.integer(1))};
    const Status status =
        code == SQLITE_ROW || code == SQLITE_DONE ? Status() : Status(connection_->database.error("cannot read"));
    row.reset();
    if (!status.ok()) return status.error();
    return owner;
}

Error SqliteSink::fenced(const RunIdentity& owner) const {
    return {"F624", fmt::format("{} belongs to start {} of pipeline '{}' now, and this is start {}: nothing was posted",
                                options_.path, owner.incarnation, pipeline_, run_.incarnation)};
}

/// From now on what earlier starts still send is refused. The starts of another state have a count of their own; those
/// of a copy of this one have the same, so that a number may stand there already.
Status SqliteSink::take_fence() {
    return connection_->database.transaction([&]() -> Status {
        const Result<RunIdentity> before = owner();
        if (!before.ok()) return before.error();
        if (before->state == run_.state && before->incarnation > run_.incarnation) return fenced(*before);
        if (before->state == run_.state && before->incarnation == run_.incarnation && !may_own_) {
            return Error{"F624",
                         fmt::format("{} belongs to a start {} of pipeline '{}' already, from a copy of this state "
                                     "directory or from what it is a copy of: nothing was posted; whichever is "
                                     "started next takes it over, so start only one",
                                     options_.path, run_.incarnation, pipeline_)};
        }
        may_own_ = true;
        SqliteStatement& row = connection_->take_fence;
        row.bind(1, pipeline_);
        row.bind(2, run_.state);
        row.bind(3, static_cast<std::int64_t>(run_.incarnation));
        return connection_->database.execute(row);
    });
}

Status SqliteSink::check_fence() {
    if (run_.incarnation == 0) return {};
    const Result<RunIdentity> now = owner();
    if (!now.ok()) return now.error();
    return now->state == run_.state && now->incarnation == run_.incarnation ? Status() : Status(fenced(*now));
}

template <typename Body>
Status SqliteSink::transaction(Body&& body) {
    CHECK(connection_ != nullptr);
    return connection_->database.transaction([&]() -> Status {
        if (Status mine = check_fence(); !mine.ok()) return mine;
        return body();
    });
}

Result<std::vector<Sink::Delivery>> SqliteSink::deliver(std::span<const Posting> postings) {
    std::vector<Delivery> deliveries(postings.size());
    if (postings.empty()) return deliveries;
    const Status status = transaction([&]() -> Status {
        for (std::size_t i = 0; i < postings.size(); ++i)
            if (Status inserted = insert(postings[i], deliveries[i]); !inserted.ok()) return inserted;
        return {};
    });
    if (!status.ok()) return status.error();
    for (const Delivery& delivery : deliveries) {
        if (delivery.state != State::accepted) continue;
        const std::uint64_t row = std::stoull(delivery.reference);
        position_.last_sequence = std::max(position_.last_sequence, row);
    }
    return deliveries;
}

Status SqliteSink::insert(const Posting& posting, Delivery& delivery) {
    if (!in_range(posting)) {
        delivery = {.state = State::refused, .reference = {}, .reason = "OUT_OF_RANGE"};
        return {};
    }
    const auto time = [](const std::optional<Timestamp>& at) { return at ? format_timestamp(*at) : std::string(); };
    const std::string window_start = time(posting.window_start);
    const std::string window_end = time(posting.window_end);
    const std::string date = format_date(posting.posting_date);
    const std::string key_fields = key_fields_json(posting.key_fields);
    const std::string lineage = lineage_json(posting.lineage);
    const std::string ids = to_hex(posting.lineage.ids);
    std::array<std::string, 4> decimals;

    SqliteStatement& row = connection_->insert_posting;
    row.bind(1, posting.key);
    row.bind(2, posting.payload_hash);
    row.bind(3, posting.pipeline);
    row.bind(4, posting.type);
    row.bind(5, std::int64_t{posting.revision});
    row.bind_or_null(6, posting.previous_key);
    row.bind_or_null(7, window_start);
    row.bind_or_null(8, window_end);
    row.bind(9, date);
    row.bind_or_null(10, posting.correlation_id);
    row.bind(11, key_fields);
    const auto bind_value = [&](int first, bool present, Int128 units, Int128 cumulative, int scale,
                                std::string* texts) {
        if (!present) {
            for (int i = 0; i < 4; ++i) row.bind_null(first + i);
            return;
        }
        texts[0] = format_decimal(units, scale);
        texts[1] = format_decimal(cumulative, scale);
        row.bind(first, texts[0]);
        row.bind(first + 1, texts[1]);
        row.bind(first + 2, static_cast<std::int64_t>(units));
        row.bind(first + 3, std::int64_t{scale});
    };
    bind_value(12, posting.has_quantity, posting.quantity, posting.quantity_cumulative, posting.quantity_scale,
               &decimals[0]);
    row.bind_or_null(16, posting.unit);
    bind_value(17, posting.has_amount, posting.amount, posting.amount_cumulative, posting.amount_scale, &decimals[2]);
    row.bind_or_null(21, posting.currency);
    row.bind_or_null(22, posting.debit);
    row.bind_or_null(23, posting.credit);
    row.bind(24, static_cast<std::int64_t>(posting.lineage.events));
    row.bind(25, ids);
    row.bind(26, lineage);
    row.bind(27, posting.config_hash);
    row.bind(28, static_cast<std::int64_t>(posting.epoch));
    if (Status status = connection_->database.execute(row); !status.ok()) return status;
    if (connection_->database.changes() == 0) return compare(posting, delivery);

    const std::int64_t id = connection_->database.last_row();
    delivery = {.state = State::accepted, .reference = std::to_string(id), .reason = {}};
    return insert_lines(posting, id);
}

Status SqliteSink::insert_lines(const Posting& posting, std::int64_t id) {
    SqliteStatement& line_row = connection_->insert_line;
    std::int64_t number = 0;
    for (const PostingLine& line : posting.lines) {
        const std::string amount = format_decimal(line.amount, posting.amount_scale);
        line_row.bind(1, id);
        line_row.bind(2, ++number);
        line_row.bind(3, line.account);
        line_row.bind_or_null(4, line.cost_center);
        line_row.bind(5, line.side == Side::debit ? "debit" : "credit");
        line_row.bind(6, amount);
        line_row.bind(7, static_cast<std::int64_t>(line.amount));
        if (Status status = connection_->database.execute(line_row); !status.ok()) return status;
    }
    return {};
}

/// The key is known: a repeat, or a conflict.
Status SqliteSink::compare(const Posting& posting, Delivery& delivery) {
    SqliteStatement& known = connection_->select_posting;
    known.bind(1, posting.key);
    if (known.step() != SQLITE_ROW) {
        const Error error = connection_->database.error("cannot read");
        known.reset();
        return error;
    }
    const std::string reference = std::to_string(known.integer(0));
    if (known.text(1) == posting.payload_hash) {
        delivery = {.state = State::accepted, .reference = reference, .reason = {}};
    } else {
        delivery = {.state = State::refused, .reference = reference, .reason = "IDEMPOTENCY_CONFLICT"};
    }
    known.reset();
    return {};
}

Status SqliteSink::keep(std::span<const DeadLetter> dead_letters) {
    if (dead_letters.empty()) return {};
    return transaction([&]() -> Status {
        SqliteStatement& row = connection_->insert_dead_letter;
        for (const DeadLetter& letter : dead_letters) {
            const std::string ingest_time = format_timestamp(letter.ingest_time);
            row.bind(1, pipeline_);
            row.bind(2, letter.source);
            row.bind(3, static_cast<std::int64_t>(letter.sequence));
            row.bind(4, std::int64_t{letter.part});
            row.bind_or_null(5, letter.subject);
            row.bind(6, ingest_time);
            row.bind_or_null(7, letter.event_id);
            row.bind(8, letter.reason);
            row.bind_or_null(9, letter.text);
            row.bind_or_null(10, letter.owner);
            row.bind_or_null(11, letter.step);
            row.bind_or_null(12, letter.correlation_id);
            row.bind_blob(13, letter.bytes);
            row.bind(14, static_cast<std::int64_t>(letter.epoch));
            if (Status status = connection_->database.execute(row); !status.ok()) return status;
        }
        return {};
    });
}

Status SqliteSink::summarize(std::span<const OutcomeCount> counts) {
    return transaction([&]() -> Status {
        connection_->delete_outcomes.bind(1, pipeline_);
        if (Status status = connection_->database.execute(connection_->delete_outcomes); !status.ok()) return status;
        SqliteStatement& row = connection_->insert_outcome;
        for (const OutcomeCount& count : counts) {
            row.bind(1, pipeline_);
            row.bind(2, count.outcome);
            row.bind(3, count.rule);
            row.bind(4, static_cast<std::int64_t>(count.count));
            if (Status status = connection_->database.execute(row); !status.ok()) return status;
        }
        return {};
    });
}

Status SqliteSink::finish() {
    CHECK(connection_ != nullptr);
    // A reader may hold the log open: then it stays beside the file, which loses nothing.
    return connection_->database.run("PRAGMA wal_checkpoint(TRUNCATE)");
}

}  // namespace takt
