#pragma once

#include <string>

#include "pipeline/observe/engine_status.h"

namespace takt {

struct Health {
    bool healthy = false;
    std::string reason;  ///< one line, also when healthy
};

/// Healthy is who makes progress, or has nothing to do and knows it: whatever waits (messages, chunks, postings) must
/// move within `limit`, and a source that neither delivers nor says that nothing is there is trusted no longer than
/// that, nor is a table that has lost its origin. A journal without room is bad at once. A running process proves
/// nothing.
Health judge_health(const EngineStatus& status, Duration limit);

}  // namespace takt
