#pragma once

#include "pipeline/plan/planner.h"

namespace takt {

const OperatorType& union_type();

}  // namespace takt
