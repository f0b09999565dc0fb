#pragma once

#include <vector>

#include "pipeline/plan/catalog.h"

namespace takt {

/// Every operator that a config may name, in the order in which `takt list` shows them.
const std::vector<const OperatorType*>& operator_catalog();

}  // namespace takt
