#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/load.h"
#include "cli/verbs.h"
#include "sources/decode/flatbuffers_schema.h"

namespace takt {
namespace {

struct CheckOptions {
    std::string config;
    std::string schema_was;
};

/// Holds the schemas of the config against an older version; shows what breaks its contract.
int check_schema_was(const LoadedPipeline& loaded, const std::string& path) {
    const auto old = load_bfbs(path);
    if (!old) {
        fmt::print(stderr, "takt: {}\n", old.error().text());
        return kExitMistake;
    }
    bool compared = false;
    bool broken = false;
    for (const auto& [source, schema] : loaded.schemas) {
        if (schema->name != (*old)->name) continue;
        compared = true;
        for (const SchemaBreak& one : check_evolution(**old, *schema)) {
            fmt::print(stderr, "{}: error {}: source '{}', field '{}': {}\n", path, one.code, source, one.field,
                       one.message);
            broken = true;
        }
    }
    if (!compared) {
        fmt::print(stderr, "takt: no source reads '{}', the record of {}\n", (*old)->name, path);
        return kExitMistake;
    }
    if (broken) return kExitMistake;
    fmt::print("schema     what was written with {} is read as before\n", path);
    return kExitOk;
}

std::size_t count_decoded(const RecordSchema& schema, const Layout& layout) {
    return static_cast<std::size_t>(
        std::count_if(schema.fields.begin(), schema.fields.end(),
                      [&](const RecordField& field) { return layout.find(field.field.name) != kNoSlot; }));
}

void report(const LoadedPipeline& loaded, const std::string& path) {
    const Plan& plan = *loaded.planned.plan;
    fmt::print("{} is right: pipeline '{}', config {}\n", path, plan.pipeline, plan.config_hash);
    for (const SourcePlan& source : plan.sources) {
        const RecordSchema& schema = *loaded.schemas.at(source.name);
        const Layout& layout = plan.segments[source.segment]->layout;
        fmt::print("source     {} ({}), {} of the {} columns of {} are decoded\n", source.name, source.connector,
                   count_decoded(schema, layout), schema.fields.size(), schema.name);
        for (const std::string& note : schema.notes) fmt::print("note       {}\n", note);
    }
    for (const TablePlan& table : plan.tables)
        fmt::print("table      {} ({}), read when the pipeline starts and followed from then on\n", table.name,
                   table.connector);
    std::size_t steps = 0;
    std::string postings;
    for (const GraphNode& node : loaded.planned.graph) {
        if (node.kind == "posting") {
            postings += (postings.empty() ? "" : ", ") + node.name;
        } else if (node.kind != "source" && node.kind != "sink") {
            ++steps;
        }
    }
    fmt::print("steps      {}\npostings   {}\n", steps, postings);
    for (const SinkPlan& sink : plan.sinks) {
        fmt::print("sink       {} ({}), {}{}\n", sink.name, sink.connector,
                   sink.all_postings ? "all postings" : fmt::format("{}", fmt::join(sink.postings, ", ")),
                   sink.dead_letters ? " and dead letters" : "");
    }
    for (const std::string& note : loaded.planned.notes) fmt::print("note       {}\n", note);
}

}  // namespace

void add_check(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("check", "Check a config as a whole: every mistake at once, with its place.");
    verb->footer(
        "Reads the config with its includes, schemas, tables and calendars, types every expression and plans the run;\n"
        "connects to nothing. Exit code 2 where there is a mistake.");
    const auto options = std::make_shared<CheckOptions>();  // shared by the verb's callbacks, which CLI11 copies
    verb->add_option("config", options->config, "the pipeline")->required()->type_name("CONFIG");
    verb->add_option("--schema-was", options->schema_was,
                     "an older version of the schema: refuse what breaks the contract that it made")
        ->type_name("OLD.bfbs");
    verb->callback([options, &invocation] {
        const auto loaded = load_pipeline(options->config);
        invocation.exit_code = loaded ? kExitOk : kExitMistake;
        if (!loaded) return;
        if (!options->schema_was.empty()) invocation.exit_code = check_schema_was(*loaded, options->schema_was);
        if (invocation.exit_code == kExitOk) report(*loaded, options->config);
    });
}

}  // namespace takt
