#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "pipeline/base/clock.h"
#include "pipeline/base/thread.h"
#include "pipeline/observe/engine_status.h"
#include "pipeline/plan/plan.h"
#include "pipeline/runtime/backoff.h"

namespace takt {

/// The thread that reads one source ahead of the cutter, up to a limit of bytes.
class SourceReader {
  public:
    struct Options {
        Source::Limits limits;
        std::uint64_t queue_bytes = 16u << 20;  ///< read ahead at most; one block more may be under way
        Backoff::Options retry;
        Clock* clock = nullptr;
    };
    /// What the cutter must know; one moment.
    struct View {
        bool queued = false;
        bool ended = false;  ///< bounded input is read, or `error`
        std::optional<Timestamp>
            idle_since;  ///< monotonic; set while the source says that nothing is there and nothing is queued
        std::optional<Error> error;  ///< why it ended
    };

    /// `on_change`: called by the reader's thread, holding nothing, when the view may have changed. The plan must
    /// outlive the reader.
    SourceReader(const SourcePlan& plan, const Options& options, std::function<void()> on_change);
    ~SourceReader();

    /// Makes the connector and starts to read there; C errors come at once, E errors of `open` are retried for ever.
    Status start(const SourcePosition& position = {});
    /// Ends reading; what is queued stays. Returns when the thread has ended.
    void stop();
    /// The next block in order; null when none is queued.
    std::shared_ptr<const MessageBlock> take();
    View view() const;
    /// All but last_sequence. Any thread.
    SourceStatus status() const;

  private:
    void run();
    bool open();
    bool wait(Duration duration);
    void enter(SourceStatus::State state);
    void fail(const Error& error);
    void keep_order(MessageBlock& block);
    bool read_one();

    const SourcePlan& plan_;
    const Options options_;
    SourcePosition position_;  ///< to open at; set before the thread starts, then the thread's
    const std::function<void()> on_change_;
    std::unique_ptr<Source> source_;  ///< the thread's, once started; describe() is anybody's

    mutable Mutex mutex_;
    Condition changed_;
    bool stopping_ = false;
    std::deque<std::shared_ptr<const MessageBlock>> queue_;
    SourceStatus status_;
    std::optional<Error> error_;

    Thread thread_;
};

}  // namespace takt
