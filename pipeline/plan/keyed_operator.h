#pragma once

#include <array>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>
#include <vector>

#include "pipeline/base/hash.h"
#include "pipeline/base/int128.h"
#include "pipeline/plan/audit.h"
#include "pipeline/plan/posting.h"
#include "pipeline/plan/row_operator.h"

namespace takt {

/// A value that leaves a keyed operator for the next segment.
using Scalar = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, Int128, std::string>;

/// Where an output stands among all outputs of its epoch, whatever lane made it: by time, operator, key.
struct OutputOrder {
    Timestamp time = 0;
    std::uint32_t node = 0;
    std::string key;
    std::uint64_t sequence = 0;
    bool operator<(const OutputOrder& other) const {
        return std::tie(time, node, key, sequence) < std::tie(other.time, other.node, other.key, other.sequence);
    }
};

/// One row for the next segment: a revision of a pane.
struct PaneRow {
    OutputOrder order;
    Timestamp event_time = 0;
    std::vector<Scalar> values;  ///< in the order of the node's output fields
    Lineage lineage;
};

struct OrderedPosting {
    OutputOrder order;
    Posting posting;
};

/// What the keyed operators of one lane made in one epoch.
struct LaneOutput {
    std::vector<OrderedPosting> postings;
    std::vector<PaneRow> rows;     ///< for the node's output segment; a node emits into one only
    std::vector<ValueSum> values;  ///< by how much they have grown in this epoch
    void clear() {
        postings.clear();
        rows.clear();
        values.clear();
    }
};

/// Saved state by key group: a snapshot that any number of lanes can take over.
using StateGroups = std::array<std::string, kKeyGroups>;

/// State of a keyed operator that one lane owns. One thread at a time.
class KeyedState {
  public:
    virtual ~KeyedState() = default;

    /// Takes rows (ascending) whose key this lane owns. `watermark` is the one at the epoch's start. Rows may have an
    /// outcome already: a deduplication decides what becomes of it; others skip such rows. The state may set
    /// `batch.outcome` of exactly these rows.
    virtual void process(Batch& batch, std::span<const Row> rows, Timestamp watermark) = 0;

    /// The epoch's end: the watermark moves from `before` to `after` (>= before); timers fire, what is too old is
    /// forgotten.
    virtual void end_epoch(Timestamp before, Timestamp after, std::uint64_t epoch, LaneOutput& output) = 0;

    /// Appends what this state knows to the key groups that it belongs to, between two epochs. The same content gives
    /// the same bytes, whatever its history.
    virtual void save(StateGroups& groups) const = 0;
    /// Takes over what `save` wrote for one key group that this state's lane owns, before the first row. False: the
    /// bytes are not of such a step; the state must not be used.
    virtual bool load(std::string_view group) = 0;

    /// Appends, for each number of its panes, what they hold and have not told: in `contributed`, between two epochs.
    /// Looks at each pane.
    virtual void add_open(std::vector<ValueSum>& open) const { (void)open; }
    /// Of how many of its panes something was posted or sent on. Looks at each pane.
    virtual std::uint64_t told() const { return 0; }

    virtual std::uint64_t entries() const = 0;     ///< ids, panes
    virtual std::uint64_t size_bytes() const = 0;  ///< memory
};

/// A keyed step as planned: immutable, makes a state for each lane.
class KeyedOperator {
  public:
    virtual ~KeyedOperator() = default;
    virtual std::unique_ptr<KeyedState> make_state() const = 0;
};

/// One of the things that decide what a keyed step keeps, as text: "window" is "tumbling 1h".
struct StepParameter {
    std::string name;
    std::string value;

    bool operator==(const StepParameter&) const = default;
};

/// The parameter that names the uids of the aggregates whose panes a step reads.
constexpr const char* kPanesOf = "panes_of";
/// The parameters of what the steps before bring: a list, "filter 0123456789abcdef, require ...".
constexpr const char* kInputColumns = "columns";
constexpr const char* kInputRows = "rows";
/// How long the windows of a step wait for late events, as format_duration writes it.
constexpr const char* kLateness = "lateness";
/// The parameter of a posting: digits of its numbers, which those of one name must keep.
constexpr const char* kDigits = "digits";
/// Those of a posting's documents: `type` is in their contents, the uid `documents` in their keys.
constexpr const char* kDocumentType = "type";
constexpr const char* kDocumentUid = "documents";

/// Whose state is whose: what a config says of a keyed step, and what a snapshot remembers of it.
struct StepIdentity {
    std::string step;
    std::string kind;  ///< "dedup", "aggregate", "post"
    std::string uid;   ///< of its state, unlike that of every other step
    std::vector<StepParameter>
        parameters;           ///< in an order of the kind's own; with other ones the state means something else
    bool keeps_state = true;  ///< false: a posting of single events

    bool operator==(const StepIdentity&) const = default;
};

/// A keyed step in its place.
struct KeyedNode {
    std::string step;
    std::unique_ptr<KeyedOperator> op;
    StreamId in = -1;
    Slot key_hash = kNoSlot;           ///< uint64 column: who owns the row (lane_of)
    std::int32_t output_segment = -1;  ///< where its PaneRows go; -1: it makes postings, or nothing
    std::string kind = {};
    std::string uid = {};                        ///< empty: the step's name
    std::string uid_was = {};                    ///< takes over the state of this one; empty: of none
    std::vector<StepParameter> parameters = {};  ///< see StepIdentity
    bool keeps_state = true;
    std::map<std::string, std::string> inputs = {};  ///< for messages: "filter wanted" by its fingerprint

    StepIdentity identity() const { return {step, kind, uid.empty() ? step : uid, parameters, keeps_state}; }
};

}  // namespace takt
