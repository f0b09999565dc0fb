#pragma once

#include <string>
#include <vector>

#include "pipeline/config/json.h"
#include "pipeline/config/option_table.h"

namespace takt {

/// A kind of source, step or sink, for the schema.
struct KindDocs {
    std::string name;  ///< "jetstream", "filter"
    std::string help;
    OptionDocs options;
};

/// What a config may hold, as the registered kinds say.
struct SchemaParts {
    std::vector<KindDocs> sources;
    std::vector<KindDocs> steps;
    std::vector<KindDocs> sinks;
    std::vector<KindDocs> tables;  ///< the live ones; a table may have none of them
    OptionDocs source_section;     ///< options of every source, beside its connector's key
    OptionDocs step_section;       ///< of every step, beside its operator's own: `from`
    /// More options of every source, whose values have a form of their own ("time"): name and JSON Schema.
    std::vector<std::pair<std::string, Json>> source_parts;
    OptionDocs sink_section;
    OptionDocs table_section;
    OptionDocs posting_section;
    OptionDocs engine_section;
    /// More top-level properties ("calendars"): name and JSON Schema.
    std::vector<std::pair<std::string, Json>> fragments;
};

/// A JSON Schema (draft 2020-12) of a pipeline's config, which gives completion and hover help in an editor. In a
/// source or sink exactly one connector's key is wanted; a step begins with its operator's key, whose value is the
/// step's name.
Json config_schema(const SchemaParts& parts);

}  // namespace takt
