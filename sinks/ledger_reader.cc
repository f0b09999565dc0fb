#include "sinks/ledger_reader.h"

#include <cstring>
#include <filesystem>

#include "pipeline/base/decimal.h"
#include "sinks/atomic_file.h"
#include "sinks/ledger_schema.h"

namespace takt {
namespace {

/// State of the SQL aggregate `exact_sum(TEXT, FACTOR)`: decimals as text in, the sum of FACTOR (-1, 0, 1; 1 where it
/// is left out) times each as text out, with as many digits as the longest; NULL where there are none.
struct ExactSum {
    Int128 units = 0;
    int scale = 0;
    bool any = false;
    bool failed = false;
};

/// What the sum has come to; nothing where SQLite has no memory for it. That memory begins as zeroes and is aligned to
/// 8 bytes, Int128 to 16: hence a copy.
std::optional<ExactSum> load_sum(const void* memory) {
    if (memory == nullptr) return std::nullopt;
    ExactSum sum;
    std::memcpy(&sum, memory, sizeof sum);
    return sum;
}

void exact_sum_step(sqlite3_context* context, int count, sqlite3_value** values) {
    void* memory = sqlite3_aggregate_context(context, sizeof(ExactSum));
    std::optional<ExactSum> sum = load_sum(memory);
    if (!sum || sum->failed || sqlite3_value_type(values[0]) == SQLITE_NULL) return;
    const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(values[0]));
    const std::string_view written(text, static_cast<std::size_t>(sqlite3_value_bytes(values[0])));
    const std::optional<Decimal> value = parse_decimal(written);
    // All digits as written count for the scale of the sum: 1.50 + 1.50 is 3.00.
    const std::size_t point = written.find('.');
    const int written_scale = point == std::string_view::npos ? 0 : static_cast<int>(written.size() - point - 1);
    const int scale = std::max(sum->scale, written_scale);
    const auto added = value ? rescale_exact(value->units, value->scale, scale) : std::nullopt;
    const auto before = rescale_exact(sum->units, sum->scale, scale);
    const int factor = count > 1 ? sqlite3_value_int(values[1]) : 1;
    const auto after = added && before ? checked_add(*before, factor * *added) : std::nullopt;
    sum->failed = !after;
    if (after) *sum = {*after, scale, true, false};
    std::memcpy(memory, &*sum, sizeof *sum);
}

void exact_sum_final(sqlite3_context* context) {
    const std::optional<ExactSum> sum = load_sum(sqlite3_aggregate_context(context, 0));
    if (!sum || (!sum->any && !sum->failed)) return sqlite3_result_null(context);
    if (sum->failed) return sqlite3_result_error(context, "exact_sum: not a decimal, or more than 128 bits", -1);
    const std::string text = format_decimal(sum->units, sum->scale);
    sqlite3_result_text(context, text.c_str(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
}

constexpr const char* kKeyText = "(SELECT group_concat(key || '=' || value, ' ') FROM json_each(key_fields))";

/// What the filter asks of table posting; parameters 1 to 6 are its members.
std::string where(const LedgerFilter& filter) {
    std::string sql = " WHERE 1";
    if (!filter.pipeline.empty()) sql += " AND pipeline = ?1";
    if (!filter.type.empty()) sql += " AND type = ?2";
    if (!filter.order.empty()) sql += " AND (correlation_id = ?3 OR key_fields ->> 'order_id' = ?3)";
    if (!filter.from_date.empty()) sql += " AND posting_date >= ?4";
    if (!filter.to_date.empty()) sql += " AND posting_date <= ?5";
    return sql;
}

std::string limit(const LedgerFilter& filter) {
    return filter.limit > 0 ? " LIMIT ?6" : "";
}

std::string of_pipeline(const LedgerFilter& filter) {
    return filter.pipeline.empty() ? "" : " WHERE pipeline = ?1";
}

/// One row per pane; bare columns are those of the last revision (sqlite.org/lang_select.html#bareagg).
std::string panes(const LedgerFilter& filter) {
    return "(SELECT pipeline, type, key_fields, window_start, window_end, posting_date, max(revision) AS revisions, "
           "exact_sum(quantity) AS quantity, unit, exact_sum(amount) AS amount, currency, debit, credit, sum(events) "
           "AS events "
           "FROM posting" +
           where(filter) + " GROUP BY pipeline, type, key_fields, window_start, window_end)";
}

Align align_of(std::string_view column) {
    for (const char* name : {"quantity", "amount", "cumulative", "debit_sum", "credit_sum", "balance",
                             "quantity_cumulative", "amount_cumulative"})
        if (column == name) return Align::decimal;
    for (const char* name :
         {"count", "revision", "revisions", "postings", "corrections", "events", "sequence", "line", "part"})
        if (column == name) return Align::right;
    return Align::left;
}

}  // namespace

Result<LedgerReader> LedgerReader::open(const std::string& path) {
    Result<SqliteDatabase> database = SqliteDatabase::open(path, SqliteDatabase::Mode::read_only);
    if (!database.ok()) return database.error();
    if (Status status = check_ledger(*database); !status.ok()) return status.error();
    for (const int arguments : {1, 2}) {
        const int code =
            sqlite3_create_function_v2(database->handle(), "exact_sum", arguments, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
                                       nullptr, nullptr, &exact_sum_step, &exact_sum_final, nullptr);
        if (code != SQLITE_OK) return database->error("cannot prepare");
    }
    return LedgerReader(std::move(*database));
}

Result<ReportTable> LedgerReader::query(const std::string& sql, const LedgerFilter& filter,
                                        const std::vector<std::string>& more) {
    Result<SqliteStatement> prepared = database_.prepare(sql);
    if (!prepared.ok()) return prepared.error();
    SqliteStatement& statement = *prepared;
    statement.bind(1, filter.pipeline);
    statement.bind(2, filter.type);
    statement.bind(3, filter.order);
    statement.bind(4, filter.from_date);
    statement.bind(5, filter.to_date);
    statement.bind(6, filter.limit);
    int parameter = 7;
    for (const std::string& text : more) statement.bind(parameter++, text);

    ReportTable table;
    for (int i = 0; i < statement.columns(); ++i)
        table.columns.push_back({statement.name(i), align_of(statement.name(i))});
    int code = statement.step();
    for (; code == SQLITE_ROW; code = statement.step()) {
        std::vector<std::string>& row = table.rows.emplace_back();
        for (int i = 0; i < statement.columns(); ++i) row.emplace_back(statement.text(i));
    }
    if (code != SQLITE_DONE) return database_.error("cannot read");
    return table;
}

Result<ReportTable> LedgerReader::postings(const LedgerFilter& filter) {
    return query(fmt::format("SELECT posting_date, type, {} AS \"for\", revision, quantity, unit, amount, currency, "
                             "debit, credit, events, window_start, window_end, key FROM posting{} "
                             "ORDER BY posting_date, type, key_fields, window_start, revision, id{}",
                             kKeyText, where(filter), limit(filter)),
                 filter);
}

Result<ReportTable> LedgerReader::net(const LedgerFilter& filter) {
    return query(fmt::format("SELECT posting_date, type, {} AS \"for\", revisions, quantity, unit, amount, currency, "
                             "debit, credit, events, window_start, window_end FROM {} "
                             "ORDER BY posting_date, type, key_fields, window_start{}",
                             kKeyText, panes(filter), limit(filter)),
                 filter);
}

Result<ReportTable> LedgerReader::totals(const LedgerFilter& filter) {
    return query(
        "SELECT type, count(*) AS postings, sum(revision > 1) AS corrections, sum(events) AS events, "
        "exact_sum(quantity) AS quantity, unit, exact_sum(amount) AS amount, currency FROM posting" +
            where(filter) + " GROUP BY type, currency, unit ORDER BY type, currency, unit" + limit(filter),
        filter);
}

Result<ReportTable> LedgerReader::balances(const LedgerFilter& filter) {
    const std::string sums =
        "exact_sum(amount, side = 'debit') AS debit_sum, exact_sum(amount, side = 'credit') AS credit_sum, "
        "exact_sum(amount, iif(side = 'debit', 1, -1)) AS balance FROM (SELECT l.account, l.side, l.amount, p.currency "
        "FROM posting_line l JOIN (SELECT id, currency FROM posting" +
        where(filter) + ") p ON p.id = l.posting)";
    return query(
        "SELECT account, currency, debit_sum, credit_sum, balance FROM (SELECT 0 AS last, account, currency, " + sums +
            " GROUP BY account, currency UNION ALL SELECT 1, 'all accounts', currency, " + sums +
            " GROUP BY currency) ORDER BY currency, last, account",
        filter);
}

Result<ReportTable> LedgerReader::dead_letter_counts(const LedgerFilter& filter) {
    return query(
        "SELECT reason, owner, count(*) AS count, min(ingest_time) AS first, max(ingest_time) AS last, text AS example "
        "FROM dead_letter" +
            of_pipeline(filter) + " GROUP BY reason, owner ORDER BY count(*) DESC, reason" + limit(filter),
        filter);
}

Result<ReportTable> LedgerReader::dead_letters(const LedgerFilter& filter, const std::string& reason) {
    return query(
        "SELECT source, sequence, part, event_id, reason, owner, step, text, correlation_id, ingest_time FROM "
        "dead_letter "
        "WHERE (?1 = '' OR pipeline = ?1) AND (?7 = '' OR reason = ?7) ORDER BY pipeline, source, sequence, part" +
            limit(filter),
        filter, {reason});
}

Result<ReportTable> LedgerReader::outcomes(const LedgerFilter& filter) {
    return query("SELECT outcome, rule, sum(count) AS count FROM outcome" + of_pipeline(filter) +
                     " GROUP BY outcome, rule ORDER BY outcome, rule",
                 filter);
}

Result<ReportTable> LedgerReader::unbalanced() {
    return query(
        "SELECT key, type, exact_sum(l.amount, side = 'debit') AS debit_sum, exact_sum(l.amount, side = 'credit') AS "
        "credit_sum "
        "FROM posting_line l JOIN posting p ON p.id = l.posting GROUP BY l.posting "
        "HAVING sum(iif(side = 'debit', l.amount_units, -l.amount_units)) <> 0 ORDER BY l.posting",
        {});
}

Result<std::string> LedgerReader::posting(const std::string& key) {
    if (key.size() < 4)
        return Error{"D621", fmt::format("'{}' is too short: expected 4 or more digits of a posting's key", key)};
    // 'g' follows the last hex digit.
    Result<ReportTable> found =
        query("SELECT * FROM posting WHERE key >= ?7 AND key < ?7 || 'g' ORDER BY key LIMIT 2", {}, {key});
    if (!found.ok()) return found.error();
    if (found->rows.size() != 1)
        return Error{"D621", fmt::format("{} posting has a key that begins with '{}'",
                                         found->rows.empty() ? "no" : "more than one", key)};

    std::string id;
    std::string out;
    std::size_t width = 0;
    for (const auto& head : found->columns) width = std::max(width, head.name.size());
    for (std::size_t i = 0; i < found->columns.size(); ++i) {
        const std::string& name = found->columns[i].name;
        if (name == "id") id = found->rows[0][i];
        if (found->rows[0][i].empty() || name.ends_with("_units") || name.ends_with("_scale")) continue;
        out += fmt::format("{:<{}}  {}\n", name, width, found->rows[0][i]);
    }
    Result<ReportTable> lines = query(
        "SELECT line, account, cost_center, side, amount FROM posting_line WHERE posting = ?7 ORDER BY line", {}, {id});
    if (!lines.ok()) return lines.error();
    if (!lines->rows.empty()) out += "\nlines\n" + lines->text();
    Result<ReportTable> revisions = query(
        "SELECT p.revision, p.key, p.quantity, p.amount, p.quantity_cumulative, p.amount_cumulative, p.events, p.epoch "
        "FROM posting p, posting o "
        "WHERE o.id = ?7 AND p.pipeline = o.pipeline AND p.type = o.type AND p.key_fields = o.key_fields "
        "AND p.window_start IS o.window_start AND p.window_end IS o.window_end ORDER BY p.revision",
        {}, {id});
    if (!revisions.ok()) return revisions.error();
    return out + "\nrevisions of this pane\n" + revisions->text();
}

Status LedgerReader::export_to(const std::string& folder, const LedgerFilter& filter) {
    std::string fields;
    for (const char* name : {"plant", "order_id", "material", "lot", "work_center", "reason", "status", "event_id"})
        fields += fmt::format("key_fields ->> '{0}' AS {0}, ", name);
    const std::string of_dead_letters = of_pipeline(filter);
    const std::array<std::pair<const char*, std::string>, 3> files{{
        {"postings.csv",
         "SELECT type, " + fields +
             "window_start, window_end, posting_date, quantity, unit, amount, currency, debit, credit FROM " +
             panes(filter) + " ORDER BY type, key_fields, window_start"},
        {"dead_letters.csv",
         "SELECT iif(reason = 'DECODE', '', event_id) AS event_id, sequence AS line, reason FROM dead_letter" +
             of_dead_letters + " ORDER BY source, sequence, part"},
        {"outcomes.csv", "SELECT outcome, rule, sum(count) AS count FROM outcome" + of_dead_letters +
                             " GROUP BY outcome, rule ORDER BY outcome, rule"},
    }};
    for (const auto& [name, sql] : files) {
        const Result<ReportTable> table = query(sql, filter);
        if (!table.ok()) return table.error();
        if (Status status = write_atomically(folder + "/" + name, table->csv()); !status.ok()) return status;
    }
    return {};
}

}  // namespace takt
