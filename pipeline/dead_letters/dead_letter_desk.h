#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/posting.h"
#include "pipeline/sqlite/sqlite_database.h"

namespace takt {

/// Where an event that was refused stands.
enum class EntryState : std::uint8_t {
    open,       ///< refused, and nobody has decided anything
    replayed,   ///< a retry was ordered, and has not ended
    accepted,   ///< a retry was accepted: it has its effect, once
    duplicate,  ///< a retry was found to be in already, by another message
    filtered,   ///< a retry was left out by a rule
    rejected,   ///< a retry was refused again
    discarded,  ///< by a person, for good
};
constexpr int kEntryStates = static_cast<int>(EntryState::discarded) + 1;
/// "open", "replayed", ...
std::string_view to_string(EntryState state);
std::optional<EntryState> parse_entry_state(std::string_view text);

/// An event that was refused, or a row that panes made.
struct DeadLetterEntry {
    std::int64_t id = 0;
    EntryState state = EntryState::open;
    bool of_source = true;          ///< false: a row of panes; it cannot be retried
    DeadLetter letter;              ///< how it was refused last; `bytes` as they were then
    std::uint64_t incarnation = 0;  ///< of that
    std::string engine_version;
    std::string config_hash;
};

/// What happened to an entry.
struct DeadLetterHistory {
    struct Retry {
        std::uint32_t replay = 1;
        bool edited = false;
        std::string data;  ///< of an edited one: what was sent instead
        std::string who;
        std::string why;
        std::string time;
        std::uint64_t epoch = 0;  ///< that took it; 0: none yet
        std::string outcome;      ///< "accepted", ...; empty: not yet
        std::string rule;
    };
    struct Line {
        std::string time;
        std::string who;
        std::string what;
        std::string why;
    };
    std::vector<DeadLetterEntry> refusals;  ///< each time that it was refused, the first one first
    std::vector<Retry> retries;
    std::vector<Line> audit;
};

/// A retry that was accepted.
struct AcceptedRetry {
    std::string source;       ///< its name in the config
    DeadLetterReplay event;   ///< as it took effect, at the place where it came first; without source, who and why
    std::uint64_t epoch = 0;  ///< that took it
};

/// Which entries; empty members let all pass.
struct DeadLetterFilter {
    std::vector<std::int64_t> ids = {};
    std::string reason = {};  ///< of the last refusal
    std::string owner = {};
    std::optional<EntryState> state = {};
    std::int64_t limit = 0;  ///< at most, the oldest first; 0: all
};

/// Who orders something, why, and when (wall clock).
struct DeadLetterOrder {
    std::string who;
    std::string why;
    Timestamp time = 0;
};

/// What people ask of a pipeline's dead letters and order, also while the pipeline runs. One thread.
///
/// Errors: C620 the file cannot be opened, E620 it is busy or its disk failed, F626 it is damaged; C650 there is none;
/// C651 it is no store of this version.
class DeadLetterDesk {
  public:
    /// Of the pipeline with this state directory.
    static Result<DeadLetterDesk> open(const std::string& state_folder);
    /// By source and place; the file is only read. The errors of `open`.
    static Result<std::vector<AcceptedRetry>> accepted_retries(const std::string& state_folder);

    /// By id. C652: an id of the filter is none.
    Result<std::vector<DeadLetterEntry>> list(const DeadLetterFilter& filter);
    /// C652.
    Result<DeadLetterHistory> history(std::int64_t id);

    /// Orders one more way through the pipeline for each entry, all or none: of those that the filter names by id, or
    /// of those that are open or rejected and fit it. `edited`: read instead of the event as it was refused last. How
    /// many. C652. C653: one that is named cannot be retried: it was accepted or discarded, waits already, or is no
    /// event.
    Result<std::uint64_t> retry(const DeadLetterFilter& filter, const std::optional<std::string>& edited,
                                const DeadLetterOrder& order);
    /// Closes entries for good, likewise. C653: it was accepted or discarded, or a retry waits. `nobody_runs`: the
    /// caller holds the lock of the state directory, so a retry that waits for one that is named is taken back.
    Result<std::uint64_t> discard(const DeadLetterFilter& filter, const DeadLetterOrder& order,
                                  bool nobody_runs = false);

  private:
    explicit DeadLetterDesk(SqliteDatabase database) : database_(std::move(database)) {}
    static Result<DeadLetterDesk> open(const std::string& state_folder, SqliteDatabase::Mode mode);
    Result<std::vector<DeadLetterEntry>> select(const std::string& where, const DeadLetterFilter& filter);
    /// Entries that may get an order. Within a transaction.
    Result<std::vector<DeadLetterEntry>> chosen(const DeadLetterFilter& filter, std::string_view order,
                                                bool nobody_runs);
    Status order_retry(const DeadLetterEntry& entry, const std::optional<std::string>& edited,
                       const DeadLetterOrder& order);
    Status take_back(const DeadLetterEntry& entry, const DeadLetterOrder& order);
    Status set_state(std::int64_t entry, EntryState state);
    Status add_audit(std::int64_t entry, const std::string& what, const DeadLetterOrder& order);

    SqliteDatabase database_;
};

}  // namespace takt
