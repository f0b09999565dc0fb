#pragma once

#include <string>

#include "pipeline/plan/planner.h"

namespace takt {

enum class GraphFormat : std::uint8_t { text, dot, mermaid };

/// Steps and what flows between them, as the config says it.
std::string render_logical(const PlannedPipeline& planned, GraphFormat format);

/// What runs where: per segment the stateless steps that are fused before the exchange, the exchange with its key, and
/// what the lanes do. `lanes`: as the run would choose them.
std::string render_physical(const PlannedPipeline& planned, GraphFormat format, std::uint32_t lanes);

}  // namespace takt
