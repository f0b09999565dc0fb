#include "cli/load.h"

#include <fmt/format.h>

#include <cstdio>

#include "operators/catalog.h"
#include "sinks/catalog.h"
#include "sources/catalog.h"

namespace takt {
namespace {

using Schemas = std::map<std::string, std::shared_ptr<const RecordSchema>>;

/// A source type that also notes the schema of what it planned.
class NotingSource final : public SourceType {
  public:
    NotingSource(const SourceType& type, Schemas& schemas) : type_(type), schemas_(schemas) {}

    std::string_view name() const override { return type_.name(); }
    std::string_view help() const override { return type_.help(); }
    OptionDocs docs() const override { return type_.docs(); }
    bool can_read_again() const override { return type_.can_read_again(); }
    std::optional<SourceDraft> plan(const std::string& source_name, const ConfigNode& options,
                                    const ConfigNode& section, Mistakes& mistakes) const override {
        auto draft = type_.plan(source_name, options, section, mistakes);
        if (draft) schemas_[source_name] = draft->schema;
        return draft;
    }

  private:
    const SourceType& type_;
    Schemas& schemas_;
};

}  // namespace

Catalog whole_catalog() {
    return {operator_catalog(), source_catalog(), sink_catalog(), table_catalog()};
}

std::optional<LoadedPipeline> load_pipeline(const std::string& path, const Catalog& catalog,
                                            const PlanOverrides& overrides) {
    LoadedPipeline loaded;
    std::vector<NotingSource> noting;
    noting.reserve(catalog.sources.size());
    Catalog noted = catalog;
    noted.sources.clear();
    for (const SourceType* type : catalog.sources) {
        noting.emplace_back(*type, loaded.schemas);
        noted.sources.push_back(&noting.back());
    }
    Mistakes mistakes;
    loaded.config = read_config(path, mistakes);
    // What could not be read would be missed once more.
    if (mistakes.empty()) loaded.planned = plan_pipeline(loaded.config, noted, overrides, mistakes);
    if (mistakes.empty()) return loaded;
    const std::size_t count = mistakes.list().size();
    fmt::print(stderr, "{}\n{} mistake{} in {}\n", mistakes.render(), count, count == 1 ? "" : "s", path);
    return std::nullopt;
}

std::vector<PlannedLedger> ledgers_of(const LoadedPipeline& loaded) {
    std::vector<PlannedLedger> ledgers;
    const ConfigNode* sinks = loaded.config.find("sinks");
    for (const SinkPlan& sink : loaded.planned.plan->sinks) {
        if (sink.connector != "sqlite") continue;
        const ConfigNode* options = sinks->find(sink.name)->find(sink.connector);
        const ConfigNode* path = options->is_mapping() ? options->find("path") : options;
        if (path != nullptr && path->is_scalar()) ledgers.push_back({sink.name, resolve_path(*path, path->scalar)});
    }
    return ledgers;
}

}  // namespace takt
