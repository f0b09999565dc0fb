#include "pipeline/plan/catalog.h"

#include <filesystem>

namespace takt {

std::string resolve_path(const ConfigNode& node, const std::string& path) {
    namespace fs = std::filesystem;
    if (path.empty() || fs::path(path).is_absolute() || !node.place.file) return path;
    return (fs::path(node.place.file->path).parent_path() / path).lexically_normal().string();
}

}  // namespace takt
