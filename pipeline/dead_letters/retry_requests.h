#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/plan.h"
#include "pipeline/sqlite/sqlite_database.h"

namespace takt {

/// The retries that people have ordered in a dead-letter store and no epoch has taken yet. One thread, beside those of
/// DeadLetterStore and DeadLetterDesk.
class RetryRequests {
  public:
    /// Bytes of events that one epoch takes at most, so that its frame stays small; one event always goes.
    static constexpr std::size_t kMostBytes = 4u << 20;
    static constexpr std::size_t kMostEvents = 10'000;

    /// The file must be a store. The plan must outlive the object.
    static Result<RetryRequests> open(const std::string& path, const Plan& plan);

    /// The next ones in the order in which they were ordered, each once in the life of this object. Costs next to
    /// nothing where the file has not changed since the last call.
    Result<std::vector<DeadLetterReplay>> take();

  private:
    RetryRequests(SqliteDatabase database, SqliteStatement select, const Plan& plan)
        : database_(std::move(database)), select_(std::move(select)), plan_(&plan) {}
    DeadLetterReplay read();

    SqliteDatabase database_;  // first: the statement ends before it
    SqliteStatement select_;
    const Plan* plan_;
    std::int64_t taken_ = 0;     ///< the last request that was looked at
    std::int64_t version_ = -1;  ///< of the file when nothing was left
};

}  // namespace takt
