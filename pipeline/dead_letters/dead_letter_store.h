#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/plan.h"
#include "pipeline/sqlite/sqlite_database.h"

namespace takt {

/// The dead letters of a pipeline as the daemon keeps them: those of every durable epoch, each exactly once, and how
/// retries ended. What people ask and order is in DeadLetterDesk; both may work on one file at once.
///
/// One thread. Errors: C620, E620, F626 as SqliteDatabase; C651.
class DeadLetterStore {
  public:
    /// What letters carry besides their epoch's own.
    struct Origin {
        std::string engine_version;
        std::string config_hash;
    };
    /// A file that is missing is made; its folder must exist. The plan must outlive the store.
    static Result<DeadLetterStore> open(const std::string& path, const Plan& plan, Origin origin);

    /// All epochs up to this one are in the store; 0: none.
    std::uint64_t last_epoch() const { return last_epoch_; }
    /// Adds a durable epoch: its dead letters, and the end of its retries. One that is there already changes nothing.
    /// `now`: wall clock, for the audit.
    Status apply(const EpochResult& epoch, std::uint64_t incarnation, Timestamp now);
    /// Everything up to last_epoch() survives a power cut when this returns; until then only a crash of the process.
    Status synchronize();
    /// A line of the audit by takt itself, of no entry.
    Status note(const std::string& what, Timestamp now);

  private:
    struct Statements {
        SqliteStatement add_entry, add_letter, set_letter, set_state, end_request, find_request, add_audit, set_epoch;
    };
    DeadLetterStore(SqliteDatabase database, const Plan& plan, Origin origin)
        : database_(std::move(database)), plan_(&plan), origin_(std::move(origin)) {}
    Status prepare();
    Status end_replay(const DeadLetterReplay& replay, OutcomeCode outcome, std::uint64_t epoch, Timestamp now);
    Status add_letter(const DeadLetter& letter, std::uint64_t place, std::uint64_t epoch, std::uint64_t incarnation);
    Status add_audit(std::int64_t entry, const std::string& what, Timestamp now);
    /// The entry whose retry this is; 0: none.
    Result<std::int64_t> entry_of(const std::string& source, std::uint64_t sequence, std::uint32_t part,
                                  std::uint32_t replay);

    SqliteDatabase database_;  // first: statements end before it
    const Plan* plan_;
    Origin origin_;
    Statements statements_;
    std::uint64_t last_epoch_ = 0;
    bool synchronized_ = false;
};

}  // namespace takt
