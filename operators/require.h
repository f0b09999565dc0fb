#pragma once

#include "pipeline/plan/planner.h"

namespace takt {

const OperatorType& require_type();

}  // namespace takt
