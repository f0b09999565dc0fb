#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "pipeline/plan/plan.h"
#include "pipeline/runtime/batch_pool.h"
#include "pipeline/runtime/chunk.h"

namespace takt {

/// What scratch memory a thread needs to run the row nodes of one segment.
struct SegmentScratch {
    std::vector<std::unique_ptr<RowOperator::Scratch>> nodes;
    std::vector<const Selection*> in;
    std::vector<Selection*> out;
    std::vector<std::uint8_t> taken;  ///< by row: in the stream of a terminal
};

SegmentScratch make_scratch(const Segment& segment);

/// Runs the row nodes over a batch whose `entry` stream is set, settles rows that no terminal takes, and finds the rows
/// of each keyed step and lane. Pure but for `part` and `scratch`.
void run_row_nodes(const Segment& segment, StreamId entry, const OutcomeTable& outcomes, std::uint32_t lanes,
                   Part& part, SegmentScratch& scratch);

/// Clears the streams and puts every row that is undecided into the entry stream; prepares the segment's late_after
/// column.
void enter(const Segment& segment, StreamId entry, Part& part);

/// Gives rows of terminals whose windows are past the outcome too_late. Rows with an outcome keep it.
void judge_lateness(const Segment& segment, Timestamp watermark, Part& part);

/// First stage of a chunk: decode, row nodes, rows by lane, latest event times. Thread-safe.
class StatelessStage {
  public:
    /// The plan must outlive the stage.
    StatelessStage(const Plan& plan, std::uint32_t lanes);
    void run(Chunk& chunk);
    /// Takes the chunk's batches back.
    void recycle(Chunk& chunk);

  private:
    struct Scratch {
        std::vector<std::unique_ptr<Decoder::Scratch>> decoders;  ///< by source
        std::vector<SegmentScratch> segments;
        std::vector<std::unique_ptr<Batch>> batches;
    };
    std::unique_ptr<Scratch> take_scratch();
    void give_back(std::unique_ptr<Scratch> scratch);
    void measure_time(const Segment& segment, const Batch& batch, std::vector<PartitionTime>& times) const;

    const Plan& plan_;
    const std::uint32_t lanes_;
    std::vector<std::unique_ptr<BatchPool>> pools_;  ///< by segment
    std::vector<std::uint8_t> timeless_;             ///< by outcome code: such a row says nothing of event time
    std::vector<Hash128> seeds_;                     ///< by source: of its events' hashes

    std::mutex mutex_;
    std::vector<std::unique_ptr<Scratch>> scratches_;  ///< as many as threads were here at once
};

}  // namespace takt
