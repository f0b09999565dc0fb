#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/plan.h"

namespace takt {

/// Watches how many events are refused within the plan's span of ingest time. A function of the epochs alone: no clock
/// is asked, so epochs that are made again give the same answer. Retries and rows of panes do not count. One thread.
class StormBreaker {
  public:
    /// The plan must outlive the breaker.
    explicit StormBreaker(const Plan& plan) : plan_(plan), refused_(plan.outcomes.size()) {}

    /// Every epoch in order, from the first one that is known. F623: with this one more are refused than the plan lets
    /// stand; it counts all the same.
    std::optional<Error> add(const EpochResult& epoch);

  private:
    struct Counts {
        Timestamp time = 0;  ///< newest ingest time of the epoch's end
        std::uint64_t events = 0;
        std::vector<std::pair<OutcomeCode, std::uint64_t>> refused;  ///< those that are not 0
    };
    void forget_before(Timestamp time);
    Error storm(const EpochResult& epoch, std::uint64_t refused) const;

    const Plan& plan_;
    std::deque<Counts> epochs_;
    std::uint64_t events_ = 0;            ///< of `epochs_`
    std::vector<std::uint64_t> refused_;  ///< of `epochs_`, by outcome code; 0 for what is no dead letter
};

}  // namespace takt
