#pragma once

#include <memory>

#include "pipeline/config/node.h"

namespace takt {

/// One YAML file as a tree, without includes. On mistakes the tree holds what could be read.
ConfigNode read_yaml(std::shared_ptr<const ConfigFile> file, Mistakes& mistakes);

}  // namespace takt
