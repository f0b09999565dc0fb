#include "sinks/message_format.h"

#include "sinks/posting_flatbuffers.h"
#include "sinks/posting_json.h"

namespace takt {

std::optional<std::string> message_of(const Posting& posting, MessageFormat format) {
    if (format == MessageFormat::flatbuffers) return posting_flatbuffer(posting);
    return posting_json(posting);
}

std::string message_of(const DeadLetter& letter, MessageFormat format) {
    return format == MessageFormat::flatbuffers ? dead_letter_flatbuffer(letter) : dead_letter_json(letter);
}

}  // namespace takt
