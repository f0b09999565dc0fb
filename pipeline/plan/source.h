#pragma once

#include <cstdint>
#include <string>

#include "pipeline/base/result.h"
#include "pipeline/base/time.h"
#include "pipeline/batch/batch.h"

namespace takt {

/// What a source reads next, as its connector tells it. `anchor` lets a connector prove after a restart that its stream
/// is still the same.
struct SourcePosition {
    std::uint64_t next_sequence = 1;
    std::string anchor;  ///< opaque, at most 256 bytes; empty: nothing to verify
    /// The anchor of a later message that was read, too, when messages from `next_sequence` on are only read once more:
    /// verified like the other one. Empty: there is none.
    std::string newest_anchor = {};
    /// `next_sequence` is the first one that was ever read, whatever the config says of a beginning: what lies before
    /// it is no loss.
    bool from_start = false;
    /// Of the newest message that was ever read: where our own clock gives the ingest times (MessageBlock::own_clock),
    /// those of later messages are not before it, whatever the clock says.
    Timestamp last_ingest_time = 0;
};

/// Where input comes from. One reader thread of the engine owns it after `open`; `describe` may be called by any
/// thread.
class Source {
  public:
    enum class State : std::uint8_t {
        more,   ///< there may be more at once
        idle,   ///< connected, and the other side said that nothing is there; only this may make a source idle
        quiet,  ///< nothing came, and nobody said why
        end,    ///< bounded input is read to its end
    };
    struct Limits {
        std::size_t messages = 4096;
        std::size_t bytes = 4u << 20;
        Duration wait = 50 * kMillisecond;  ///< at most this long when nothing is there
    };

    virtual ~Source() = default;

    /// Connects and stands at the position. E errors are retried by the engine, F and C errors stop it.
    virtual Status open(const SourcePosition& position) = 0;

    /// Fills the (empty) block with what is there, within the limits; at least one message when State is `more`. A lost
    /// connection is the connector's to mend: it says `quiet` until it is back. An error ends the source: the engine
    /// stops and keeps its place.
    virtual Result<State> read(const Limits& limits, MessageBlock& block) = 0;

    /// The position after the last message read.
    virtual SourcePosition position() const = 0;

    /// Messages known to wait behind the last one read; 0 when unknown.
    virtual std::uint64_t pending() const { return 0; }
    /// Messages that were lost before we could read them (core NATS); part of the audit.
    virtual std::uint64_t dropped() const { return 0; }

    /// One line for people: "jetstream PLANT at nats://127.0.0.1:4222". No secrets.
    virtual std::string describe() const = 0;
};

}  // namespace takt
