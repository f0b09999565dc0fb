#pragma once

#include <cstdint>
#include <memory>

#include "pipeline/base/clock.h"
#include "pipeline/base/result.h"
#include "pipeline/observe/engine_status.h"
#include "pipeline/plan/epoch_log.h"
#include "pipeline/plan/plan.h"
#include "pipeline/runtime/backoff.h"

namespace takt {

/// A pipeline as a daemon: readers, the cutter, the core, a thread that makes epochs durable and releases them, and a
/// writer for each sink. While an epoch waits for the disk, the core makes the next two.
///
/// Epochs end by plan.epoch after their first message, at exactly plan.epoch_messages messages, or at plan.epoch_bytes,
/// whatever comes first. Inside an epoch the order is (source index, sequence). Every queue is bounded: a sink that
/// does not take its postings stops the cutter, then the readers. An epoch is released to all sinks at once, and, where
/// there is a log, only when it is durable there.
///
/// With a log, a run goes on where the one before ended, however it ended: it takes the newest snapshot, makes the
/// epochs after it again from their messages, compares each with the log, and delivers again what a sink may not have
/// got. Sinks must take a posting that comes again for the same one.
class Engine {
  public:
    struct Options {
        std::uint32_t lanes = 0;    ///< 0: the plan's, and where that says nothing as many as cores
        std::uint32_t threads = 0;  ///< 0: as many as cores
        Source::Limits read;
        std::uint64_t source_queue_bytes = 16u << 20;
        std::size_t sink_queue_epochs = 8;
        Backoff::Options retry;
        Duration drain_limit = 30 * kSecond;  ///< how long sinks may take after a stop was requested
        Clock* clock = &system_clock();       ///< must outlive the engine
        /// Makes epochs durable before they are released, and gives back those before; must outlive the engine. Null:
        /// nothing survives the run.
        EpochLog* log = nullptr;
        /// Between two snapshots of the state, where there is a log; longer where a snapshot takes more than a tenth of
        /// it.
        Duration snapshot_interval = 30 * kSecond;
    };

    /// The plan must outlive the engine.
    Engine(const Plan& plan, const Options& options);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// Runs until bounded input is at its end (all windows close), a stop was requested (they do not), or an error.
    /// Call once. When it returns success, everything that was read is classified and delivered.
    Status run();
    /// First call: readers stop, what was read is cut, delivered and finished, run() returns success. Second: run()
    /// returns an E error as soon as the calls under way return. Any thread; not for signal handlers.
    void request_stop();
    /// Any thread, any time.
    EngineStatus status() const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace takt
