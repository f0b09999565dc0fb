#pragma once

#include "pipeline/base/time.h"

namespace takt {

/// Time from outside. Only the daemon's edges hold one; operators never do. Thread-safe.
class Clock {
  public:
    virtual ~Clock() = default;
    /// Wall clock, for logs and for stamping input that carries no time of its own.
    virtual Timestamp wall() const = 0;
    /// Monotonic, counts while suspended (CLOCK_BOOTTIME), for timeouts and intervals.
    virtual Timestamp monotonic() const = 0;
};

/// The machine's clocks.
Clock& system_clock();

/// Stands still until moved. For tests.
class ManualClock final : public Clock {
  public:
    Timestamp wall() const override { return now_; }
    Timestamp monotonic() const override { return now_; }
    void advance(Duration by) { now_ += by; }

  private:
    Timestamp now_ = 0;
};

}  // namespace takt
