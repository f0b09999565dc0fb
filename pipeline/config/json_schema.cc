#include "pipeline/config/json_schema.h"

namespace takt {
namespace {

Json reference(const std::string& definition) {
    Json json = Json::object();
    json.set("$ref", "#/$defs/" + definition);
    return json;
}

/// Any name, each with this schema.
Json names_to(Json schema) {
    Json json = Json::object();
    json.set("type", "object").set("additionalProperties", std::move(schema));
    return json;
}

using NamedSchemas = std::vector<std::pair<std::string, Json>>;

/// A source, sink or table: the section's own options and `parts`, and one connector's key, which must be there where
/// it is `required`.
Json connector_section(const std::vector<KindDocs>& kinds, const std::string& prefix, const OptionDocs& section,
                       const NamedSchemas& parts, bool required, Json& definitions) {
    std::vector<std::string> names;
    Json ways = Json::array();
    for (const KindDocs& kind : kinds) {
        Json schema = option_schema(kind.options);
        schema.set("description", kind.help);
        definitions.set(prefix + kind.name, std::move(schema));
        names.push_back(kind.name);
        Json way = Json::object();
        way.set("required", Json::array({kind.name}));
        ways.push(std::move(way));
    }
    Json properties = Json::object();
    for (const std::string& name : names) properties.set(name, reference(prefix + name));
    for (const auto& [name, schema] : parts) {
        properties.set(name, schema);
        names.push_back(name);
    }
    Json json = option_schema(section, names);
    // The references stand beside the section's own options; a property of both must fit both.
    Json both = Json::array();
    Json connectors = Json::object();
    connectors.set("type", "object").set("properties", std::move(properties));
    if (required && !ways.empty()) connectors.set("oneOf", std::move(ways));
    both.push(std::move(connectors)).push(std::move(json));
    Json result = Json::object();
    result.set("allOf", std::move(both));
    return result;
}

Json steps(const SchemaParts& parts, Json& definitions) {
    Json ways = Json::array();
    for (const KindDocs& kind : parts.steps) {
        OptionDoc name;
        name.name = kind.name;
        name.kind = OptionKind::text;
        name.required = true;
        name.help = kind.help;
        OptionDocs all{name};
        all.insert(all.end(), kind.options.begin(), kind.options.end());
        all.insert(all.end(), parts.step_section.begin(), parts.step_section.end());
        definitions.set("step." + kind.name, option_schema(all));
        ways.push(reference("step." + kind.name));
    }
    Json item = Json::object();
    item.set("type", "object");
    if (!ways.empty()) item.set("oneOf", std::move(ways));
    Json json = Json::object();
    json.set("type", "array").set("items", std::move(item));
    return json;
}

}  // namespace

Json config_schema(const SchemaParts& parts) {
    Json definitions = Json::object();
    Json include = Json::verbatim(R"({"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}]})");
    Json name = Json::object();
    name.set("type", "string").set("description", "names this pipeline: the uid of its state and its postings");
    Json properties = Json::object();
    properties.set("pipeline", std::move(name)).set("include", std::move(include));
    properties.set("engine", option_schema(parts.engine_section));
    properties.set("sources", names_to(connector_section(parts.sources, "source.", parts.source_section,
                                                         parts.source_parts, true, definitions)));
    properties.set("tables",
                   names_to(connector_section(parts.tables, "table.", parts.table_section, {}, false, definitions)));
    for (const auto& [key, schema] : parts.fragments) properties.set(key, schema);
    properties.set("steps", steps(parts, definitions));
    properties.set("postings", names_to(option_schema(parts.posting_section)));
    properties.set("sinks",
                   names_to(connector_section(parts.sinks, "sink.", parts.sink_section, {}, true, definitions)));
    Json json = Json::object();
    json.set("$schema", "https://json-schema.org/draft/2020-12/schema")
        .set("title", "takt pipeline")
        .set("type", "object");
    json.set("properties", std::move(properties))
        .set("additionalProperties", false)
        .set("$defs", std::move(definitions));
    return json;
}

}  // namespace takt
