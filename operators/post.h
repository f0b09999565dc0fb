#pragma once

#include "pipeline/plan/planner.h"

namespace takt {

const OperatorType& post_type();

}  // namespace takt
