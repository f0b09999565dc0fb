#pragma once

#include <vector>

#include "pipeline/plan/catalog.h"
#include "sources/formats.h"

namespace takt {

/// Every source that a config may name.
const std::vector<const SourceType*>& source_catalog();
/// Everything that the rows of a table may follow.
const std::vector<const TableType*>& table_catalog();

/// How the events of a connector with these options are written where its section has no `format`.
EventFormat::Kind usual_format(std::string_view connector, const ConfigNode& options);

}  // namespace takt
