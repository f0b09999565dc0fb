#include "pipeline/plan/tables.h"

#include <fmt/format.h>

#include <charconv>

#include "pipeline/plan/planner.h"

namespace takt {
namespace {

struct TableOptions {
    std::string csv;
    ConfigNode rows;
    std::vector<std::string> key;
    std::string valid_from;
    ConfigNode fallbacks;
    ConfigNode columns;

    static OptionTable<TableOptions> options() {
        OptionTable<TableOptions> table;
        table.optional("csv", &TableOptions::csv, "file with a header line, RFC 4180");
        table.optional("rows", &TableOptions::rows,
                       "rows written here, each a list: the key's values, then the columns'");
        table.required("key", &TableOptions::key, "one to three columns");
        table.optional("valid_from", &TableOptions::valid_from,
                       "column with the instant from which a row holds, until the next row of its key");
        table.optional("or", &TableOptions::fallbacks,
                       "what to look up where no row of the exact key holds: { COLUMN: VALUE }");
        table.required("columns", &TableOptions::columns,
                       "columns to take, each with its type: string, int, bool, timestamp, duration, decimal(DIGITS)");
        return table;
    }
};

struct CalendarOptions {
    std::string csv;
    std::string key;

    static OptionTable<CalendarOptions> options() {
        OptionTable<CalendarOptions> table;
        table.required("csv", &CalendarOptions::csv,
                       "file with the key's column, `shift`, `start` and `end` (local HH:MM)");
        table.required("key", &CalendarOptions::key, "column that tells whose shifts they are");
        return table;
    }
};

/// The rows as CSV text, as a file would have them.
std::string rows_as_csv(const ConfigNode& rows, const TableSpec& spec, const std::string& what, Mistakes& mistakes) {
    std::string text;
    std::size_t width = 0;
    const auto add = [&](const std::string& name) {
        if (width++ > 0) text += ',';
        append_csv_field(text, name);
    };
    for (const std::string& column : spec.key) add(column);
    if (!spec.valid_from.empty()) add(spec.valid_from);
    for (const Field& field : spec.fields) add(field.name);
    text += '\n';
    for (const ConfigNode& row : rows.items) {
        if (row.items.size() != width) {
            mistakes.add(row.place, "C118",
                         fmt::format("a row of {} has {} values, this one {}", what, width, row.items.size()));
            continue;
        }
        for (std::size_t i = 0; i < width; ++i) {
            if (i > 0) text += ',';
            append_csv_field(text, row.items[i].scalar);
        }
        text += '\n';
    }
    return text;
}

bool read_spec(const TableOptions& options, const ConfigNode& node, const std::string& what, TableSpec& spec,
               Mistakes& mistakes) {
    bool good = true;
    spec.key = options.key;
    spec.valid_from = options.valid_from;
    spec.other_columns = true;
    if (spec.key.empty() || spec.key.size() > kMaxKeyParts) {
        mistakes.add(node.place, "C119", fmt::format("the key of {} has one to three columns", what));
        good = false;
    }
    for (const ConfigNode::Entry& entry : options.columns.entries) {
        const auto type = parse_type_name(entry.value.scalar);
        if (!type) {
            mistakes.add(entry.value.place, "C125",
                         fmt::format("'{}' is no type of a table's column; there are string, int, bool, timestamp, "
                                     "duration, decimal(DIGITS)",
                                     entry.value.scalar));
            good = false;
            continue;
        }
        spec.fields.push_back({entry.key, *type, false});
    }
    for (const ConfigNode::Entry& entry : options.fallbacks.entries) {
        const auto part = std::find(spec.key.begin(), spec.key.end(), entry.key);
        if (part == spec.key.end()) {
            mistakes.add(entry.key_place, "C126", fmt::format("'{}' is no part of the key of {}", entry.key, what),
                         did_you_mean(entry.key, spec.key));
            good = false;
            continue;
        }
        spec.fallbacks.push_back({static_cast<std::size_t>(part - spec.key.begin()), entry.value.scalar});
    }
    return good;
}

std::optional<Duration> parse_time_of_day(std::string_view text) {
    const auto two_digits = [&](std::size_t at) -> int {
        if (text[at] < '0' || text[at] > '9' || text[at + 1] < '0' || text[at + 1] > '9') return -1;
        return (text[at] - '0') * 10 + (text[at + 1] - '0');
    };
    if (text.size() != 5 || text[2] != ':') return std::nullopt;
    const int hour = two_digits(0);
    const int minute = two_digits(3);
    const bool midnight = hour == 24 && minute == 0;
    if (hour < 0 || minute < 0 || minute > 59 || (hour > 23 && !midnight)) return std::nullopt;
    return hour * kHour + minute * kMinute;
}

Result<CsvTable> read_rows(const std::string& name, const ConfigNode& node, const std::string& csv,
                           const PlanOverrides& overrides) {
    const auto override_text = overrides.tables.find(name);
    if (override_text != overrides.tables.end())
        return parse_csv(fmt::format("table {} of the test", name), override_text->second);
    return read_csv(resolve_path(*node.find("csv"), csv));
}

/// The table of these rows. Null on mistakes, which are reported at `at`.
std::shared_ptr<const TemporalTable> make_table(TableSpec spec, const Result<CsvTable>& rows, const ConfigNode& at,
                                                Mistakes& mistakes) {
    const auto refuse = [&](const Error& error) {
        mistakes.add(at.place, error.code, error.message);
        return nullptr;
    };
    if (!rows) return refuse(rows.error());
    TableBuilder builder(std::move(spec));
    if (const Status added = builder.add(*rows); !added) return refuse(added.error());
    auto built = builder.build();
    if (!built) return refuse(built.error());
    return std::move(built).value();
}

}  // namespace

OptionDocs table_option_docs() {
    return TableOptions::options().describe();
}

std::optional<Type> parse_type_name(std::string_view text) {
    static constexpr std::pair<std::string_view, TypeKind> simple[] = {{"string", TypeKind::string},
                                                                       {"int", TypeKind::int64},
                                                                       {"bool", TypeKind::boolean},
                                                                       {"timestamp", TypeKind::timestamp},
                                                                       {"duration", TypeKind::duration}};
    for (const auto& [name, kind] : simple) {
        if (text == name) return Type::of(kind);
    }
    if (text.substr(0, 8) != "decimal(" || text.back() != ')') return std::nullopt;
    int scale = -1;
    const char* end = text.data() + text.size() - 1;
    const auto read = std::from_chars(text.data() + 8, end, scale);
    if (read.ec != std::errc() || read.ptr != end || scale < 0 || scale > kMaxDecimalScale) return std::nullopt;
    return Type::decimal(scale);
}

std::optional<BuiltTable> build_table(const std::string& name, const ConfigNode& node,
                                      const std::vector<const TableType*>& types, const PlanOverrides& overrides,
                                      Mistakes& mistakes) {
    const std::string what = fmt::format("table '{}'", name);
    std::vector<std::string> live_names;
    for (const TableType* type : types) live_names.emplace_back(type->name());
    TableOptions options;
    if (!TableOptions::options().read(node, what, options, mistakes, live_names)) return std::nullopt;
    TableSpec spec;
    spec.name = name;
    if (!read_spec(options, node, what, spec, mistakes)) return std::nullopt;

    // What stands in the config is checked even where a test brings rows of its own.
    BuiltTable built;
    int origins = (node.find("csv") != nullptr ? 1 : 0) + (node.find("rows") != nullptr ? 1 : 0);
    for (const TableType* type : types) {
        const ConfigNode* live_options = node.find(type->name());
        if (live_options == nullptr) continue;
        ++origins;
        built.live = type;
        auto make = type->plan(*live_options, spec, mistakes);
        if (!make) return std::nullopt;
        built.make = std::move(*make);
    }
    if (origins != 1) {
        std::vector<std::string> known = {"csv", "rows"};
        known.insert(known.end(), live_names.begin(), live_names.end());
        mistakes.add(node.place, "C127",
                     fmt::format("{} must say where its rows are, by one of {}", what, fmt::join(known, ", ")));
        return std::nullopt;
    }

    built.handle = std::make_shared<TableHandle>();  // shared by the steps that look it up
    built.handle->name = name;
    const ConfigNode* written = node.find("rows");
    if (overrides.tables.count(name) > 0) {
        built.live = nullptr;
        built.handle->current = make_table(std::move(spec), read_rows(name, node, {}, overrides), node, mistakes);
    } else if (built.live != nullptr) {
        built.handle->current = TableBuilder(std::move(spec)).build().value();
    } else if (written != nullptr) {
        const std::string text = rows_as_csv(options.rows, spec, what, mistakes);
        built.handle->current = make_table(std::move(spec), parse_csv(node.place.file->path, text), *written, mistakes);
    } else {
        built.handle->current =
            make_table(std::move(spec), read_rows(name, node, options.csv, overrides), *node.find("csv"), mistakes);
    }
    if (built.handle->current == nullptr) return std::nullopt;
    return built;
}

std::shared_ptr<const ShiftCalendar> build_calendar(const std::string& name, const ConfigNode& node,
                                                    const PlanOverrides& overrides, Mistakes& mistakes) {
    const std::string what = fmt::format("calendar '{}'", name);
    CalendarOptions options;
    if (!CalendarOptions::options().read(node, what, options, mistakes)) return nullptr;
    const auto rows = read_rows(name, node, options.csv, overrides);
    const ConfigNode& at = *node.find("csv");
    if (!rows) {
        mistakes.add(at.place, rows.error().code, rows.error().message);
        return nullptr;
    }
    int columns[4];
    const std::string names[4] = {options.key, "shift", "start", "end"};
    for (std::size_t i = 0; i < 4; ++i) {
        columns[i] = rows->find(names[i]);
        if (columns[i] < 0) {
            mistakes.add(at.place, "C128", fmt::format("{}: {} has no column '{}'", what, rows->path(), names[i]));
            return nullptr;
        }
    }
    auto calendar = std::make_shared<ShiftCalendar>();
    bool good = true;
    for (std::size_t i = 0; i < rows->rows(); ++i) {
        const auto row = rows->row(i);
        const auto cell = [&](int column) { return row[static_cast<std::size_t>(columns[column])]; };
        const auto start = parse_time_of_day(cell(2).text);
        const auto end = parse_time_of_day(cell(3).text);
        if (!start || !end || *start == kDay) {
            mistakes.add(at.place, "C129",
                         fmt::format("{}: expected a time of day such as 06:00",
                                     rows->place(cell(start && *start != kDay ? 3 : 2))));
            good = false;
            continue;
        }
        const std::string key(cell(0).text);
        auto entry = std::find_if(calendar->entries.begin(), calendar->entries.end(),
                                  [&](const auto& known) { return known.key == key; });
        if (entry == calendar->entries.end()) entry = calendar->entries.insert(entry, {key, {}});
        entry->shifts.push_back({std::string(cell(1).text), *start, *end == kDay ? 0 : *end});
    }
    const auto utc = TimeZone::find("UTC");
    for (const ShiftCalendar::Entry& entry : calendar->entries) {
        const auto plan =
            utc ? ShiftPlan::make(utc.value(), entry.shifts) : Result<std::shared_ptr<const ShiftPlan>>(utc.error());
        if (!plan) {
            mistakes.add(at.place, plan.error().code,
                         fmt::format("{}, key '{}': {}", what, entry.key, plan.error().message));
            good = false;
        }
    }
    return good ? calendar : nullptr;
}

}  // namespace takt
