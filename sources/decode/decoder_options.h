#pragma once

#include <cstdint>

#include "pipeline/batch/batch.h"

namespace takt {

/// What all decoders take besides schema and layout.
struct DecoderOptions {
    /// How events lie in one FlatBuffers message.
    enum class Framing : std::uint8_t {
        /// Size-prefixed when prefixes and events cover the message exactly and the first event has a root table, else
        /// single.
        automatic,
        single,         ///< one event, as `Finish` leaves it
        size_prefixed,  ///< one or many, each after its length (u32, little endian); length 0 is no event
    };

    std::uint32_t source = 0;  ///< Batch::source of what is decoded
    /// The layout's column that Batch::event_time is copied from. Without one, or in a row where it is absent: the
    /// ingest time.
    Slot event_time = kNoSlot;
    Framing framing = Framing::automatic;
};

}  // namespace takt
