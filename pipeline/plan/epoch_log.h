#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/plan/delivery.h"
#include "pipeline/plan/engine_state.h"
#include "pipeline/plan/epoch_result.h"

namespace takt {

/// A message that has killed the process that read it, and is not to be read any more.
struct QuarantinedMessage {
    std::uint32_t source = 0;  ///< index into Plan::sources
    std::uint64_t sequence = 0;

    bool operator==(const QuarantinedMessage&) const = default;
};

/// What makes epochs durable, as the engine sees it (RELIABILITY: journal the cut, synchronize, then release).
///
/// `recover` is called once, before anything else; then `append` for every new epoch in order, by one thread at a time;
/// `snapshot` by another thread, which may run beside `append`.
class EpochLog {
  public:
    struct Past {
        std::optional<EngineState> state;  ///< of the newest usable snapshot
        /// Every durable epoch that a sink may not have got, and all after `state`; ascending, without gap. Those up to
        /// state->epoch were made before it: they are released again, not made again.
        std::vector<EpochResult> epochs;
        std::vector<std::uint64_t> incarnations = {};  ///< of `epochs`: which start of the daemon made each
        std::vector<SinkPast> sinks = {};              ///< of Plan::sinks, by index; empty: nothing is known of any
        RunIdentity run = {};
        std::vector<QuarantinedMessage> quarantine = {};  ///< in any order; of the past and of what is to come
    };

    virtual ~EpochLog() = default;

    virtual Result<Past> recover() = 0;
    /// Returns when the epoch survives a power cut, with what sinks have said since the one before. E701: there is no
    /// room, nothing was written, try again later. Other errors are final.
    virtual Status append(const EpochResult& epoch, const SinkAnswers& answers) = 0;
    /// Keeps the state; then forgets what no start needs any more: epochs up to `delivered` that older snapshots do not
    /// need either. `delivered` is what `append` was told: no sink waits for more of it. An error leaves everything as
    /// it was.
    virtual Status snapshot(const EngineState& state, std::uint64_t delivered) = 0;

    /// The run has come to its end by itself, with or without an error: it was not killed.
    virtual Status end() { return {}; }

    /// Dead letters whose retry was ordered: for the epoch that is cut next, each once in the life of this object and,
    /// as soon as an epoch with it is durable, never again. After `recover`; one thread, which may be another one.
    virtual std::vector<DeadLetterReplay> take_replays() { return {}; }
    /// The same of orders about held postings.
    virtual std::vector<HoldOrder> take_orders() { return {}; }
};

}  // namespace takt
