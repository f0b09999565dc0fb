#include "pipeline/dead_letters/dead_letter_desk.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "pipeline/dead_letters/dead_letter_schema.h"

namespace takt {
namespace {

constexpr std::array<std::string_view, kEntryStates> kStateNames = {"open",     "replayed", "accepted", "duplicate",
                                                                    "filtered", "rejected", "discarded"};

const char* const kColumns =
    "SELECT e.id, e.state, e.of_source, e.source, e.sequence, e.part, l.replay, l.epoch, l.subject, l.ingest_time, "
    "l.event_id, l.correlation_id, l.reason, l.text, l.owner, l.step, l.bytes, l.incarnation, l.engine_version, "
    "l.config_hash FROM entry e JOIN letter l ON ";

DeadLetterEntry read_entry(const SqliteStatement& row) {
    DeadLetterEntry entry;
    entry.id = row.integer(0);
    entry.state = parse_entry_state(row.text(1)).value_or(EntryState::open);
    entry.of_source = row.integer(2) != 0;
    DeadLetter& letter = entry.letter;
    letter.source = row.text(3);
    letter.sequence = static_cast<std::uint64_t>(row.integer(4));
    letter.part = static_cast<std::uint32_t>(row.integer(5));
    letter.replay = static_cast<std::uint32_t>(row.integer(6));
    letter.epoch = static_cast<std::uint64_t>(row.integer(7));
    letter.subject = row.text(8);
    letter.ingest_time = parse_timestamp(row.text(9)).value_or(0);
    letter.event_id = row.text(10);
    letter.correlation_id = row.text(11);
    letter.reason = row.text(12);
    letter.text = row.text(13);
    letter.owner = row.text(14);
    letter.step = row.text(15);
    letter.bytes = row.blob(16);
    entry.incarnation = static_cast<std::uint64_t>(row.integer(17));
    entry.engine_version = row.text(18);
    entry.config_hash = row.text(19);
    return entry;
}

/// Calls `read` for each row.
template <typename Read>
Status each_row(SqliteDatabase& database, SqliteStatement& statement, Read read) {
    int code = statement.step();
    for (; code == SQLITE_ROW; code = statement.step()) read(statement);
    return code == SQLITE_DONE ? Status() : Status(database.error("cannot read"));
}

Error no_such_entry(std::int64_t id) {
    return {"C652", fmt::format("there is no dead letter {}", id)};
}

/// Why an entry cannot be retried or discarded; empty: it can.
std::string_view objection(const DeadLetterEntry& entry, bool retry, bool nobody_runs) {
    switch (entry.state) {
        case EntryState::accepted:
            return "it was accepted already, and has its effect";
        case EntryState::discarded:
            return "it was discarded";
        case EntryState::replayed:
            if (!retry && nobody_runs) break;
            return "a retry was ordered and has not ended yet";
        case EntryState::open:
        case EntryState::rejected:
        case EntryState::duplicate:
        case EntryState::filtered:
            break;
    }
    if (retry && !entry.of_source)
        return "it is no event but a row that a step made of several; correct the events that it is made of";
    return {};
}

/// Whether a filter without ids means this entry: what somebody must still act on.
bool is_waiting(const DeadLetterEntry& entry, bool retry) {
    return (entry.state == EntryState::open || entry.state == EntryState::rejected) && (!retry || entry.of_source);
}

constexpr std::string_view kRetry = "retried";
constexpr std::string_view kDiscard = "discarded";

}  // namespace

std::string_view to_string(EntryState state) {
    return kStateNames[static_cast<std::size_t>(state)];
}

std::optional<EntryState> parse_entry_state(std::string_view text) {
    const auto found = std::find(kStateNames.begin(), kStateNames.end(), text);
    if (found == kStateNames.end()) return std::nullopt;
    return static_cast<EntryState>(found - kStateNames.begin());
}

Result<DeadLetterDesk> DeadLetterDesk::open(const std::string& state_folder, SqliteDatabase::Mode mode) {
    const std::string path = dead_letter_path(state_folder);
    const Error missing{"C650", fmt::format("there is no {}: name the folder that the pipeline is run with (--state); "
                                            "it makes the file when it starts",
                                            path)};
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return missing;
    Result<SqliteDatabase> database = SqliteDatabase::open(path, mode);
    if (!database) return database.error();
    const Result<std::int64_t> objects = database->query_integer("SELECT count(*) FROM sqlite_schema");
    if (!objects) return objects.error();
    if (*objects == 0) return missing;  // it is being made
    if (Status status = check_dead_letter_tables(*database); !status) return status.error();
    return DeadLetterDesk(std::move(*database));
}

Result<DeadLetterDesk> DeadLetterDesk::open(const std::string& state_folder) {
    Result<DeadLetterDesk> desk = open(state_folder, SqliteDatabase::Mode::read_write);
    if (!desk) return desk;
    if (Status status = desk->database_.run("PRAGMA synchronous = FULL"); !status) return status.error();
    return desk;
}

Result<std::vector<DeadLetterEntry>> DeadLetterDesk::select(const std::string& where, const DeadLetterFilter& filter) {
    Result<SqliteStatement> statement = database_.prepare(
        fmt::format("{}{} AND (?1 = '' OR l.reason = ?1) AND (?2 = '' OR l.owner = ?2) AND (?3 = '' OR e.state = ?3) "
                    "ORDER BY e.id, l.replay LIMIT iif(?4 = 0, -1, ?4)",
                    kColumns, where));
    if (!statement) return statement.error();
    statement->bind(1, filter.reason);
    statement->bind(2, filter.owner);
    statement->bind(3, filter.state ? to_string(*filter.state) : "");
    statement->bind(4, filter.limit);
    std::vector<DeadLetterEntry> entries;
    const Status read =
        each_row(database_, *statement, [&](const SqliteStatement& row) { entries.push_back(read_entry(row)); });
    if (!read) return read.error();
    return entries;
}

Result<std::vector<DeadLetterEntry>> DeadLetterDesk::list(const DeadLetterFilter& filter) {
    if (filter.ids.empty()) return select("l.id = e.letter", filter);
    std::vector<DeadLetterEntry> entries;
    for (const std::int64_t id : filter.ids) {
        const auto is_this = [&](const DeadLetterEntry& entry) { return entry.id == id; };
        if (std::any_of(entries.begin(), entries.end(), is_this)) continue;
        const Result<std::vector<DeadLetterEntry>> found =
            select(fmt::format("l.id = e.letter AND e.id = {}", id), DeadLetterFilter{});
        if (!found) return found.error();
        if (found->empty()) return no_such_entry(id);
        entries.push_back(found->front());
    }
    return entries;
}

Result<DeadLetterHistory> DeadLetterDesk::history(std::int64_t id) {
    DeadLetterHistory history;
    Result<std::vector<DeadLetterEntry>> refusals = select(fmt::format("l.entry = e.id AND e.id = {}", id), {});
    if (!refusals) return refusals.error();
    if (refusals->empty()) return no_such_entry(id);
    history.refusals = std::move(*refusals);

    Result<SqliteStatement> retries = database_.prepare(
        "SELECT replay, data IS NOT NULL, data, who, why, time, epoch, outcome, rule FROM request WHERE entry = ?1 "
        "ORDER BY replay");
    if (!retries) return retries.error();
    retries->bind(1, id);
    Status read = each_row(database_, *retries, [&](const SqliteStatement& row) {
        history.retries.push_back({static_cast<std::uint32_t>(row.integer(0)), row.integer(1) != 0,
                                   std::string(row.blob(2)), std::string(row.text(3)), std::string(row.text(4)),
                                   std::string(row.text(5)), static_cast<std::uint64_t>(row.integer(6)),
                                   std::string(row.text(7)), std::string(row.text(8))});
    });
    if (!read) return read.error();

    Result<SqliteStatement> audit =
        database_.prepare("SELECT time, who, what, why FROM audit WHERE entry = ?1 ORDER BY id");
    if (!audit) return audit.error();
    audit->bind(1, id);
    read = each_row(database_, *audit, [&](const SqliteStatement& row) {
        history.audit.push_back(
            {std::string(row.text(0)), std::string(row.text(1)), std::string(row.text(2)), std::string(row.text(3))});
    });
    if (!read) return read.error();
    return history;
}

Result<std::vector<AcceptedRetry>> DeadLetterDesk::accepted_retries(const std::string& state_folder) {
    Result<DeadLetterDesk> desk = open(state_folder, SqliteDatabase::Mode::read_only);
    if (!desk) return desk.error();
    // Sequences may begin anew with another stream of the same name: the latest entry of a place is meant.
    Result<SqliteStatement> statement = desk->database_.prepare(
        fmt::format("SELECT {}, r.epoch "
                    "FROM request r JOIN entry e ON e.id = r.entry JOIN letter l ON l.id = e.letter "
                    "WHERE r.outcome = 'accepted' AND e.id = (SELECT max(id) FROM entry latest WHERE latest.source = "
                    "e.source AND latest.sequence = e.sequence AND latest.part = e.part) "
                    "ORDER BY e.source, e.sequence, e.part",
                    kReplayColumns));
    if (!statement) return statement.error();
    std::vector<AcceptedRetry> retries;
    const Status read = each_row(desk->database_, *statement, [&](const SqliteStatement& row) {
        retries.push_back({std::string(row.text(0)), read_replay(row, 0), static_cast<std::uint64_t>(row.integer(7))});
    });
    if (!read) return read.error();
    return retries;
}

Result<std::vector<DeadLetterEntry>> DeadLetterDesk::chosen(const DeadLetterFilter& filter, std::string_view order,
                                                            bool nobody_runs) {
    const bool retry = order == kRetry;
    const bool named = !filter.ids.empty();
    DeadLetterFilter unlimited = filter;
    if (!named) unlimited.limit = 0;  // of those that may get it
    Result<std::vector<DeadLetterEntry>> entries = list(unlimited);
    if (!entries) return entries;
    if (!named) {
        std::erase_if(*entries, [&](const DeadLetterEntry& entry) { return !is_waiting(entry, retry); });
        if (filter.limit > 0 && entries->size() > static_cast<std::size_t>(filter.limit))
            entries->resize(static_cast<std::size_t>(filter.limit));
        return entries;
    }
    for (const DeadLetterEntry& entry : *entries) {
        const std::string_view why_not = objection(entry, retry, nobody_runs);
        if (!why_not.empty())
            return Error{"C653", fmt::format("dead letter {} cannot be {}: {}", entry.id, order, why_not)};
    }
    return entries;
}

Status DeadLetterDesk::set_state(std::int64_t entry, EntryState state) {
    Result<SqliteStatement> update = database_.prepare("UPDATE entry SET state = ?2 WHERE id = ?1");
    if (!update) return update.error();
    update->bind(1, entry);
    update->bind(2, to_string(state));
    return database_.execute(*update);
}

Status DeadLetterDesk::add_audit(std::int64_t entry, const std::string& what, const DeadLetterOrder& order) {
    Result<SqliteStatement> insert =
        database_.prepare("INSERT INTO audit (time, entry, who, what, why) VALUES (?1, ?2, ?3, ?4, ?5)");
    if (!insert) return insert.error();
    const std::string time = format_timestamp(order.time);
    insert->bind(1, time);
    insert->bind(2, entry);
    insert->bind(3, order.who);
    insert->bind(4, what);
    insert->bind_or_null(5, order.why);
    return database_.execute(*insert);
}

Status DeadLetterDesk::order_retry(const DeadLetterEntry& entry, const std::optional<std::string>& edited,
                                   const DeadLetterOrder& order) {
    Result<SqliteStatement> insert = database_.prepare(
        "INSERT INTO request (entry, replay, data, who, why, time) "
        "SELECT ?1, 1 + count(*), ?2, ?3, ?4, ?5 FROM request WHERE entry = ?1");
    if (!insert) return insert.error();
    const std::string time = format_timestamp(order.time);
    insert->bind(1, entry.id);
    if (edited) {
        insert->bind_blob(2, *edited);
    } else {
        insert->bind_null(2);
    }
    insert->bind(3, order.who);
    insert->bind_or_null(4, order.why);
    insert->bind(5, time);
    if (Status status = database_.execute(*insert); !status) return status;
    if (Status status = set_state(entry.id, EntryState::replayed); !status) return status;
    return add_audit(entry.id, edited ? "retry ordered, with an edited event" : "retry ordered", order);
}

Result<std::uint64_t> DeadLetterDesk::retry(const DeadLetterFilter& filter, const std::optional<std::string>& edited,
                                            const DeadLetterOrder& order) {
    std::uint64_t count = 0;
    const Status done = database_.transaction([&]() -> Status {
        const Result<std::vector<DeadLetterEntry>> entries = chosen(filter, kRetry, false);
        if (!entries) return entries.error();
        CHECK(!edited || entries->size() <= 1);
        for (const DeadLetterEntry& entry : *entries) {
            if (Status status = order_retry(entry, edited, order); !status) return status;
        }
        count = entries->size();
        return {};
    });
    if (!done) return done.error();
    return count;
}

/// Where it was in a frame after all, the next start finds it there and ends it so.
Status DeadLetterDesk::take_back(const DeadLetterEntry& entry, const DeadLetterOrder& order) {
    Result<SqliteStatement> update =
        database_.prepare("UPDATE request SET epoch = 0, outcome = 'TAKEN_BACK' WHERE entry = ?1 AND epoch IS NULL");
    if (!update) return update.error();
    update->bind(1, entry.id);
    if (Status status = database_.execute(*update); !status) return status;
    return add_audit(entry.id, "retry taken back", order);
}

Result<std::uint64_t> DeadLetterDesk::discard(const DeadLetterFilter& filter, const DeadLetterOrder& order,
                                              bool nobody_runs) {
    std::uint64_t count = 0;
    const Status done = database_.transaction([&]() -> Status {
        const Result<std::vector<DeadLetterEntry>> entries = chosen(filter, kDiscard, nobody_runs);
        if (!entries) return entries.error();
        for (const DeadLetterEntry& entry : *entries) {
            if (entry.state == EntryState::replayed) {
                if (Status status = take_back(entry, order); !status) return status;
            }
            if (Status status = set_state(entry.id, EntryState::discarded); !status) return status;
            if (Status status = add_audit(entry.id, "discarded", order); !status) return status;
        }
        count = entries->size();
        return {};
    });
    if (!done) return done.error();
    return count;
}

}  // namespace takt
