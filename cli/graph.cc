#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <thread>

#include "cli/graph_view.h"
#include "cli/load.h"
#include "cli/verbs.h"

namespace takt {
namespace {

struct GraphOptions {
    std::string config;
    GraphFormat format = GraphFormat::text;
    bool physical = false;
};

int graph(const GraphOptions& options) {
    const auto loaded = load_pipeline(options.config);
    if (!loaded) return kExitMistake;
    const std::uint32_t planned = loaded->planned.plan->lanes;
    const std::uint32_t lanes = planned > 0 ? planned : std::max(1u, std::thread::hardware_concurrency());
    fmt::print("{}", options.physical ? render_physical(loaded->planned, options.format, lanes)
                                      : render_logical(loaded->planned, options.format));
    return kExitOk;
}

}  // namespace

void add_graph(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("graph", "Draw a pipeline: its steps, or with --physical what runs where.");
    verb->footer("takt graph plant.yaml --format dot | dot -Tsvg > plant.svg");
    const auto options = std::make_shared<GraphOptions>();  // shared by the verb's callbacks, which CLI11 copies
    verb->add_option("config", options->config, "the pipeline")->required()->type_name("CONFIG");
    verb->add_option("--format", options->format, "text by default")
        ->transform(CLI::CheckedTransformer(std::map<std::string, GraphFormat>{{"text", GraphFormat::text},
                                                                               {"dot", GraphFormat::dot},
                                                                               {"mermaid", GraphFormat::mermaid}})
                        .description(""))
        ->type_name("text|dot|mermaid");
    verb->add_flag("--physical", options->physical, "segments, what is fused before each exchange, keys and lanes");
    verb->callback([options, &invocation] { invocation.exit_code = graph(*options); });
}

}  // namespace takt
