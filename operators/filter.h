#pragma once

#include "pipeline/plan/planner.h"

namespace takt {

const OperatorType& filter_type();

}  // namespace takt
