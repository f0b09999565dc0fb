#pragma once

#include "pipeline/plan/planner.h"

namespace takt {

const OperatorType& aggregate_type();

}  // namespace takt
