#pragma once

#include "pipeline/config/node.h"
#include "pipeline/config/text_lines.h"

namespace takt {

/// Replaces `${NAME}` and `${NAME:default}` in a scalar that has its offsets, and `$${` by `${`. A variable that is not
/// set and has no default is a mistake (C186), as is a `${` that is not closed or names nothing.
void substitute_environment(ConfigNode& node, const TextLines& lines, Mistakes& mistakes);

}  // namespace takt
