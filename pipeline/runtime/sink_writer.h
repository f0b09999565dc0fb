#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>

#include "pipeline/base/clock.h"
#include "pipeline/base/thread.h"
#include "pipeline/observe/engine_status.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/plan.h"
#include "pipeline/runtime/backoff.h"

namespace takt {

/// The thread that delivers epochs to one sink, in order, and tries again what failed or is unknown, with the same
/// keys; nothing is skipped. What the log knows to be settled is not sent again. A posting that corrects a refused or
/// parked one is not sent: it is parked, as those that correct it will be, until an order ends that.
class SinkWriter {
  public:
    struct Options {
        std::size_t queue_epochs = 8;  ///< epochs that may wait; then `push` blocks
        Backoff::Options retry;
        Clock* clock = nullptr;
    };
    /// Totals before the first epoch that is pushed, by outcome code; before `start`. Without it: none.
    void set_totals(std::vector<std::uint64_t> totals) { totals_ = std::move(totals); }
    /// What the log knows of this sink, and which run this is; before `start`. Without it everything is new.
    void resume(SinkPast past, const RunIdentity& run);
    /// Appends what the sink has said since the last call, for the frame of this epoch. Any thread.
    void take_answers(std::uint64_t epoch, SinkAnswers& answers);
    /// What was taken last is durable. The thread that takes.
    void answers_are_durable() { durable_.store(taken_, std::memory_order_release); }
    /// Whether a start would send something again, or not know something, that the next frame could tell it.
    bool has_answers() const;
    /// Whether it is something that people wait for: a refusal, or what became of an order.
    bool has_news() const;
    /// The last epoch that the log knows to be settled; 0: none. Any thread.
    std::uint64_t settled() const { return durable_.load(std::memory_order_acquire); }
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
    bool deliver_undelivered();
    bool follow_orders(const EpochResult& epoch);
    bool may_end_hold(const std::string& key, std::uint64_t epoch) const;
    void let_go(const std::string& key, bool send, std::vector<Posting>& pending);
    bool deliver_by_epoch(const std::vector<Posting>& postings, const std::function<void(std::uint64_t)>& on_epoch);
    bool deliver(const EpochResult& epoch);
    bool deliver_postings(std::vector<Posting> pending);
    void hold_back(std::vector<Posting>& pending);
    bool count_answers(const std::vector<Sink::Delivery>& answers, std::vector<Posting>& pending);
    SinkConfirmation confirmation(const Posting& posting, const Sink::Delivery& answer) const;
    void settle(std::uint64_t epoch, bool changed);
    bool summarize();
    bool until_done(const char* what, const std::function<Status()>& attempt);
    bool wait_to_retry(const char* what, const Error& error, Backoff& backoff);
    bool to_send(const Posting& posting) const;

    const SinkPlan& plan_;
    const OutcomeTable& outcomes_;
    const Options options_;
    const std::function<void()> on_progress_;
    const std::function<void(const Error&)> on_failure_;
    std::unique_ptr<Sink> sink_;         ///< the thread's, once started
    std::vector<std::uint64_t> totals_;  ///< the thread's; by outcome code

    SinkPast past_;    ///< does not change after `start`
    RunIdentity run_;  ///< the same
    struct Held {
        bool behind = false;  ///< it only waits behind an earlier revision
        std::uint32_t attempts = 0;
        std::shared_ptr<const Posting> posting;  ///< shared with the past
    };
    /// The thread's, as what follows: what is refused or parked, by key.
    std::unordered_map<std::string, Held> held_;
    std::unordered_map<std::string, std::uint32_t> attempts_before_;  ///< of what is sent again by order
    bool ordered_ = false;       ///< the thread's: what is delivered now was ordered, each answer counts
    std::uint32_t attempt_ = 0;  ///< the thread's: of the delivery under way, from 1

    struct Waiting {
        std::shared_ptr<const EpochResult> epoch;  ///< shared by the writers of all sinks
        Timestamp since = 0;
        std::uint64_t postings = 0;
    };
    mutable Mutex mutex_;
    Condition changed_;
    std::deque<Waiting> queue_;  ///< the front one is being delivered
    bool finishing_ = false;
    bool abandoned_ = false;
    std::optional<Timestamp> retries_until_;
    SinkStatus status_;
    std::vector<SinkConfirmation> said_;                 ///< refused and parked, not taken yet
    std::map<std::string, SinkConfirmation> part_said_;  ///< by key: of an epoch of which something is unknown
    /// By key, of what this run holds: the epoch whose frame says so; kNoFrame: none yet.
    std::unordered_map<std::string, std::uint64_t> held_since_;
    SinkPosition position_;
    bool changed_since_taken_ = false;  ///< an epoch that has something for the sink was settled

    std::uint64_t taken_ = 0;  ///< the epoch that was settled when answers were taken last; of the thread that takes
    std::atomic<std::uint64_t> durable_ = 0;

    Thread thread_;
};

}  // namespace takt
