#include "pipeline/dead_letters/dead_letter_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "pipeline/dead_letters/dead_letter_schema.h"

namespace takt {
namespace {

/// A person's order holds the file for a moment only; the pipeline goes on without it meanwhile.
constexpr int kBusyMilliseconds = 250;

constexpr std::string_view kAutomatic = "takt";

/// SQLite synchronizes its files; that the folder knows the new one is our part.
Status synchronize_folder(const std::string& path) {
    const std::string folder = std::filesystem::path(path).parent_path().string();
    const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool good = descriptor >= 0 && ::fsync(descriptor) == 0;
    if (descriptor >= 0) ::close(descriptor);
    if (good) return {};
    return Error{"E620", fmt::format("cannot synchronize the folder of {}", path)};
}

/// What an entry is when its retry has ended so.
std::string_view state_after(const Outcome& outcome) {
    switch (outcome.kind) {
        case OutcomeKind::accepted:
            return "accepted";
        case OutcomeKind::duplicate:
            return "duplicate";
        case OutcomeKind::filtered:
            return "filtered";
        case OutcomeKind::undecided:  // no event
        case OutcomeKind::dead_letter:
            return "rejected";
    }
    check_failed("unknown outcome kind", __FILE__, __LINE__);
}

}  // namespace

Result<DeadLetterStore> DeadLetterStore::open(const std::string& path, const Plan& plan, Origin origin) {
    Result<SqliteDatabase> database = SqliteDatabase::open(path, SqliteDatabase::Mode::read_write);
    if (!database) return database.error();
    // Of the daemon's writes only the position must be synchronized: what is lost besides comes again from the journal.
    if (Status status = database->run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"); !status)
        return status.error();
    if (Status status = create_dead_letter_tables(*database); !status) return status.error();
    if (Status status = synchronize_folder(path); !status) return status.error();
    sqlite3_busy_timeout(database->handle(), kBusyMilliseconds);
    DeadLetterStore store(std::move(*database), plan, std::move(origin));
    if (Status status = store.prepare(); !status) return status.error();
    const Result<std::int64_t> last = store.database_.query_integer("SELECT value FROM meta WHERE name = 'last_epoch'");
    if (!last) return last.error();
    store.last_epoch_ = static_cast<std::uint64_t>(*last);
    return store;
}

Status DeadLetterStore::prepare() {
    const std::pair<SqliteStatement*, const char*> all[] = {
        {&statements_.add_entry,
         "INSERT INTO entry (source, sequence, part, of_source, state, letter) "
         "VALUES (?1, ?2, ?3, ?4, 'open', 0)"},
        {&statements_.add_letter,
         "INSERT INTO letter (entry, replay, epoch, place, subject, ingest_time, event_id, correlation_id, reason, "
         "text, owner, step, bytes, incarnation, engine_version, config_hash) "
         "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"},
        {&statements_.set_letter, "UPDATE entry SET letter = ?2 WHERE id = ?1"},
        {&statements_.set_state, "UPDATE entry SET state = ?2 WHERE id = ?1"},
        {&statements_.end_request,
         "UPDATE request SET epoch = ?3, outcome = ?4, rule = ?5 WHERE entry = ?1 AND replay = ?2"},
        // Sequences may begin anew with another stream of the same name: the latest entry is meant.
        {&statements_.find_request,
         "SELECT max(e.id) FROM entry e JOIN request r ON r.entry = e.id "
         "WHERE e.source = ?1 AND e.sequence = ?2 AND e.part = ?3 AND e.of_source AND r.replay = ?4"},
        {&statements_.add_audit, "INSERT INTO audit (time, entry, who, what) VALUES (?1, ?2, ?3, ?4)"},
        {&statements_.set_epoch, "UPDATE meta SET value = ?1 WHERE name = 'last_epoch'"}};
    for (const auto& [statement, sql] : all) {
        Result<SqliteStatement> made = database_.prepare(sql);
        if (!made) return made.error();
        *statement = std::move(*made);
    }
    return {};
}

Status DeadLetterStore::apply(const EpochResult& epoch, std::uint64_t incarnation, Timestamp now) {
    if (epoch.epoch <= last_epoch_) return {};
    CHECK(epoch.replay_outcomes.size() == epoch.cut.replays.size());
    if (!epoch.dead_letters.empty() || !epoch.cut.replays.empty()) {
        Status applied = database_.transaction([&]() -> Status {
            for (std::size_t i = 0; i < epoch.cut.replays.size(); ++i) {
                if (Status status = end_replay(epoch.cut.replays[i], epoch.replay_outcomes[i], epoch.epoch, now);
                    !status)
                    return status;
            }
            for (std::size_t i = 0; i < epoch.dead_letters.size(); ++i) {
                if (Status status = add_letter(epoch.dead_letters[i], i, epoch.epoch, incarnation); !status)
                    return status;
            }
            statements_.set_epoch.bind(1, static_cast<std::int64_t>(epoch.epoch));
            return database_.execute(statements_.set_epoch);
        });
        if (!applied) return applied;
    }
    last_epoch_ = epoch.epoch;
    synchronized_ = false;
    return {};
}

Status DeadLetterStore::end_replay(const DeadLetterReplay& replay, OutcomeCode outcome, std::uint64_t epoch,
                                   Timestamp now) {
    if (replay.source >= plan_->sources.size() || outcome >= plan_->outcomes.size()) {
        return Error{"F708", fmt::format("epoch {} has a retry that ended as nothing in this pipeline does", epoch)};
    }
    const std::string& source = plan_->sources[replay.source].name;
    const Result<std::int64_t> entry = entry_of(source, replay.sequence, replay.part, replay.replay);
    if (!entry) return entry.error();
    // A store that was lost and made anew does not know what was ordered of the one before.
    if (*entry == 0) return {};
    const Outcome& ended = plan_->outcomes.at(outcome);
    const std::string_view state = state_after(ended);
    const std::string_view rule = outcome == kUndecided ? std::string_view("NO_EVENT") : ended.rule;
    const std::string_view name = outcome == kUndecided ? std::string_view("dead_letter") : to_string(ended.kind);
    SqliteStatement& end = statements_.end_request;
    end.bind(1, *entry);
    end.bind(2, static_cast<std::int64_t>(replay.replay));
    end.bind(3, static_cast<std::int64_t>(epoch));
    end.bind(4, name);
    end.bind_or_null(5, rule);
    if (Status status = database_.execute(end); !status) return status;
    statements_.set_state.bind(1, *entry);
    statements_.set_state.bind(2, state);
    if (Status status = database_.execute(statements_.set_state); !status) return status;
    return add_audit(
        *entry,
        fmt::format("retry {} ended in epoch {}: {}{}{}", replay.replay, epoch, state, rule.empty() ? "" : ", ", rule),
        now);
}

Result<std::int64_t> DeadLetterStore::entry_of(const std::string& source, std::uint64_t sequence, std::uint32_t part,
                                               std::uint32_t replay) {
    SqliteStatement& find = statements_.find_request;
    find.bind(1, source);
    find.bind(2, static_cast<std::int64_t>(sequence));
    find.bind(3, static_cast<std::int64_t>(part));
    find.bind(4, static_cast<std::int64_t>(replay));
    const int code = find.step();
    const Result<std::int64_t> entry = code == SQLITE_ROW ? Result<std::int64_t>(find.integer(0))  // NULL is 0
                                                          : Result<std::int64_t>(database_.error("cannot read"));
    find.reset();
    return entry;
}

Status DeadLetterStore::add_letter(const DeadLetter& letter, std::uint64_t place, std::uint64_t epoch,
                                   std::uint64_t incarnation) {
    std::int64_t entry = 0;
    if (letter.replay > 0) {
        const Result<std::int64_t> known = entry_of(letter.source, letter.sequence, letter.part, letter.replay);
        if (!known) return known.error();
        entry = *known;
    }
    if (entry == 0) {
        const bool of_source = std::any_of(plan_->sources.begin(), plan_->sources.end(),
                                           [&](const SourcePlan& source) { return source.name == letter.source; });
        SqliteStatement& add = statements_.add_entry;
        add.bind(1, letter.source);
        add.bind(2, static_cast<std::int64_t>(letter.sequence));
        add.bind(3, static_cast<std::int64_t>(letter.part));
        add.bind(4, std::int64_t{of_source ? 1 : 0});
        if (Status status = database_.execute(add); !status) return status;
        entry = database_.last_row();
    }
    const std::string ingest_time = format_timestamp(letter.ingest_time);
    SqliteStatement& add = statements_.add_letter;
    add.bind(1, entry);
    add.bind(2, static_cast<std::int64_t>(letter.replay));
    add.bind(3, static_cast<std::int64_t>(epoch));
    add.bind(4, static_cast<std::int64_t>(place));
    add.bind_or_null(5, letter.subject);
    add.bind(6, ingest_time);
    add.bind_or_null(7, letter.event_id);
    add.bind_or_null(8, letter.correlation_id);
    add.bind(9, letter.reason);
    add.bind_or_null(10, letter.text);
    add.bind_or_null(11, letter.owner);
    add.bind_or_null(12, letter.step);
    add.bind_blob(13, letter.bytes);
    add.bind(14, static_cast<std::int64_t>(incarnation));
    add.bind(15, origin_.engine_version);
    add.bind(16, origin_.config_hash);
    if (Status status = database_.execute(add); !status) return status;
    statements_.set_letter.bind(1, entry);
    statements_.set_letter.bind(2, database_.last_row());
    return database_.execute(statements_.set_letter);
}

Status DeadLetterStore::add_audit(std::int64_t entry, const std::string& what, Timestamp now) {
    const std::string time = format_timestamp(now);
    SqliteStatement& add = statements_.add_audit;
    add.bind(1, time);
    if (entry > 0) {
        add.bind(2, entry);
    } else {
        add.bind_null(2);
    }
    add.bind(3, kAutomatic);
    add.bind(4, what);
    return database_.execute(add);
}

Status DeadLetterStore::note(const std::string& what, Timestamp now) {
    return add_audit(0, what, now);
}

Status DeadLetterStore::synchronize() {
    if (synchronized_) return {};
    // FULL synchronizes the write-ahead log, and with it all that was committed before. The counter makes sure that
    // there is something to write.
    if (Status status = database_.run("PRAGMA synchronous = FULL"); !status) return status;
    const Status written = database_.transaction([&]() -> Status {
        statements_.set_epoch.bind(1, static_cast<std::int64_t>(last_epoch_));
        if (Status status = database_.execute(statements_.set_epoch); !status) return status;
        return database_.run("UPDATE meta SET value = value + 1 WHERE name = 'synchronized'");
    });
    const Status back = database_.run("PRAGMA synchronous = NORMAL");
    if (!written) return written;
    synchronized_ = back.ok();
    return back;
}

}  // namespace takt
