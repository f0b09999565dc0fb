#pragma once

#include "pipeline/plan/planner.h"

namespace takt {

const OperatorType& lookup_type();

}  // namespace takt
