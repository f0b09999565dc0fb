#pragma once

#include <string>

#include "pipeline/observe/engine_status.h"

namespace takt {

/// The status in Prometheus' text format; docs of each metric are its HELP line. Counters count since the start of the
/// process.
std::string metrics_text(const EngineStatus& status);

/// What /metrics must send with it.
inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace takt
