#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/plan/decoder.h"
#include "pipeline/plan/keyed_operator.h"
#include "pipeline/plan/outcomes.h"
#include "pipeline/plan/row_operator.h"
#include "pipeline/plan/sink.h"
#include "pipeline/plan/source.h"
#include "pipeline/plan/table_feed.h"

namespace takt {

/// Everything that works on the rows of one layout, between two changes of row. Segment 0.. are fed by sources, later
/// ones by the panes of an aggregate. For each batch: row nodes in order; then, on the lanes, the deduplication; then
/// the terminals.
struct Segment {
    std::string name;
    Layout layout;
    std::vector<RowNode> nodes;
    std::int32_t streams = 0;

    /// Timestamp column: a row is too late when the watermark is later than this (the latest end of any of its windows
    /// plus the allowed lateness). Initialised to kBeginningOfTime before the nodes run. kNoSlot: no terminal has
    /// windows.
    Slot late_after = kNoSlot;
    OutcomeCode too_late = kUndecided;

    std::optional<KeyedNode> dedup;
    std::vector<KeyedNode> terminals;

    /// Columns with a meaning of their own; kNoSlot where there is none.
    Slot id = kNoSlot;              ///< string: the event's id, for dead letters
    Slot id_hash = kNoSlot;         ///< decimal column holding a Hash128: for lineage
    Slot correlation = kNoSlot;     ///< string
    Slot partition = kNoSlot;       ///< string: watermark partition
    Slot events = kNoSlot;          ///< uint64: how many events a row stands for (rows of panes)
    Slot first_sequence = kNoSlot;  ///< uint64 (rows of panes)
    Slot last_sequence = kNoSlot;   ///< uint64 (rows of panes)
};

/// What time means for a source.
struct TimePolicy {
    Duration out_of_order = 0;  ///< the watermark is this far behind the highest event time
    Duration idle =
        0;  ///< without input for so long (and nobody owes any) it no longer holds the watermark; 0: never idle
};

struct SourcePlan {
    std::string name;
    std::string connector;
    std::uint32_t index = 0;  ///< place in the fixed order of an epoch
    std::size_t segment = 0;
    StreamId stream = 0;                     ///< the stream its rows enter
    std::shared_ptr<const Decoder> decoder;  ///< shared: by the sources of one format
    TimePolicy time;
    bool can_read_again = true;  ///< see SourceType
    /// Makes the connector; called by `run`, not by `check`.
    std::function<Result<std::unique_ptr<Source>>()> make;
};

struct SinkPlan {
    std::string name;
    std::string connector;
    bool all_postings = true;
    std::vector<std::string> postings;  ///< when not all
    bool dead_letters = true;
    bool keeps_after_crash = true;  ///< see SinkType
    std::function<Result<std::unique_ptr<Sink>>()> make;
};

/// What a table holds now. Steps read it through this handle; `current` is replaced only while no batch is in flight.
struct TableHandle {
    std::string name;
    std::shared_ptr<const TemporalTable> current;  ///< shared with whoever made it, until the next one
};

/// A table that follows its origin while the pipeline runs; empty until then.
struct TablePlan {
    std::string name;
    std::string connector;
    std::shared_ptr<TableHandle> handle;  ///< shared with the steps that look it up
    /// Makes the connector; called by `run`, not by `check`.
    std::function<Result<std::unique_ptr<TableFeed>>()> make;
};

/// When so many events are refused that something else must be wrong: the pipeline stops. Both limits are of the events
/// within a span of ingest time.
struct DeadLetterLimit {
    std::uint64_t most = 0;             ///< dead letters; 0: any number
    double share = 0;                   ///< of the events; 0: any
    std::uint64_t least_events = 1000;  ///< a share of fewer says nothing
    Duration within = kMinute;
};

/// A pipeline ready to run: immutable, but for what its tables hold.
struct Plan {
    std::string pipeline;
    std::string config_hash;
    std::vector<std::unique_ptr<Segment>> segments;  ///< in topological order
    std::vector<SourcePlan> sources;
    std::vector<SinkPlan> sinks;
    std::vector<TablePlan> tables;  ///< the live ones, in the order of the config
    OutcomeTable outcomes;
    OutcomeCode crashed = kUndecided;  ///< of a message that kills the process: dead letter CRASH

    DeadLetterLimit dead_letters;

    // What the file says of the engine.
    std::uint32_t lanes = 0;  ///< 0: as many as cores
    Duration epoch = 100 * kMillisecond;
    std::uint64_t epoch_messages = 0;  ///< 0: no limit of its own
    std::uint64_t epoch_bytes = 64u << 20;
};

/// Its keyed steps in the fixed order of EngineState::steps: those of the segments that sources feed, then those of
/// panes; in each the deduplication first.
std::vector<const KeyedNode*> keyed_nodes(const Plan& plan);

}  // namespace takt
