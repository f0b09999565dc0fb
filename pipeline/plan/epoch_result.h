#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/batch/batch.h"
#include "pipeline/plan/audit.h"
#include "pipeline/plan/delivery.h"
#include "pipeline/plan/posting.h"
#include "pipeline/plan/table_feed.h"

namespace takt {

/// A control input: changes to one table that take effect together, at a cut. What the table held before (nothing,
/// where `whole`) and the updates that TableFeed::decode makes of the changes give `content`, so a journal needs only
/// the changes.
struct TableVersion {
    std::uint32_t table = 0;                       ///< index into Plan::tables
    bool whole = false;                            ///< the changes are all there is: a run's first version
    std::vector<TableChange> changes = {};         ///< in order; what was refused is not among them
    std::shared_ptr<const TemporalTable> content;  ///< shared with the steps, from this cut on until the next version

    bool operator==(const TableVersion&) const = default;
};

/// A control input: the event of a dead letter that a person sends through the pipeline again. It is a message of its
/// source once more, under its own sequence and part, the last of the epoch; it does not move the watermark.
struct DeadLetterReplay {
    std::uint32_t source = 0;  ///< index into Plan::sources
    std::uint64_t sequence = 0;
    std::uint32_t part = 0;
    std::uint32_t replay = 1;  ///< which retry of the event, from 1
    std::string subject = {};
    Timestamp ingest_time = 0;  ///< of the message
    std::string data = {};      ///< the event by itself, as received or as corrected
    std::string who = {};       ///< ordered it, and why: for people only
    std::string why = {};
};

/// How an epoch ends. Together with the messages since the last cut it determines everything that the epoch makes.
struct CutOptions {
    std::optional<Timestamp> watermark =
        {};  ///< in place of the computed one, where it is later than the present one; for tests
    std::vector<std::uint32_t> idle = {};        ///< sources that do not hold the watermark in this epoch, by index
    std::vector<std::uint32_t> ended = {};       ///< sources that never say anything again
    bool flush = false;                          ///< bounded input is at its end: the watermark goes to kEndOfTime
    std::vector<TableVersion> tables = {};       ///< what the next epoch finds in place of what this one found
    std::vector<DeadLetterReplay> replays = {};  ///< the epoch's last messages, in this order
    std::vector<HoldOrder> orders = {};          ///< sinks follow them before they get this epoch's postings
};

/// How far a source was read when the epoch was cut.
struct SourceCut {
    std::uint64_t last_sequence = 0;  ///< 0: nothing yet
    Timestamp highest_event_time = kBeginningOfTime;
    Timestamp last_ingest_time = 0;
    /// Where the source can be opened again: after `anchor_sequence`, the last message that ended a block, with that
    /// position's anchor. At most last_sequence; what lies between is read again and left out.
    std::uint64_t anchor_sequence = 0;
    std::string anchor = {};
    /// From which sequence on messages of this epoch had which ingest time, where the reader's clock gave it: a replay
    /// must not ask a clock again. Empty where the origin keeps the time with the message.
    std::vector<std::pair<std::uint64_t, Timestamp>> ingest_times = {};
};

/// A message as it came, of a source that cannot be read again.
struct InputRecord {
    std::uint32_t source = 0;  ///< index into Plan::sources
    std::uint64_t sequence = 0;
    Timestamp ingest_time = 0;
    std::string subject;
    std::string data;

    bool operator==(const InputRecord&) const = default;
};

/// Memory of a keyed step over all lanes.
struct StateSize {
    std::string step;
    std::uint64_t entries = 0;
    std::uint64_t size_bytes = 0;
};

/// Everything that one epoch decided: what a frame of the journal holds. A pure function of the state before and the
/// cut; the same for any number of lanes and threads, except for `states`.
struct EpochResult {
    std::uint64_t epoch = 0;  ///< from 1
    Timestamp watermark_before = kBeginningOfTime;
    Timestamp watermark_after = kBeginningOfTime;
    std::vector<SourceCut> cuts;  ///< by source index
    CutOptions cut;               ///< what was decided at the cut
    /// By source, then sequence: what a log must keep, because nobody else does. Only where there is a log.
    std::vector<InputRecord> input_records;

    std::uint64_t messages = 0;
    std::uint64_t message_bytes = 0;
    std::uint64_t rows = 0;                    ///< events of the sources = sum of `outcomes`
    std::vector<std::uint64_t> outcomes;       ///< events by outcome code; kAccepted for what reached its terminals
    std::uint64_t pane_rows = 0;               ///< rows that panes sent to later segments = sum of `pane_outcomes`
    std::vector<std::uint64_t> pane_outcomes;  ///< the same for them
    /// Of `cut.replays`, in their order: how each ended; kUndecided where its data hold no event. They are counted here
    /// only, not among messages, rows and outcomes: the event was classified when it came.
    std::vector<OutcomeCode> replay_outcomes;
    std::vector<Posting> postings;         ///< by time, operator, key
    std::vector<DeadLetter> dead_letters;  ///< by source, sequence, part; then those of replays, then those of panes

    AuditTotals audit;  ///< at its end, of all epochs

    std::vector<StateSize> states;  ///< measured; by step in plan order
};

}  // namespace takt
