#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/arena.h"
#include "pipeline/base/time.h"
#include "pipeline/batch/column.h"
#include "pipeline/batch/selection.h"

namespace takt {

/// Index of a column in the batches of one segment.
using Slot = std::int32_t;
constexpr Slot kNoSlot = -1;

/// The columns that every batch of a segment has: name, type, slot. Names are unique; a lookup adds dotted ones
/// ("item.standard_cost"). Built by the planner, then fixed.
class Layout {
  public:
    Slot add(Field field);
    /// kNoSlot when there is none.
    Slot find(std::string_view name) const;
    const Field& field(Slot slot) const { return fields_[static_cast<std::size_t>(slot)]; }
    const std::vector<Field>& fields() const { return fields_; }
    std::size_t size() const { return fields_.size(); }

  private:
    std::vector<Field> fields_;
};

/// Where a row came from. `sequence` counts from 1 within its source; a file's sequence is its line or record number.
/// One message may hold several events: `part` counts them from 0.
struct Origin {
    std::uint64_t sequence = 0;
    std::uint32_t part = 0;
    std::uint32_t size_bytes = 0;
    const char* bytes = nullptr;  ///< the event as received; kept alive by the batch
};

/// One message as a source received it. The bytes live as long as the block that holds it.
struct Message {
    std::string_view data;
    std::string_view subject;    ///< empty for files
    std::uint64_t sequence = 0;  ///< see Origin
    Timestamp ingest_time = 0;   ///< the server's store time, or the reader's clock
};

/// Why a source has no message of a sequence; the source says so.
enum class HoleKind : std::uint8_t {
    before_start,  ///< before the message with which the pipeline was to begin
    filtered,      ///< of another subject than those that are read, or deleted
    deleted,       ///< taken out of the stream one by one
    lost,          ///< gone before we could read it; the config says to go on
};
constexpr std::size_t kHoleKinds = 4;

/// Sequences [first, last] without a message.
struct SequenceHole {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    HoleKind kind = HoleKind::deleted;
};

/// Messages of one source in order, and what keeps their bytes alive (a mapped file, NATS messages, a copy).
struct MessageBlock {
    std::vector<Message> messages;
    std::shared_ptr<const void> keep;  ///< shared: batches of several tasks may point into one block
    std::size_t size_bytes = 0;
    std::string anchor = {};   ///< of the source's position after the last message, see SourcePosition; empty: none
    bool own_clock = false;    ///< the reader's clock gave the ingest time, one for the whole block
    bool single = false;       ///< each message is one event by itself, however events lie in the source's messages
    bool quarantined = false;  ///< one message, which kills the process that reads it: a dead letter as it is
    std::vector<SequenceHole> holes = {};  ///< ascending, each before a message of the block
};

/// What happened to a row; an index into the plan's OutcomeTable. 0: still on its way.
using OutcomeCode = std::uint16_t;
constexpr OutcomeCode kUndecided = 0;
/// The outcome of what no decoder could read: dead letter DECODE. Every OutcomeTable has it at this place.
constexpr OutcomeCode kMalformed = 1;

/// Why a row was rejected, for its dead letter. Not every rejected row has one.
struct RejectText {
    Row row;
    std::string_view text;             ///< static, or in the batch's arena
    OutcomeCode outcome = kMalformed;  ///< the outcome that it explains: a deduplication may put another in its place
};

/// Up to kBatchRows rows of one source within one epoch, in order of (sequence, part); columns by slot.
/// One thread fills it; afterwards columns are read-only, and `outcome` of a row is written only by the lane that owns
/// the row.
struct Batch {
    std::uint32_t rows = 0;
    std::uint32_t source = 0;
    std::vector<Column> columns;
    std::vector<Origin> origin;
    std::vector<Timestamp> event_time;
    std::vector<Timestamp> ingest_time;
    std::vector<OutcomeCode> outcome;
    std::vector<RejectText> reject_texts;
    std::shared_ptr<const MessageBlock> block;  ///< shared: what origins and strings point into
    Arena arena;                                ///< strings that decoding and expressions made

    Column& column(Slot slot) { return columns[static_cast<std::size_t>(slot)]; }
    const Column& column(Slot slot) const { return columns[static_cast<std::size_t>(slot)]; }
    /// Empties the batch for `rows_max` rows of this layout; keeps memory.
    void reset(const Layout& layout, std::uint32_t rows_max);
};

}  // namespace takt
