#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/plan/planner.h"

namespace takt {

/// A config as read, and what was planned from it.
struct LoadedPipeline {
    ConfigNode config;
    PlannedPipeline planned;  ///< with a plan
    /// Of each source, by name: every field of its schema, used or not.
    std::map<std::string, std::shared_ptr<const RecordSchema>> schemas;
};

/// Every operator, source and sink there is.
Catalog whole_catalog();

/// Reads and plans a config. Mistakes are shown on stderr, all at once; then there is nothing.
std::optional<LoadedPipeline> load_pipeline(const std::string& path, const Catalog& catalog = whole_catalog(),
                                            const PlanOverrides& overrides = {});

/// A ledger that a config's pipeline writes: the sink, and its file.
struct PlannedLedger {
    std::string sink;
    std::string path;
};
std::vector<PlannedLedger> ledgers_of(const LoadedPipeline& loaded);

}  // namespace takt
