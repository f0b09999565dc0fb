#pragma once

#include <span>

#include "pipeline/batch/batch.h"

#if defined(TAKT_FAULTS) && !defined(TAKT_SIMULATION)
#include <cstdlib>
#include <string_view>
#endif

namespace takt {

// A mistake of takt itself, so that crash tests have messages that kill. Nothing in builds without TAKT_FAULTS, nor in
// the simulator, which does not die of what it reads.

#if defined(TAKT_FAULTS) && !defined(TAKT_SIMULATION)
/// Ends the process by SIGABRT where a message holds the text that the environment's TAKT_DIES_OF says.
inline void die_of_deadly_text(std::span<const Message> messages) {
    static const char* const variable = std::getenv("TAKT_DIES_OF");
    static const std::string_view text = variable == nullptr ? "" : variable;
    if (text.empty()) return;
    for (const Message& message : messages) {
        if (message.data.find(text) != std::string_view::npos) std::abort();
    }
}
#else
inline void die_of_deadly_text(std::span<const Message>) {}
#endif

}  // namespace takt
