#pragma once

#include "pipeline/plan/planner.h"

namespace takt {

const OperatorType& route_type();

}  // namespace takt
