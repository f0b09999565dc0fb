#pragma once

#include <vector>

#include "pipeline/plan/catalog.h"

namespace takt {

/// Every sink that a config may name.
const std::vector<const SinkType*>& sink_catalog();

}  // namespace takt
