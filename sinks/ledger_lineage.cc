#include "sinks/ledger_lineage.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>
#include <unordered_map>

#include "sinks/closed_postings.h"
#include "sinks/ledger_schema.h"

namespace takt {
namespace {

const char* const kPosting =
    "SELECT key, type, pipeline, revision, previous_key, window_start, window_end, posting_date, quantity_cumulative, "
    "unit, amount_cumulative, currency, events, event_ids_hash, config_hash, epoch, quantity_scale, amount_scale, "
    "quantity, amount FROM posting WHERE key = ?1";
// 'g' follows the last hex digit.
const char* const kKeys = "SELECT key FROM posting WHERE key >= ?1 AND key < ?1 || 'g' ORDER BY key LIMIT 2";
const char* const kLineage =
    "SELECT range.value ->> 'source', range.value ->> 'first_sequence', range.value ->> 'last_sequence' "
    "FROM posting p, json_each(p.lineage) range WHERE p.key = ?1";
const char* const kKeyFields =
    "SELECT field.key, field.value FROM posting p, json_each(p.key_fields) field WHERE p.key = ?1";
const char* const kPanes =
    "SELECT key, previous_key, type, (SELECT group_concat(key || '=' || value, ' ') FROM json_each(key_fields)), "
    "revision, window_start, window_end, posting_date, quantity_cumulative, quantity_scale, unit, amount_cumulative, "
    "amount_scale, currency, quantity, amount "
    "FROM posting WHERE pipeline = ?1 ORDER BY id";
const char* const kDeadLetters =
    "SELECT source, sequence, part, event_id, reason, text, owner, step FROM dead_letter WHERE pipeline = ?1";

std::optional<Timestamp> time_of(const SqliteStatement& row, int column) {
    return row.is_null(column) ? std::nullopt : parse_timestamp(row.text(column));
}

/// A number with all digits of its scale.
std::optional<Decimal> number_of(const SqliteStatement& row, int column, int scale_column) {
    if (row.is_null(column)) return std::nullopt;
    const std::optional<Decimal> value = parse_decimal(row.text(column));
    if (!value) return std::nullopt;
    const auto scale = static_cast<int>(row.integer(scale_column));
    const auto units =
        scale < 0 || scale > kMaxDecimalScale ? std::nullopt : rescale_exact(value->units, value->scale, scale);
    return units ? Decimal{*units, scale} : *value;
}

/// False: the sum does not fit.
bool add(std::optional<Decimal>& sum, const std::optional<Decimal>& more) {
    if (!more) return true;
    const auto total = exact_sum(sum.value_or(Decimal{}), *more);
    if (total) sum = total;
    return total.has_value();
}

/// "2026-05-12" as days since 1970.
std::optional<std::int32_t> date_of(std::string_view text) {
    const std::optional<Timestamp> midnight = parse_timestamp(fmt::format("{}T00:00:00Z", text));
    if (!midnight) return std::nullopt;
    return static_cast<std::int32_t>(*midnight / kDay);
}

/// A pane of one posting, and the posting that it follows.
struct PaneOfPosting {
    LedgerPane pane;
    std::string previous_key;
};

PaneOfPosting pane_of(const SqliteStatement& row) {
    PaneOfPosting one;
    LedgerPane& pane = one.pane;
    pane.first_key = pane.last_key = row.text(0);
    one.previous_key = row.text(1);
    pane.type = row.text(2);
    pane.key_fields = row.text(3);
    pane.revision = static_cast<std::uint32_t>(row.integer(4));
    pane.window_start = time_of(row, 5);
    pane.window_end = time_of(row, 6);
    pane.posting_date = date_of(row.text(7)).value_or(0);
    pane.quantity = number_of(row, 8, 9);
    pane.unit = row.text(10);
    pane.amount = number_of(row, 11, 12);
    pane.currency = row.text(13);
    pane.posted_quantity = number_of(row, 14, 9);
    pane.posted_amount = number_of(row, 15, 12);
    return one;
}

/// Of one that the ledger does not have.
PaneOfPosting pane_of(const Posting& posting) {
    PaneOfPosting one;
    LedgerPane& pane = one.pane;
    pane.first_key = pane.last_key = posting.key;
    one.previous_key = posting.previous_key;
    pane.type = posting.type;
    pane.key_fields = key_text(posting.key_fields);
    pane.revision = posting.revision;
    pane.window_start = posting.window_start;
    pane.window_end = posting.window_end;
    pane.posting_date = posting.posting_date;
    pane.unit = posting.unit;
    pane.currency = posting.currency;
    if (posting.has_quantity) {
        pane.quantity = Decimal{posting.quantity_cumulative, posting.quantity_scale};
        pane.posted_quantity = Decimal{posting.quantity, posting.quantity_scale};
    }
    if (posting.has_amount) {
        pane.amount = Decimal{posting.amount_cumulative, posting.amount_scale};
        pane.posted_amount = Decimal{posting.amount, posting.amount_scale};
    }
    pane.closed = 1;
    return one;
}

std::string damage(const std::string& key, std::string_view what) {
    return fmt::format("posting {} has a {} that no sink writes", key, what);
}

/// Puts the postings of panes together. What is wrong with one comes as a text; an empty one: nothing.
class PaneBook {
  public:
    /// Each of the closed ones is put in before what follows it.
    explicit PaneBook(std::vector<const Posting*> closed) : all_closed_(std::move(closed)), closed_(all_closed_) {}

    /// The next row of the ledger.
    std::string add(PaneOfPosting one) {
        closed_.drop(one.pane.last_key);
        std::string mistake = add_closed(one.previous_key);
        return mistake.empty() ? put(std::move(one)) : mistake;
    }

    /// The closed ones that nothing in the ledger follows.
    std::string finish() {
        std::string mistake;
        for (auto closed = all_closed_.begin(); closed != all_closed_.end() && mistake.empty(); ++closed)
            mistake = add_closed((*closed)->key);
        return mistake;
    }

    std::vector<LedgerPane>& panes() { return panes_; }

  private:
    /// That closed posting, after those before it; none of them where the first one follows what is not there: then
    /// the ledger has lost something, and does not agree with the events.
    std::string add_closed(const std::string& key) {
        const std::vector<const Posting*> chain = closed_.take(key);
        std::string mistake;
        if (chain.empty()) return mistake;
        const std::string& before = chain.front()->previous_key;
        if (!before.empty() && !by_last_key_.contains(before)) return mistake;
        for (auto closed = chain.begin(); closed != chain.end() && mistake.empty(); ++closed)
            mistake = put(pane_of(**closed));
        return mistake;
    }

    std::string put(PaneOfPosting one) {
        std::size_t place = panes_.size();
        if (!one.previous_key.empty()) {
            const auto before = by_last_key_.find(one.previous_key);
            if (before == by_last_key_.end()) {
                return fmt::format(
                    "posting {} follows posting {}, which is not there, or another one follows it, and no state "
                    "directory that was named (--state) says that a person has closed it",
                    one.pane.last_key, one.previous_key);
            }
            place = before->second;
            by_last_key_.erase(before);
        }
        by_last_key_[one.pane.last_key] = place;
        if (place == panes_.size()) {
            panes_.push_back(std::move(one.pane));
            return {};
        }
        LedgerPane& pane = panes_[place];
        one.pane.first_key = std::move(pane.first_key);
        one.pane.closed += pane.closed;
        if (!takt::add(one.pane.posted_quantity, pane.posted_quantity)) return damage(one.pane.last_key, "quantity");
        if (!takt::add(one.pane.posted_amount, pane.posted_amount)) return damage(one.pane.last_key, "amount");
        pane = std::move(one.pane);
        return {};
    }

    const std::vector<const Posting*> all_closed_;
    ClosedPostings closed_;
    std::vector<LedgerPane> panes_;
    std::unordered_map<std::string, std::size_t> by_last_key_;  ///< places in it
};

}  // namespace

std::string key_text(const std::vector<Posting::KeyField>& fields) {
    std::string text;
    for (const Posting::KeyField& field : fields) {
        if (!field.value.empty()) text += fmt::format("{}{}={}", text.empty() ? "" : " ", field.name, field.value);
    }
    return text;
}

Result<LedgerLineage> LedgerLineage::open(const std::string& path) {
    Result<SqliteDatabase> database = SqliteDatabase::open(path, SqliteDatabase::Mode::read_only);
    if (!database) return database.error();
    if (Status status = check_ledger(*database); !status) return status.error();
    return LedgerLineage(std::move(*database));
}

Error LedgerLineage::damaged(const std::string& key, std::string_view what) const {
    return {"F626", fmt::format("{}: {}", database_.path(), damage(key, what))};
}

void LedgerLineage::set_unbooked(std::vector<UnbookedPosting> postings) {
    unbooked_.clear();
    for (UnbookedPosting& one : postings) {
        const std::string key = one.posting->key;
        unbooked_.insert_or_assign(key, std::move(one));
    }
}

Result<TracedPosting> LedgerLineage::posting(const std::string& key) {
    if (key.size() < 4)
        return Error{kNoPosting, fmt::format("'{}' is too short: expected 4 or more digits of a posting's key", key)};
    Result<std::vector<std::string>> booked = booked_keys(key);
    if (!booked) return booked.error();
    std::set<std::string> keys(booked->begin(), booked->end());
    for (auto next = unbooked_.lower_bound(key); next != unbooked_.end() && next->first.starts_with(key); ++next)
        keys.insert(next->first);
    if (keys.empty()) return Error{kNoPosting, fmt::format("no posting has a key that begins with '{}'", key)};
    if (keys.size() > 1)
        return Error{kNoPosting, fmt::format("more than one posting has a key that begins with '{}'", key)};
    if (booked->empty()) {
        const UnbookedPosting& unbooked = unbooked_.at(*keys.begin());
        return TracedPosting{*unbooked.posting, false, unbooked.closed};
    }
    Result<Posting> posting = booked_posting(*keys.begin());
    if (!posting) return posting.error();
    return TracedPosting{std::move(*posting)};
}

/// At most two of those that begin so.
Result<std::vector<std::string>> LedgerLineage::booked_keys(const std::string& beginning) {
    Result<SqliteStatement> row = database_.prepare(kKeys);
    if (!row) return row.error();
    row->bind(1, beginning);
    std::vector<std::string> keys;
    int code = row->step();
    for (; code == SQLITE_ROW; code = row->step()) keys.emplace_back(row->text(0));
    if (code != SQLITE_DONE) return database_.error("cannot read");
    return keys;
}

Result<Posting> LedgerLineage::booked_posting(const std::string& key) {
    Result<SqliteStatement> row = database_.prepare(kPosting);
    if (!row) return row.error();
    row->bind(1, key);
    if (row->step() != SQLITE_ROW) return database_.error("cannot read");
    Posting posting;
    posting.key = row->text(0);
    posting.type = row->text(1);
    posting.pipeline = row->text(2);
    posting.revision = static_cast<std::uint32_t>(row->integer(3));
    posting.previous_key = row->text(4);
    posting.window_start = time_of(*row, 5);
    posting.window_end = time_of(*row, 6);
    const std::optional<std::int32_t> date = date_of(row->text(7));
    const auto number = [&](int column, int scale, Int128& units, int& digits) {
        const std::optional<Decimal> value = number_of(*row, column, scale);
        digits = static_cast<int>(row->integer(scale));
        if (!value || value->scale != digits) return false;
        units = value->units;
        return true;
    };
    posting.has_quantity = !row->is_null(8);
    if (posting.has_quantity && !(number(8, 16, posting.quantity_cumulative, posting.quantity_scale) &&
                                  number(18, 16, posting.quantity, posting.quantity_scale)))
        return damaged(posting.key, "quantity");
    posting.unit = row->text(9);
    posting.has_amount = !row->is_null(10);
    if (posting.has_amount && !(number(10, 17, posting.amount_cumulative, posting.amount_scale) &&
                                number(19, 17, posting.amount, posting.amount_scale)))
        return damaged(posting.key, "amount");
    posting.currency = row->text(11);
    posting.lineage.events = static_cast<std::uint64_t>(row->integer(12));
    const std::optional<Hash128> ids = from_hex(row->text(13));
    if (!ids) return damaged(posting.key, "hash of event ids");
    posting.lineage.ids = *ids;
    posting.config_hash = row->text(14);
    posting.epoch = static_cast<std::uint64_t>(row->integer(15));
    if (!date) return damaged(posting.key, "date");
    posting.posting_date = *date;
    if (posting.window_start.has_value() != !row->is_null(5) || posting.window_end.has_value() != !row->is_null(6))
        return damaged(posting.key, "window");
    if (Status read = read_lineage(posting.key, posting.lineage); !read) return read.error();
    if (Status read = read_key_fields(posting); !read) return read.error();
    return posting;
}

Status LedgerLineage::read_lineage(const std::string& key, Lineage& lineage) {
    Result<SqliteStatement> row = database_.prepare(kLineage);
    if (!row) return row.error();
    row->bind(1, key);
    int code = row->step();
    for (; code == SQLITE_ROW; code = row->step()) {
        lineage.ranges.push_back({std::string(row->text(0)), static_cast<std::uint64_t>(row->integer(1)),
                                  static_cast<std::uint64_t>(row->integer(2))});
    }
    if (code != SQLITE_DONE) return damaged(key, "lineage");
    return {};
}

Status LedgerLineage::read_key_fields(Posting& posting) {
    Result<SqliteStatement> row = database_.prepare(kKeyFields);
    if (!row) return row.error();
    row->bind(1, posting.key);
    int code = row->step();
    for (; code == SQLITE_ROW; code = row->step())
        posting.key_fields.push_back({std::string(row->text(0)), std::string(row->text(1))});
    if (code != SQLITE_DONE) return damaged(posting.key, "key");
    return {};
}

Result<std::vector<LedgerPane>> LedgerLineage::panes(const std::string& pipeline) {
    Result<SqliteStatement> row = database_.prepare(kPanes);
    if (!row) return row.error();
    row->bind(1, pipeline);
    std::vector<const Posting*> closed;
    for (const auto& of_key : unbooked_) {
        if (of_key.second.closed) closed.push_back(of_key.second.posting.get());
    }
    PaneBook book(std::move(closed));
    std::string mistake;
    int code = row->step();
    for (; code == SQLITE_ROW && mistake.empty(); code = row->step()) mistake = book.add(pane_of(*row));
    if (mistake.empty() && code != SQLITE_DONE) return database_.error("cannot read");
    if (mistake.empty()) mistake = book.finish();
    if (!mistake.empty()) return Error{"F626", fmt::format("{}: {}", database_.path(), mistake)};
    std::vector<LedgerPane>& panes = book.panes();
    std::stable_sort(panes.begin(), panes.end(), [](const LedgerPane& a, const LedgerPane& b) {
        return std::tie(a.type, a.key_fields, a.window_start) < std::tie(b.type, b.key_fields, b.window_start);
    });
    return std::move(panes);
}

Result<std::vector<DeadLetter>> LedgerLineage::dead_letters(const std::string& pipeline) {
    Result<SqliteStatement> row = database_.prepare(kDeadLetters);
    if (!row) return row.error();
    row->bind(1, pipeline);
    std::vector<DeadLetter> letters;
    int code = row->step();
    for (; code == SQLITE_ROW; code = row->step()) {
        DeadLetter& letter = letters.emplace_back();
        letter.source = row->text(0);
        letter.sequence = static_cast<std::uint64_t>(row->integer(1));
        letter.part = static_cast<std::uint32_t>(row->integer(2));
        letter.event_id = row->text(3);
        letter.reason = row->text(4);
        letter.text = row->text(5);
        letter.owner = row->text(6);
        letter.step = row->text(7);
    }
    if (code != SQLITE_DONE) return database_.error("cannot read");
    return letters;
}

}  // namespace takt
