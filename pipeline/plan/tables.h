#pragma once

#include <memory>
#include <string>

#include "pipeline/config/node.h"
#include "pipeline/config/option_table.h"
#include "pipeline/plan/catalog.h"
#include "pipeline/plan/plan.h"

namespace takt {

struct PlanOverrides;
struct ShiftCalendar;

/// Options of an entry under `tables`, for the JSON Schema and `takt list`.
OptionDocs table_option_docs();

/// Reads a `tables` entry: a table with the rows that it names, or an empty one that follows its origin as one of
/// `types` says. Nothing on mistakes.
struct BuiltTable {
    std::shared_ptr<TableHandle> handle;
    const TableType* live = nullptr;
    TableType::Make make;  ///< of a live one
};
std::optional<BuiltTable> build_table(const std::string& name, const ConfigNode& node,
                                      const std::vector<const TableType*>& types, const PlanOverrides& overrides,
                                      Mistakes& mistakes);

/// Reads a `calendars` entry: a CSV with the key's column, `shift`, `start` and `end`. Null on mistakes.
std::shared_ptr<const ShiftCalendar> build_calendar(const std::string& name, const ConfigNode& node,
                                                    const PlanOverrides& overrides, Mistakes& mistakes);

/// "string", "int", "bool", "timestamp", "duration", "decimal(6)".
std::optional<Type> parse_type_name(std::string_view text);

}  // namespace takt
