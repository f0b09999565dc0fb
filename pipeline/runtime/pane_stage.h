#pragma once

#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "pipeline/plan/engine_state.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/plan.h"
#include "pipeline/runtime/batch_pool.h"
#include "pipeline/runtime/chunk.h"
#include "pipeline/runtime/stateless_stage.h"

namespace takt {

/// Segments that panes feed: few rows, so one owner runs them at the epoch's end, in the fixed order of the panes,
/// whatever lane made them. One thread.
class PaneStage {
  public:
    /// Sees each batch of panes' rows before it goes to the terminals: see Rerun.
    using Watch = std::function<void(const Segment& segment, const Part& part)>;

    /// The plan must outlive the stage.
    explicit PaneStage(const Plan& plan, Watch watch = nullptr);

    /// Adds the panes that a keyed step made for its output segment.
    void add(std::size_t segment, std::vector<PaneRow>&& rows);
    /// Runs the segments in topological order and ends the epoch of each; what they make is appended to `result` and
    /// `postings`.
    void end_epoch(Timestamp before, Timestamp after, EpochResult& result, std::vector<OrderedPosting>& postings);

    /// How many keyed steps it has; appends what each knows, and takes that over in the same order. See KeyedState.
    std::size_t steps() const;
    void save(std::vector<EngineState::Step>& steps) const;
    bool load(std::span<const EngineState::Step> steps);
    /// See KeyedState::add_open.
    void add_open(std::vector<ValueSum>& open) const;

  private:
    struct State {
        std::size_t segment = 0;
        std::unique_ptr<KeyedState> dedup;
        std::vector<std::unique_ptr<KeyedState>> terminals;
        std::unique_ptr<BatchPool> pool;
        SegmentScratch scratch;
        std::vector<PaneRow> waiting;
        Part part;
    };
    /// The keyed steps in their fixed order.
    std::vector<std::pair<const KeyedNode*, KeyedState*>> keyed() const;
    void run_batch(State& state, std::span<const PaneRow> rows, Timestamp watermark, EpochResult& result);
    void fill(const Segment& segment, std::span<const PaneRow> rows, Batch& batch) const;
    void end_step(const KeyedNode& node, KeyedState& state, Timestamp before, Timestamp after, EpochResult& result,
                  std::vector<OrderedPosting>& postings);
    std::uint32_t source_index(const Lineage& lineage) const;

    const Plan& plan_;
    const Watch watch_;
    std::vector<std::unique_ptr<State>> states_;  ///< by segment; null for those that sources feed
};

}  // namespace takt
