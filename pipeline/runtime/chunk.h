#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/plan.h"

namespace takt {

/// One batch on its way through the engine.
struct Part {
    std::unique_ptr<Batch> batch;
    std::vector<Selection> streams;  ///< by StreamId
    /// Rows for the keyed steps: [exchange * lanes + lane]; exchange 0 is the deduplication, then come the terminals.
    /// Spans point into `streams` or `routed`.
    std::vector<std::span<const Row>> rows_of;
    std::vector<std::vector<Row>> routed;
    Timestamp earliest_late_after = kEndOfTime;  ///< over the rows of terminals
};

/// The latest event of a watermark partition in a chunk.
struct PartitionTime {
    std::string partition;  ///< empty where the segment has no partitions
    Timestamp highest = kBeginningOfTime;
    Timestamp ingest_time = 0;
};

/// A numbered piece of the input, or the mark where an epoch ends. One owner at a time: the stateless stage, the
/// sequencer, the lanes (each its own rows), the committer.
struct Chunk {
    std::uint64_t number = 0;
    bool marker = false;

    // Messages [first, first + count) of the block.
    std::uint32_t source = 0;
    std::size_t segment = 0;
    std::shared_ptr<const MessageBlock> block;  ///< shared with the chunks cut from the same block
    std::size_t first = 0;
    std::size_t count = 0;
    std::uint64_t size_bytes = 0;

    std::vector<Part> parts;  ///< keeps its memory; only the first parts_used count
    std::size_t parts_used = 0;
    std::vector<PartitionTime> times;

    /// Of an event of the dead letters that comes again: which retry; its place among the events of its message is
    /// `part`. 0: the chunk is messages of the source.
    std::uint32_t replay = 0;
    std::uint32_t part = 0;

    // Of a marker.
    CutOptions cut;
    Timestamp watermark_after = kBeginningOfTime;
    std::vector<SourceCut> cuts;                   ///< until it is released, those that a log has of the epoch
    std::vector<std::vector<LaneOutput>> outputs;  ///< by lane, then keyed step
    std::vector<std::vector<StateSize>> sizes;     ///< likewise; without names

    // From the sequencer.
    std::uint64_t epoch = 0;
    Timestamp watermark = kBeginningOfTime;  ///< at the epoch's start

    std::atomic<std::uint32_t> lanes_left = 0;

    // What became of the rows.
    std::uint64_t rows = 0;
    EventSum received;               ///< as they were decoded
    std::vector<EventSum> outcomes;  ///< by outcome code
    std::vector<DeadLetter> dead_letters;
};

/// The event by itself, as the one message of a block.
std::shared_ptr<const MessageBlock> block_of(DeadLetterReplay replay);
/// The messages as they came. There is at least one.
std::shared_ptr<const MessageBlock> block_of(std::vector<InputRecord> records);

}  // namespace takt
