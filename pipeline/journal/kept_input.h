#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/journal/disk.h"
#include "pipeline/plan/epoch_result.h"

namespace takt {

/// What `read_kept_input` says of messages that are not in the journal.
constexpr const char* kInputGone = "C667";

/// Reads messages that only the journal has, of a source that cannot be read again: those with sequences [first, last],
/// in their order, up to the last one that is there. `take` gets those of one frame at once. The directory may be in
/// use; nothing is written or locked. kInputGone: messages of the range are not there, because frames were removed, or
/// because the source was another one then; or two have the same sequence, because its state was dropped in between.
/// F704, F705, F707, E700.
Status read_kept_input(Disk& disk, const std::string& state_directory, const std::string& source, std::uint64_t first,
                       std::uint64_t last, const std::function<void(std::vector<InputRecord>)>& take);

}  // namespace takt
