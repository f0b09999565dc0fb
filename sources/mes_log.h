#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/base/result.h"

namespace takt {

/// An activity of a MES log; times as seconds since the log's first end.
struct MesActivity {
    std::string order;
    std::string activity;
    std::string resource;
    std::int64_t end_seconds = 0;
    std::int64_t worked_seconds = 0;
};

/// Reads a MES log (CSV: case_id,activity,resource,start_timestamp,timestamp); in the order of ends. C531: it cannot be
/// read, or is empty.
Result<std::vector<MesActivity>> read_mes_log(const std::string& path);

}  // namespace takt
