#pragma once

#include <memory>

#include "pipeline/base/time.h"
#include "pipeline/plan/row_operator.h"

namespace takt {

/// The first step of every source: gives rows their event time and keeps clocks that cannot be right from moving the
/// watermark (DOMAIN.md section 4.2, 2).
struct ClockOptions {
    Slot event = kNoSlot;  ///< timestamp column; kNoSlot: the ingest time is the event time
    Slot recorded =
        kNoSlot;  ///< timestamp column to check against; rows without it are not checked; kNoSlot: the ingest time
    bool check_future = false;
    Duration future = 0;                      ///< event time later than recorded + future: FUTURE_TIME
    Timestamp not_before = kBeginningOfTime;  ///< event time earlier than this: CLOCK_INVALID
    OutcomeCode future_time = kUndecided;
    OutcomeCode clock_invalid = kUndecided;
};

/// One input, one output. Fills batch.event_time of the rows that pass.
std::unique_ptr<RowOperator> make_clock_step(const ClockOptions& options);

/// Several disjoint inputs of one segment, one output: their rows in order.
std::unique_ptr<RowOperator> make_union_step();

/// The step that judges clocks, by name: its outcomes do not move the watermark.
constexpr std::string_view kClockStep = "clock";

}  // namespace takt
