#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/load.h"
#include "cli/verbs.h"
#include "pipeline/config/json_schema.h"
#include "pipeline/plan/tables.h"
#include "sources/formats.h"

namespace takt {
namespace {

template <typename Type>
std::vector<KindDocs> docs_of(const std::vector<const Type*>& types) {
    std::vector<KindDocs> docs;
    for (const Type* type : types) docs.push_back({std::string(type->name()), std::string(type->help()), type->docs()});
    return docs;
}

/// Any name, each with these options.
Json named(const OptionDocs& options) {
    Json json = Json::object();
    json.set("type", "object").set("additionalProperties", option_schema(options));
    return json;
}

OptionDoc from_doc() {
    OptionDoc doc;
    doc.name = "from";
    doc.kind = OptionKind::text_list;
    doc.help = "the steps or sources that it reads; the step above when absent";
    return doc;
}

OptionDoc text_doc(std::string name, std::string help) {
    OptionDoc doc;
    doc.name = std::move(name);
    doc.kind = OptionKind::text;
    doc.required = true;
    doc.help = std::move(help);
    return doc;
}

Json pipeline_schema() {
    const Catalog catalog = whole_catalog();
    const SectionDocs sections = section_docs();
    SchemaParts parts;
    parts.sources = docs_of(catalog.sources);
    parts.sinks = docs_of(catalog.sinks);
    for (KindDocs& kind : docs_of(catalog.operators)) {
        if (kind.name == "post") {
            parts.posting_section = std::move(kind.options);
        } else {
            parts.steps.push_back(std::move(kind));
        }
    }
    parts.source_section = sections.source;
    for (OptionDoc& doc : format_docs()) parts.source_section.push_back(std::move(doc));
    parts.sink_section = sections.sink;
    parts.engine_section = sections.engine;
    parts.step_section = {from_doc()};
    parts.posting_section.push_back(from_doc());
    parts.tables = docs_of(catalog.tables);
    parts.table_section = table_option_docs();
    parts.fragments.emplace_back("calendars",
                                 named({text_doc("csv", "file with the key's column, `shift`, `start`, `end`"),
                                        text_doc("key", "column that tells whose shifts they are")}));
    return config_schema(parts);
}

}  // namespace

void add_schema(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("schema", "Print the JSON Schema of a config, for completion in an editor.");
    verb->footer(
        "takt schema > takt.schema.json, and as the first line of a config:\n"
        "# yaml-language-server: $schema=takt.schema.json");
    verb->callback([&invocation] {
        fmt::print("{}\n", pipeline_schema().dump(2));
        invocation.exit_code = kExitOk;
    });
}

}  // namespace takt
