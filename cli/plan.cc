#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>

#include "cli/load.h"
#include "cli/reread.h"
#include "cli/verbs.h"
#include "pipeline/journal/disk.h"
#include "pipeline/journal/snapshot_store.h"
#include "pipeline/plan/config_change.h"
#include "sinks/report_table.h"

namespace takt {
namespace {

struct PlanOptions {
    std::vector<std::string> configs;
    std::string state;
    std::string format = "table";
};

bool same(const ConfigNode& a, const ConfigNode& b) {
    const auto same_entry = [](const ConfigNode::Entry& one, const ConfigNode::Entry& other) {
        return one.key == other.key && same(one.value, other.value);
    };
    return a.kind == b.kind && a.scalar == b.scalar &&
           std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), same) &&
           std::equal(a.entries.begin(), a.entries.end(), b.entries.begin(), b.entries.end(), same_entry);
}

/// "sqlite.path, dead_letters": names only, a value may be a secret.
std::string changed_options(const ConfigNode& before, const ConfigNode& now, const std::string& under = "") {
    std::set<std::string> names;
    for (const ConfigNode* node : {&before, &now}) {
        for (const ConfigNode::Entry& entry : node->entries) names.insert(entry.key);
    }
    std::string text;
    for (const std::string& name : names) {
        const ConfigNode* old = before.find(name);
        const ConfigNode* fresh = now.find(name);
        if (old != nullptr && fresh != nullptr && same(*old, *fresh)) continue;
        const bool deeper =
            under.empty() && old != nullptr && fresh != nullptr && old->is_mapping() && fresh->is_mapping();
        text += (text.empty() ? "" : ", ") + (deeper ? changed_options(*old, *fresh, name + ".") : under + name);
    }
    return text.empty() ? "order of options" : text;
}

/// What a config names in one section, in its order.
using Named = std::vector<std::pair<std::string, const ConfigNode*>>;

Named entries_of(const ConfigNode& config, const char* section) {
    Named named;
    if (const ConfigNode* node = config.find(section)) {
        for (const ConfigNode::Entry& entry : node->entries) named.emplace_back(entry.key, &entry.value);
    }
    return named;
}

/// Steps as "filter keep_in_plant".
Named steps_of(const ConfigNode& config) {
    const Catalog catalog = whole_catalog();
    Named named;
    const ConfigNode* section = config.find("steps");
    if (section == nullptr) return named;
    for (const ConfigNode& item : section->items) {
        for (const OperatorType* type : catalog.operators) {
            if (const ConfigNode* name = item.find(type->name()); name != nullptr && type->name() != "post")
                named.emplace_back(fmt::format("{} {}", type->name(), name->scalar), &item);
        }
    }
    return named;
}

const ConfigNode* find(const Named& named, const std::string& name) {
    for (const auto& [known, node] : named) {
        if (known == name) return node;
    }
    return nullptr;
}

struct Reasons {
    std::string kind;  ///< before the name: "sink "
    std::string fresh;
    std::string changed;
    std::string gone;
};

/// Edits of what keeps no state, each free. What `known` has is told already.
void compare(const Named& before, const Named& now, const Reasons& reasons, const std::set<std::string>& known,
             std::vector<ConfigEdit>& edits) {
    const auto add = [&](const std::string& name, std::string edit, const std::string& why) {
        if (known.count(reasons.kind + name) != 0) return;
        edits.push_back({ChangeClass::free, reasons.kind + name, {}, std::move(edit), why});
    };
    for (const auto& [name, node] : now) {
        const ConfigNode* old = find(before, name);
        if (old == nullptr) {
            add(name, "new", reasons.fresh);
        } else if (!same(*old, *node)) {
            add(name, "changed: " + changed_options(*old, *node), reasons.changed);
        }
    }
    for (const auto& [name, node] : before) {
        if (find(now, name) == nullptr) add(name, "gone", reasons.gone);
    }
}

/// All that differs between two configs.
std::vector<ConfigEdit> compare_configs(const LoadedPipeline& before, const LoadedPipeline& now) {
    std::vector<ConfigEdit> edits;
    const Plan& old_plan = *before.planned.plan;
    const Plan& plan = *now.planned.plan;
    if (old_plan.pipeline != plan.pipeline) {
        edits.push_back({ChangeClass::drops_state,
                         "pipeline",
                         {},
                         fmt::format("{} -> {}", old_plan.pipeline, plan.pipeline),
                         "a state directory belongs to one pipeline: the other one needs its own"});
    }
    for (ConfigEdit& edit : compare_state(kept_by(old_plan), plan)) edits.push_back(std::move(edit));
    for (const SourcePlan& source : plan.sources) {
        for (const SourcePlan& old : old_plan.sources) {
            if (old.name != source.name || old.connector == source.connector) continue;
            edits.push_back({ChangeClass::drops_state, "source " + source.name, "sources." + source.name,
                             fmt::format("{} -> {}", old.connector, source.connector),
                             "how far the one was read says nothing of the other: give it another name"});
        }
    }
    std::set<std::string> known;
    for (const ConfigEdit& edit : edits) known.insert(edit.what);
    const Named steps = steps_of(now.config);
    for (const KeyedNode* node : keyed_nodes(old_plan)) {
        const std::string name = fmt::format("{} {}", node->kind, node->step);
        if (find(steps, name) == nullptr) known.insert(name);
    }
    const auto section = [&](const char* name, const Reasons& reasons) {
        compare(entries_of(before.config, name), entries_of(now.config, name), reasons, known, edits);
    };
    section("sources", {"source ", "it is read from its beginning",
                        "its place is kept by name; the start checks that its origin is still the same one", ""});
    compare(
        steps_of(before.config), steps_of(now.config),
        {"", "it keeps no state",
         "it keeps no state that depends on that; what it brings to steps that do is told there", "it keeps no state"},
        known, edits);
    section("postings", {"posting ", "it keeps no state",
                         "its state does not depend on that; open windows keep the texts "
                         "of their first event",
                         "it keeps no state"});
    section("tables", {"table ", "it keeps no state", "what was posted stays; what comes is looked up in the new one",
                       "it keeps no state"});
    section("calendars",
            {"calendar ", "it keeps no state", "windows that use it are told with their steps", "it keeps no state"});
    section("sinks", {"sink ", "it gets what is made from now on", "what it has not answered is sent again",
                      "what it has not got is not sent any more"});
    for (const char* name : {"engine", "dead_letters"}) {
        static const ConfigNode nothing;
        const ConfigNode* old = before.config.find(name);
        const ConfigNode* fresh = now.config.find(name);
        const ConfigNode& a = old != nullptr ? *old : nothing;
        const ConfigNode& b = fresh != nullptr ? *fresh : nothing;
        if (same(a, b)) continue;
        edits.push_back({ChangeClass::free, name, {}, "changed: " + changed_options(a, b), "limits keep no state"});
    }
    return edits;
}

/// What the config does to a state directory, which may be in use.
Result<std::vector<ConfigEdit>> compare_with_state(const std::string& folder, const Plan& plan) {
    if (Status belongs = check_state_of(plan, folder); !belongs) return belongs.error();
    const auto kept = SnapshotStore::look(real_disk(), snapshot_folder(folder));
    if (!kept) return kept.error();
    if (!*kept)
        return Error{"C638", fmt::format("{} has no snapshot yet: run the pipeline and stop it cleanly", folder)};
    std::vector<ConfigEdit> edits = compare_state(kept_by((*kept)->state), plan);
    if ((*kept)->origin.config_hash != plan.config_hash) {
        edits.push_back({ChangeClass::free,
                         "config",
                         {},
                         fmt::format("hash {} -> {}", (*kept)->origin.config_hash, plan.config_hash),
                         "all else that differs keeps no state"});
    }
    return edits;
}

ReportTable table_of(const std::vector<ConfigEdit>& edits) {
    ReportTable table;
    table.columns = {{"class"}, {"what"}, {"uid"}, {"edit"}, {"entries", Align::right}, {"would_go"}, {"why"}};
    for (const ConfigEdit& edit : edits) {
        table.rows.push_back({std::string(to_string(edit.change)), edit.what, edit.uid, edit.edit,
                              edit.entries > 0 ? std::to_string(edit.entries) : "", text_of_state(edit),
                              edit.blocked.empty() ? edit.why : edit.blocked});
    }
    return table;
}

/// What to do, in one line.
std::string advice(ChangeClass worst, const std::vector<ConfigEdit>& edits) {
    if (worst < ChangeClass::new_uid)
        return "the state goes on: stop the pipeline cleanly and start it with the new config";
    std::string options;
    for (const ConfigEdit& edit : edits) {
        if (!edit.blocked.empty()) return fmt::format("refused: {}: {}", edit.what, edit.blocked);
        if (edit.refused_unless_dropped()) options += fmt::format(" --drop-state {}", edit.uid);
    }
    return fmt::format("refused, unless what would go may go:{}", options);
}

int run(const PlanOptions& options) {
    const bool with_state = !options.state.empty();
    if (options.configs.size() != (with_state ? 1u : 2u)) {
        fmt::print(stderr, "takt: say two configs, the old one first; or --state FOLDER and the new one\n");
        return kExitMistake;
    }
    const auto now = load_pipeline(options.configs.back());
    if (!now) return kExitMistake;
    std::vector<ConfigEdit> edits;
    if (with_state) {
        auto compared = compare_with_state(options.state, *now->planned.plan);
        if (!compared) return fail(compared.error());
        edits = std::move(*compared);
    } else {
        const auto before = load_pipeline(options.configs.front());
        if (!before) return kExitMistake;
        edits = compare_configs(*before, *now);
    }
    ChangeClass worst = ChangeClass::free;
    for (const ConfigEdit& edit : edits) worst = std::max(worst, edit.change);
    if (options.format == "json") {
        fmt::print("{}", table_of(edits).json());
    } else if (edits.empty()) {
        fmt::print("nothing changes\n");
    } else {
        fmt::print("{}\n{}\n", table_of(edits).text(), advice(worst, edits));
    }
    switch (worst) {
        case ChangeClass::free:
            return kExitOk;
        case ChangeClass::mapped:
            return kExitMapped;
        case ChangeClass::new_uid:
            return kExitNewUid;
        case ChangeClass::drops_state:
            return kExitDropsState;
    }
    return kExitOk;
}

}  // namespace

void add_plan(CLI::App& app, Invocation& invocation) {
    CLI::App* verb = app.add_subcommand("plan", "What a changed config does to the state that the old one has left.");
    verb->footer(
        "Compares two configs, or a state directory with a config; connects to nothing and changes nothing.\n"
        "Exit code: 0 every edit is free; 10 state goes on under another name; 11 a step needs a new uid; 12 state "
        "would go.");
    const auto options = std::make_shared<PlanOptions>();  // shared by the verb's callbacks, which CLI11 copies
    verb->add_option("configs", options->configs, "the config before, and the one to come")
        ->required()
        ->expected(1, 2)
        ->type_name("[OLD] NEW");
    verb->add_option("--state", options->state, "compare with the folder of `takt run --state`, in use or not")
        ->type_name("FOLDER");
    verb->add_option("--format", options->format, "table or json")->check(CLI::IsMember({"table", "json"}));
    verb->callback([options, &invocation] { invocation.exit_code = run(*options); });
}

}  // namespace takt
