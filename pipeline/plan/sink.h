#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/plan/delivery.h"
#include "pipeline/plan/posting.h"

namespace takt {

/// Where postings and dead letters go. One thread of the engine owns it; `describe` may be called by any thread.
class Sink {
  public:
    enum class State : std::uint8_t {
        accepted,  ///< took effect exactly once; `reference` is the other side's document number where it has one
        refused,   ///< will never be taken as it is; `reason` says why
        unknown,   ///< may or may not have taken effect: send again with the same key
        parked,    ///< a person must decide; `reason` says what. Not sent again
    };
    struct Delivery {
        State state = State::unknown;
        std::string reference;
        std::string reason;
    };
    /// A counted outcome, for sinks that keep the summary beside the postings.
    struct OutcomeCount {
        std::string outcome;  ///< accepted, duplicate, filtered, dead_letter
        std::string rule;
        std::uint64_t count = 0;
    };

    /// What a pipeline that keeps its state knows of this sink when it starts.
    struct Past {
        RunIdentity run;
        SinkPosition confirmed;    ///< of the sink's own log: `position` after all that is known to be accepted
        bool unconfirmed = false;  ///< postings may have been sent after that: read back what they became
    };

    virtual ~Sink() = default;

    /// Before `open`; not called where the pipeline keeps no state. From `open` on a sink that can tell one run from
    /// another refuses what an older one still sends.
    virtual void resume(const Past& past) { (void)past; }

    /// Connects, and creates what is missing. E errors are retried by the engine.
    virtual Status open() = 0;

    /// Delivers postings in order; one Delivery for each, in the same order. Repeating a posting (same key) never takes
    /// effect twice; same key with another payload hash is refused with reason IDEMPOTENCY_CONFLICT. An E error means
    /// that nothing is known of any of them.
    virtual Result<std::vector<Delivery>> deliver(std::span<const Posting> postings) = 0;

    /// Keeps dead letters, where this sink does; by (source, sequence, part), repeats are ignored.
    virtual Status keep(std::span<const DeadLetter> dead_letters) = 0;

    /// Totals since the start of the run; called at the end of each epoch that changed them and at the end.
    virtual Status summarize(std::span<const OutcomeCount> counts) = 0;

    /// Everything delivered is durable or visible when this returns. Called at the end of bounded input and on
    /// shutdown.
    virtual Status finish() = 0;

    /// How far the sink's own log has grown with what was accepted; of a sink without one the default. `sink` and
    /// `settled` are left out.
    virtual SinkPosition position() const { return {}; }

    virtual std::string describe() const = 0;
};

}  // namespace takt
