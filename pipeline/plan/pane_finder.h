#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/batch/batch.h"
#include "pipeline/plan/posting.h"

namespace takt {

/// A pane that takes a row. A row that is posted by itself is a pane of its own, without a window.
struct PaneOfRow {
    std::string key;  ///< encoded (docs/formats/keys.md); without a window with what tells the row from all others
    std::vector<Posting::KeyField> key_fields;
    std::optional<Timestamp> window_start;  ///< of a session: of the row by itself
    std::optional<Timestamp> window_end;

    struct Value {
        std::string name;
        std::string text;
    };
    std::vector<Value> values;  ///< what the row brings to the pane's numbers; a bare count brings none
};

/// A keyed step that tells which panes take a row, for those who ask afterwards where an event went. No part of the way
/// of events through an engine. Any thread.
class PaneFinder {
  public:
    virtual ~PaneFinder() = default;

    /// The panes of a row that reached the step, however late it is; the latest window first.
    virtual std::vector<PaneOfRow> panes_of(const Batch& batch, Row row) const = 0;
    /// The idempotency key of a revision of the pane; empty: the step makes no postings.
    virtual std::string posting_key(const PaneOfRow& pane, std::uint32_t revision) const = 0;
};

}  // namespace takt
