#include "pipeline/dead_letters/retry_requests.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/dead_letters/dead_letter_schema.h"
#include "pipeline/observe/log.h"

namespace takt {
namespace {

constexpr const char* kSelect =
    "SELECT r.id, {}, r.who, r.why, e.id "
    "FROM request r JOIN entry e ON e.id = r.entry JOIN letter l ON l.id = e.letter "
    "WHERE r.epoch IS NULL AND r.id > ?1 ORDER BY r.id";

}  // namespace

Result<RetryRequests> RetryRequests::open(const std::string& path, const Plan& plan) {
    Result<SqliteDatabase> database = SqliteDatabase::open(path, SqliteDatabase::Mode::read_only);
    if (!database) return database.error();
    sqlite3_busy_timeout(database->handle(), 50);  // the next look is soon
    Result<SqliteStatement> select = database->prepare(fmt::format(kSelect, kReplayColumns));
    if (!select) return select.error();
    return RetryRequests(std::move(*database), std::move(*select), plan);
}

DeadLetterReplay RetryRequests::read() {
    DeadLetterReplay replay = read_replay(select_, 1);
    replay.who = select_.text(8);
    replay.why = select_.text(9);
    return replay;
}

Result<std::vector<DeadLetterReplay>> RetryRequests::take() {
    // Changes with every commit of another connection.
    const Result<std::int64_t> version = database_.query_integer("PRAGMA data_version");
    if (!version) return version.error();
    std::vector<DeadLetterReplay> replays;
    if (*version == version_) return replays;
    std::size_t bytes = 0;
    select_.bind(1, taken_);
    int code = select_.step();
    for (; code == SQLITE_ROW && bytes < kMostBytes && replays.size() < kMostEvents; code = select_.step()) {
        taken_ = select_.integer(0);
        const std::string_view name = select_.text(1);
        const auto source = std::find_if(plan_->sources.begin(), plan_->sources.end(),
                                         [&](const SourcePlan& one) { return one.name == name; });
        if (source == plan_->sources.end()) {
            log(LogLevel::warning, "a retry waits: its source is not in this pipeline",
                {{"entry", std::to_string(select_.integer(10))}, {"source", std::string(name)}});
            continue;
        }
        replays.push_back(read());
        replays.back().source = source->index;
        bytes += replays.back().data.size();
    }
    const bool all = code == SQLITE_DONE;
    Status status = all || code == SQLITE_ROW ? Status() : Status(database_.error("cannot read"));
    select_.reset();
    if (!status && replays.empty()) return status.error();
    version_ = all ? *version : -1;
    return replays;
}

}  // namespace takt
