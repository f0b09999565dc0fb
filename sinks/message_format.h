#pragma once

#include <optional>
#include <string>

#include "pipeline/plan/posting.h"

namespace takt {

/// What a sink that sends one message for each posting writes into it.
enum class MessageFormat : std::uint8_t {
    json,         ///< posting_json
    flatbuffers,  ///< posting_flatbuffer
};

/// Nothing where the format has no exact place for a number of the posting: it is refused as OUT_OF_RANGE.
std::optional<std::string> message_of(const Posting& posting, MessageFormat format);
std::string message_of(const DeadLetter& letter, MessageFormat format);

}  // namespace takt
