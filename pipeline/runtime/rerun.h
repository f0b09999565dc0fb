#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "pipeline/plan/plan.h"
#include "pipeline/runtime/chunk.h"
#include "pipeline/runtime/pane_stage.h"
#include "pipeline/runtime/stateless_stage.h"
#include "pipeline/runtime/watermarks.h"

namespace takt {

/// Where an event stands among all events of a pipeline.
struct EventPlace {
    std::uint32_t source = 0;  ///< index into Plan::sources
    std::uint64_t sequence = 0;
    std::uint32_t part = 0;
    auto operator<=>(const EventPlace&) const = default;
};

/// A pipeline's own steps over messages that are read once more, to prove what they made: decode, row steps,
/// deduplication, panes. It is no engine: nothing leaves it, nothing is kept.
///
/// When an event came is not among the messages, so all of them are one epoch that has no end: nothing is late, no id
/// is forgotten, windows close in `finish`. What was refused because of when it came must be told. One thread.
class Rerun {
  public:
    struct Options {
        bool panes = true;  ///< rows go to the panes, and `finish` makes their postings
        /// Events that were refused because of when they came, and how; they take no part.
        std::map<EventPlace, OutcomeCode> refused = {};
    };
    /// Sees each batch of a source when its rows have been judged, and in `finish` each of panes' rows; segments of
    /// panes come after those that make them. Those of Part::rows_of[1 + i] that are undecided are what terminal i
    /// takes; those of rows_of[0] that are undecided were remembered by the deduplication.
    using Watch = PaneStage::Watch;

    /// The plan must outlive this object.
    Rerun(const Plan& plan, Options options, Watch watch);

    /// An event of the dead letters that came again and was accepted. It takes part behind the message that it came in
    /// first, so that what has its id and comes later is a duplicate of it. Before that message is read.
    void expect(DeadLetterReplay retry);
    /// Takes messages of a source, in order.
    void read(std::uint32_t source, std::shared_ptr<const MessageBlock> block);
    /// The source has no more: what is left of its retries takes part.
    void end(std::uint32_t source);
    /// Whether what the watch sees now is a retry.
    bool of_retry() const { return chunk_.replay > 0; }

    /// What the watermark is by the sources' own policies, when this is all that they say. `cut`: who has ended.
    Timestamp watermark(const CutOptions& cut) { return watermarks_.advance(cut); }

    /// Closes all windows. The postings that are not zero, one for each pane, in no particular order. Once.
    std::vector<Posting> finish();

  private:
    struct States {
        std::unique_ptr<KeyedState> dedup;
        std::vector<std::unique_ptr<KeyedState>> terminals;
    };

    void retry_before(const EventPlace& place);
    void run_chunk();
    void judge(const Segment& segment, States& states, Part& part);
    std::span<const Row> rows_to_judge(const Part& part);

    const Plan& plan_;
    const Options options_;
    const Watch watch_;
    StatelessStage stateless_;
    Watermarks watermarks_;
    PaneStage panes_;
    std::vector<States> states_;                      ///< by segment; empty for those of panes
    std::map<EventPlace, DeadLetterReplay> retries_;  ///< expected
    Chunk chunk_;
    std::vector<Row> rows_;
};

}  // namespace takt
