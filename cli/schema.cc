#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

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

/// The docs without these, which someone else describes.
OptionDocs without(OptionDocs docs, std::initializer_list<std::string_view> names) {
    const auto is_named = [&](const OptionDoc& doc) {
        return std::find(names.begin(), names.end(), doc.name) != names.end();
    };
    docs.erase(std::remove_if(docs.begin(), docs.end(), is_named), docs.end());
    return docs;
}

std::string help_of(const OptionDocs& docs, std::string_view name) {
    for (const OptionDoc& doc : docs) {
        if (doc.name == name) return doc.help;
    }
    return {};
}

/// `delimited: { ... }` with its fields.
Json delimited_schema() {
    Json fields = Json::object();
    fields.set("fields", named(delimited_field_docs()));
    Json with_fields = Json::object();
    with_fields.set("properties", std::move(fields));
    Json both = Json::array();
    both.push(option_schema(without(delimited_docs(), {"fields"}), {"fields"})).push(std::move(with_fields));
    Json schema = Json::object();
    schema.set("allOf", std::move(both));
    return schema;
}

/// `format`: a word, or one word with its options.
Json format_schema() {
    Json word = Json::object();
    word.set("enum", Json::array({"flatbuffers", "json", "csv", "tsv", "delimited"}));
    Json variable = Json::object();
    variable.set("type", "string").set("pattern", R"(\$\{)");
    Json properties = Json::object();
    properties.set("flatbuffers", option_schema(flatbuffers_docs()));
    for (const char* kind : {"csv", "tsv", "delimited"}) properties.set(kind, delimited_schema());
    Json mapping = Json::object();
    mapping.set("type", "object").set("properties", std::move(properties)).set("additionalProperties", false);
    mapping.set("minProperties", 1).set("maxProperties", 1);
    Json ways = Json::array();
    ways.push(std::move(word)).push(std::move(mapping)).push(std::move(variable));
    Json schema = Json::object();
    schema.set("description", help_of(format_docs(), "format")).set("anyOf", std::move(ways));
    return schema;
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
    parts.source_section = without(sections.source, {"time"});
    for (OptionDoc& doc : without(format_docs(), {"format"})) parts.source_section.push_back(std::move(doc));
    Json time = option_schema(sections.source_time);
    time.set("description", help_of(sections.source, "time"));
    parts.source_parts.emplace_back("time", std::move(time));
    parts.source_parts.emplace_back("format", format_schema());
    parts.sink_section = sections.sink;
    parts.engine_section = sections.engine;
    parts.fragments.emplace_back("dead_letters", option_schema(sections.dead_letters));
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
