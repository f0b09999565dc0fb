#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/load.h"
#include "cli/verbs.h"
#include "pipeline/plan/tables.h"
#include "sources/formats.h"

namespace takt {
namespace {

struct ListOptions {
    std::string group;
    std::string name;
};

/// An operator, source, sink or table, whatever its class.
struct Entry {
    std::string kind;
    std::string name;
    std::string help;
    OptionDocs options;
};

template <typename Type>
void add_entries(const std::string& kind, const std::vector<const Type*>& types, std::vector<Entry>& entries) {
    for (const Type* type : types) {
        entries.push_back({kind, std::string(type->name()), std::string(type->help()), type->docs()});
    }
}

std::vector<Entry> all_entries() {
    std::vector<Entry> entries;
    const Catalog catalog = whole_catalog();
    add_entries("operator", catalog.operators, entries);
    add_entries("source", catalog.sources, entries);
    add_entries("sink", catalog.sinks, entries);
    add_entries("table", catalog.tables, entries);
    return entries;
}

void print_options(const OptionDocs& options) {
    for (const OptionDoc& option : options) {
        std::string says = option.help;
        if (const std::string bounds = option.bounds(); !bounds.empty()) says += "; " + bounds;
        if (option.required) says += " (required)";
        if (!option.default_value.empty()) says += fmt::format(" (default {})", option.default_value);
        if (option.short_form) says += " (may stand alone in place of the mapping)";
        fmt::print("    {:<18} {:<20} {}\n", option.name, to_string(option.kind), says);
    }
}

void print_entry(const Entry& entry) {
    fmt::print("{} {}\n    {}\n", entry.kind, entry.name, entry.help);
    fmt::print("  options\n");
    print_options(entry.options);
    if (entry.kind == "table") {
        fmt::print("  beside it, in the table's section\n");
        print_options(table_option_docs());
    }
    if (entry.kind != "source") return;
    fmt::print("  beside it, in the source's section\n");
    print_options(format_docs());
    if (entry.name == "generator") return;
    fmt::print("  of `format: {{ delimited: {{ ... }} }}`\n");
    print_options(delimited_docs());
    fmt::print("  of each of its `fields`\n");
    print_options(delimited_field_docs());
}

int list(const ListOptions& options) {
    const std::vector<Entry> entries = all_entries();
    const std::string kind = options.group.empty() ? "" : options.group.substr(0, options.group.size() - 1);
    if (options.name.empty()) {
        for (const Entry& entry : entries) {
            if (kind.empty() || entry.kind == kind) fmt::print("{:<9} {:<12} {}\n", entry.kind, entry.name, entry.help);
        }
        return kExitOk;
    }
    std::vector<std::string> names;
    bool found = false;
    for (const Entry& entry : entries) {
        if (entry.kind != kind) continue;
        names.push_back(entry.name);
        if (entry.name != options.name) continue;
        print_entry(entry);
        found = true;
    }
    if (found) return kExitOk;
    const std::string hint = did_you_mean(options.name, names);
    fmt::print(stderr, "takt: no {} '{}'; {}\n", kind, options.name,
               hint.empty() ? fmt::format("there are {}", fmt::join(names, ", ")) : hint);
    return kExitMistake;
}

}  // namespace

void add_list(CLI::App& app, Invocation& invocation) {
    CLI::App* verb =
        app.add_subcommand("list", "List operators, sources, sinks and live tables, and the options of each.");
    verb->footer("takt list sources          one line each\ntakt list sources file     the options of one");
    const auto options = std::make_shared<ListOptions>();  // shared by the verb's callbacks, which CLI11 copies
    verb->add_option("kind", options->group, "what to list; all when absent")
        ->check(CLI::IsMember({"operators", "sources", "sinks", "tables"}));
    verb->add_option("name", options->name, "show its options")->type_name("NAME");
    verb->callback([options, &invocation] { invocation.exit_code = list(*options); });
}

}  // namespace takt
