#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "pipeline/base/clock.h"
#include "pipeline/observe/engine_status.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/plan.h"
#include "pipeline/runtime/backoff.h"

namespace takt {

/// The thread that delivers epochs to one sink, in order, and tries again what failed or is unknown, with the same
/// keys; nothing is skipped.
class SinkWriter {
  public:
    struct Options {
        std::size_t queue_epochs = 8;  ///< epochs that may wait; then `push` blocks
        Backoff::Options retry;
        Clock* clock = nullptr;
    };
    /// Totals before the first epoch that is pushed, by outcome code; before `start`. Without it: none.
    void set_totals(std::vector<std::uint64_t> totals) { totals_ = std::move(totals); }
    /// The last epoch that was delivered with all that belongs to it; 0: none. Any thread.
    std::uint64_t delivered() const { return delivered_.load(std::memory_order_acquire); }
    /// `on_progress`: the sink took something. `on_failure`: it never will (C, D or F error, or the time given to
    /// retries is over); called once, then the writer is dead. Both on the writer's thread, which holds nothing. The
    /// plan must outlive the writer.
    SinkWriter(const SinkPlan& plan, const OutcomeTable& outcomes, const Options& options,
               std::function<void()> on_progress, std::function<void(const Error&)> on_failure);
    /// Abandons what is left.
    ~SinkWriter();

    /// Makes the connector and starts; C errors come at once.
    Status start();
    /// Blocks while the queue is full. False: the writer was abandoned and took nothing.
    bool push(std::shared_ptr<const EpochResult> epoch);
    /// No further epoch comes. Returns when everything is delivered and the sink has finished, or the writer is dead.
    void finish();
    /// From this moment (monotonic) on a failed attempt is final.
    void limit_retries(Timestamp until);
    /// Ends as soon as the call under way returns. Any thread.
    void abandon();
    SinkStatus status() const;

  private:
    void run();
    bool deliver(const EpochResult& epoch);
    bool deliver_postings(const EpochResult& epoch);
    bool count_answers(const std::vector<Sink::Delivery>& answers, std::vector<Posting>& pending);
    bool summarize();
    bool until_done(const char* what, const std::function<Status()>& attempt);
    bool wait_to_retry(const char* what, const Error& error, Backoff& backoff);
    bool wants(const Posting& posting) const;

    const SinkPlan& plan_;
    const OutcomeTable& outcomes_;
    const Options options_;
    const std::function<void()> on_progress_;
    const std::function<void(const Error&)> on_failure_;
    std::unique_ptr<Sink> sink_;         ///< the thread's, once started
    std::vector<std::uint64_t> totals_;  ///< the thread's; by outcome code

    std::atomic<std::uint64_t> delivered_ = 0;

    struct Waiting {
        std::shared_ptr<const EpochResult> epoch;  ///< shared by the writers of all sinks
        Timestamp since = 0;
        std::uint64_t postings = 0;
    };
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Waiting> queue_;  ///< the front one is being delivered
    bool finishing_ = false;
    bool abandoned_ = false;
    std::optional<Timestamp> retries_until_;
    SinkStatus status_;

    std::thread thread_;
};

}  // namespace takt
