#include "sinks/ledger_audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "pipeline/sqlite/sqlite_database.h"
#include "sinks/closed_postings.h"
#include "sinks/ledger_schema.h"

namespace takt {
namespace {

constexpr std::ptrdiff_t kMostOfAnEquation = 5;

const char* const kPostings =
    "SELECT id, key, payload_hash, type, revision, previous_key, quantity, quantity_cumulative, quantity_units, "
    "quantity_scale, unit, amount, amount_cumulative, amount_units, amount_scale, currency FROM posting WHERE "
    "pipeline = ?1 AND epoch <= ?2 ORDER BY id";
const char* const kLastEpoch = "SELECT coalesce(max(epoch), 0) FROM posting WHERE pipeline = ?1";
const char* const kLines = "SELECT side, amount, amount_units FROM posting_line WHERE posting = ?1 ORDER BY line";

/// A number of a row: as text, as units, and cumulative; all must say one thing. False: they do not.
bool read_number(const SqliteStatement& row, int text, int cumulative, int units, int scale, bool& has,
                 Int128& difference, Int128& total, int& digits) {
    has = !row.is_null(text);
    if (!has) return row.is_null(units);
    digits = static_cast<int>(row.integer(scale));
    if (digits < 0 || digits > kMaxDecimalScale) return false;
    const auto read = [&](int column) -> std::optional<Int128> {
        const std::optional<Decimal> value = parse_decimal(row.text(column));
        return value ? rescale_exact(value->units, value->scale, digits) : std::nullopt;
    };
    const std::optional<Int128> written = read(text);
    const std::optional<Int128> sum = read(cumulative);
    if (!written || !sum || *written != row.integer(units)) return false;
    difference = *written;
    total = *sum;
    return true;
}

/// "payload 3f.., quantity 5.000000 pcs, amount 46.10 EUR": what a posting adds to the books.
std::string text_of(const Posting& posting) {
    std::string text = fmt::format("payload {}", posting.payload_hash);
    if (posting.has_quantity)
        text += fmt::format(", quantity {} {}", format_decimal(posting.quantity, posting.quantity_scale), posting.unit);
    if (posting.has_amount)
        text += fmt::format(", amount {} {}", format_decimal(posting.amount, posting.amount_scale), posting.currency);
    return text;
}

/// One pass over a ledger, in one read transaction.
class LedgerPass {
  public:
    LedgerPass(SqliteDatabase& database, const UnacceptedPostings& unaccepted)
        : database_(database), closed_(unaccepted.closed) {
        for (const Posting* posting : unaccepted.asked) asked_.emplace(posting->key, posting);
    }

    Result<LedgerAudit> run(const std::string& pipeline, std::uint64_t until_epoch) {
        Result<SqliteStatement> postings = database_.prepare(kPostings);
        Result<SqliteStatement> lines = database_.prepare(kLines);
        if (!postings) return postings.error();
        if (!lines) return lines.error();
        lines_ = std::move(*lines);
        Result<SqliteStatement> last_epoch = database_.prepare(kLastEpoch);
        if (!last_epoch) return last_epoch.error();
        last_epoch->bind(1, pipeline);
        if (last_epoch->step() != SQLITE_ROW) return database_.error("cannot read");
        audit_.last_epoch = static_cast<std::uint64_t>(last_epoch->integer(0));
        postings->bind(1, pipeline);
        postings->bind(2, static_cast<std::int64_t>(until_epoch));
        AuditTotals all;
        AuditTotals asked;
        int code = postings->step();
        for (; code == SQLITE_ROW; code = postings->step()) {
            Posting posting;
            if (Status read = read_posting(*postings, posting); !read) return read.error();
            all.add(posting);
            if (is_asked(posting)) asked.add(posting);
            check(posting);
        }
        if (code != SQLITE_DONE) return database_.error("cannot read");
        audit_.postings = std::move(all.postings);
        audit_.asked = std::move(asked.postings);
        return std::move(audit_);
    }

  private:
    void note(Equation equation, std::string text) {
        const auto of_it = std::count_if(audit_.imbalances.begin(), audit_.imbalances.end(),
                                         [&](const Imbalance& other) { return other.equation == equation; });
        if (of_it < kMostOfAnEquation) audit_.imbalances.push_back({equation, std::move(text)});
    }

    /// False also of a row that somebody else wrote under such a key.
    bool is_asked(const Posting& posting) {
        const auto asked = asked_.find(posting.key);
        if (asked == asked_.end()) return false;
        const std::string found = text_of(posting);
        const std::string made = text_of(*asked->second);
        if (found == made) return true;
        note(Equation::sink,
             fmt::format("posting {} in the ledger is another one than was made: it has {}; made was {}", posting.key,
                         found, made));
        return false;
    }

    Status read_posting(const SqliteStatement& row, Posting& posting) {
        posting.key = row.text(1);
        posting.payload_hash = row.text(2);
        posting.type = row.text(3);
        posting.revision = static_cast<std::uint32_t>(row.integer(4));
        posting.previous_key = row.text(5);
        posting.unit = row.text(10);
        posting.currency = row.text(15);
        if (!read_number(row, 6, 7, 8, 9, posting.has_quantity, posting.quantity, posting.quantity_cumulative,
                         posting.quantity_scale) ||
            !read_number(row, 11, 12, 13, 14, posting.has_amount, posting.amount, posting.amount_cumulative,
                         posting.amount_scale))
            note(Equation::sink, fmt::format("posting {}: its numbers as texts and as units differ", posting.key));
        return read_lines(row.integer(0), posting);
    }

    Status read_lines(std::int64_t id, Posting& posting) {
        lines_.bind(1, id);
        int code = lines_.step();
        for (; code == SQLITE_ROW; code = lines_.step()) {
            const std::optional<Decimal> value = parse_decimal(lines_.text(1));
            const auto units = value ? rescale_exact(value->units, value->scale, posting.amount_scale) : std::nullopt;
            if (!units || *units != lines_.integer(2)) {
                note(Equation::sink,
                     fmt::format("posting {}: a line's amount as text and as units differs", posting.key));
            }
            PostingLine line;
            line.side = lines_.text(0) == "debit" ? Side::debit : Side::credit;
            line.amount = units.value_or(0);
            posting.lines.push_back(std::move(line));
        }
        lines_.reset();
        return code == SQLITE_DONE ? Status() : Status(database_.error("cannot read"));
    }

    void check(const Posting& posting) {
        PostingSum one;
        one.add(posting);
        if (one.debit != one.credit) {
            note(Equation::double_entry,
                 fmt::format("posting {} ({}) in the ledger: debit {} is not credit {}", posting.key, posting.type,
                             format_decimal(one.debit, posting.amount_scale),
                             format_decimal(one.credit, posting.amount_scale)));
        }
        if (!posting.lines.empty() && one.debit != posting.amount) {
            note(Equation::double_entry,
                 fmt::format("posting {} ({}) in the ledger: its lines say {}, its amount is {}", posting.key,
                             posting.type, format_decimal(one.debit, posting.amount_scale),
                             format_decimal(posting.amount, posting.amount_scale)));
        }
        follow_closed(posting.previous_key);
        const Posting* const closed = closed_.find(posting.key);
        if (closed == nullptr) return follow(posting);
        note_closed(posting, *closed);
        follow_closed(posting.key);
    }

    void note_closed(const Posting& row, const Posting& closed) {
        const std::string found = text_of(row);
        const std::string made = text_of(closed);
        note(Equation::sink,
             found == made
                 ? fmt::format("posting {} is in the ledger, though a person has closed it: is it booked twice?",
                               row.key)
                 : fmt::format("under the key of posting {}, which a person has closed, the ledger has another one: it "
                               "has {}; closed was {}",
                               row.key, found, made));
    }

    void follow_closed(const std::string& key) {
        for (const Posting* closed : closed_.take(key)) follow(*closed);
    }

    void follow(const Posting& posting) {
        if (const std::string mistake = chains_.follow(posting); !mistake.empty())
            note(Equation::posting, fmt::format("in the ledger: {}", mistake));
    }

    SqliteDatabase& database_;
    std::unordered_map<std::string_view, const Posting*> asked_;  ///< by key
    ClosedPostings closed_;
    SqliteStatement lines_;
    RevisionChains chains_{true};
    LedgerAudit audit_;
};

}  // namespace

Result<LedgerAudit> audit_ledger(const std::string& path, const std::string& pipeline, std::uint64_t until_epoch,
                                 const UnacceptedPostings& unaccepted) {
    Result<SqliteDatabase> database = SqliteDatabase::open(path, SqliteDatabase::Mode::read_only);
    if (!database) return database.error();
    if (Status status = check_ledger(*database); !status) return status.error();
    // One moment for both statements.
    if (Status begun = database->run("BEGIN"); !begun) return begun.error();
    return LedgerPass(*database, unaccepted).run(pipeline, until_epoch);
}

}  // namespace takt
