#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "pipeline/base/clock.h"
#include "pipeline/dead_letters/dead_letter_store.h"
#include "pipeline/dead_letters/retry_requests.h"
#include "pipeline/plan/epoch_log.h"

namespace takt {

/// A log of epochs with a store of their dead letters beside it. An epoch goes into the store when it is durable in the
/// log; what a crash has kept from it is made up for at recovery, because the log keeps every epoch that the store does
/// not have. Retries that were ordered in the store become control inputs of epochs.
class DeadLetterLog final : public EpochLog {
  public:
    struct Options {
        std::uint64_t incarnation = 1;  ///< of this run
        DeadLetterStore::Origin origin = {};
        Clock* clock = &system_clock();
        /// Dead letters that may wait while the store cannot be written; with more the pipeline stops.
        std::size_t waiting_bytes = 64u << 20;
    };

    /// `path`: of the store, in the state directory that `log` owns. The log and the plan must outlive the object.
    static Result<std::unique_ptr<DeadLetterLog>> open(EpochLog& log, const std::string& path, const Plan& plan,
                                                       const Options& options);

    Result<Past> recover() override;
    /// Besides the log's errors: those of DeadLetterStore, E620 only when too much waits.
    Status append(const EpochResult& epoch, const SinkAnswers& answers) override;
    Status snapshot(const EngineState& state, std::uint64_t delivered) override;
    Status end() override { return log_.end(); }
    std::vector<DeadLetterReplay> take_replays() override;
    std::vector<HoldOrder> take_orders() override { return log_.take_orders(); }

  private:
    DeadLetterLog(EpochLog& log, DeadLetterStore store, RetryRequests requests, const Options& options)
        : log_(log), store_(std::move(store)), requests_(std::move(requests)), options_(options) {}
    Status keep(const EpochResult& epoch);

    EpochLog& log_;
    std::mutex mutex_;  ///< of the store and what waits for it: `append` and `snapshot` may run at once
    DeadLetterStore store_;
    std::deque<EpochResult> waiting_;  ///< what the store needs of epochs that it could not take, in order
    std::size_t waiting_bytes_ = 0;
    RetryRequests requests_;  ///< of the thread that cuts
    const Options options_;
};

}  // namespace takt
