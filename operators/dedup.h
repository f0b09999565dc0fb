#pragma once

#include "pipeline/plan/planner.h"

namespace takt {

const OperatorType& dedup_type();

}  // namespace takt
