#pragma once

#include <memory>
#include <string>

#include "pipeline/config/node.h"
#include "pipeline/config/option_table.h"
#include "pipeline/state/temporal_table.h"

namespace takt {

struct PlanOverrides;
struct ShiftCalendar;

/// A table that steps look up, and what it holds now. `current` is replaced only while no batch is in flight.
struct TableHandle {
    std::string name;
    std::shared_ptr<const TemporalTable> current;  ///< shared with whoever made it, until the next one
};

/// Options of an entry under `tables`, for the JSON Schema and `takt list`.
OptionDocs table_option_docs();

/// Reads a `tables` entry and the rows that it names. Null on mistakes.
std::shared_ptr<TableHandle> build_table(const std::string& name, const ConfigNode& node,
                                         const PlanOverrides& overrides, Mistakes& mistakes);

/// Reads a `calendars` entry: a CSV with the key's column, `shift`, `start` and `end`. Null on mistakes.
std::shared_ptr<const ShiftCalendar> build_calendar(const std::string& name, const ConfigNode& node,
                                                    const PlanOverrides& overrides, Mistakes& mistakes);

/// "string", "int", "bool", "timestamp", "duration", "decimal(6)".
std::optional<Type> parse_type_name(std::string_view text);

}  // namespace takt
