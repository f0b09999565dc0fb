#pragma once

#include <vector>

#include "pipeline/plan/catalog.h"

namespace takt {

/// Every source that a config may name.
const std::vector<const SourceType*>& source_catalog();

}  // namespace takt
