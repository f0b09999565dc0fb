#pragma once

#include "pipeline/plan/planner.h"

namespace takt {

const OperatorType& project_type();

}  // namespace takt
