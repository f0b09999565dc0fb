#pragma once

#include <string>

#include "pipeline/plan/epoch_result.h"

namespace takt {

/// What of an epoch that was made again is not as it was: "posting 3: its payload is another one". Empty: nothing.
std::string epoch_difference(const EpochResult& made, const EpochResult& before);

}  // namespace takt
