#include "pipeline/plan/config_change.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "pipeline/base/time.h"

namespace takt {
namespace {

using Step = EngineState::Step;

const std::string* find_parameter(const StepIdentity& identity, std::string_view name) {
    for (const StepParameter& parameter : identity.parameters) {
        if (parameter.name == name) return &parameter.value;
    }
    return nullptr;
}

std::string name_of(const StepIdentity& identity) {
    return fmt::format("{} {}", identity.kind == "post" ? "posting" : identity.kind, identity.step);
}

/// Which kept step goes on as which node: by uid, or by the uid it had.
class Matches {
  public:
    Matches(const std::vector<Step>& before, const Plan& plan) : before_(before) {
        for (const KeyedNode* node : keyed_nodes(plan)) {
            const Step* found = find(node->identity().uid);
            if (found == nullptr && !node->uid_was.empty()) found = find(node->uid_was);
            pairs_.emplace_back(node, found);
            if (found == nullptr) continue;
            taken_.insert(found);
            uid_now_[found->identity.uid] = node->identity().uid;
        }
    }
    const std::vector<std::pair<const KeyedNode*, const Step*>>& pairs() const { return pairs_; }
    bool is_taken(const Step& step) const { return taken_.count(&step) != 0; }

    /// What the parameters of a kept step are called now: uids that they name may have others.
    std::vector<StepParameter> parameters_now(const Step& step) const {
        std::vector<StepParameter> parameters = step.identity.parameters;
        for (StepParameter& parameter : parameters) {
            if (parameter.name != kPanesOf) continue;
            const auto now = uid_now_.find(parameter.value);
            if (now != uid_now_.end()) parameter.value = now->second;
        }
        return parameters;
    }

  private:
    const Step* find(const std::string& uid) const {
        for (const Step& step : before_) {
            if (step.identity.uid == uid) return &step;
        }
        return nullptr;
    }

    const std::vector<Step>& before_;
    std::vector<std::pair<const KeyedNode*, const Step*>> pairs_;
    std::set<const Step*> taken_;
    std::map<std::string, std::string> uid_now_;
};

std::vector<std::string> parts_of(std::string_view list) {
    std::vector<std::string> parts;
    while (!list.empty()) {
        const std::size_t end = list.find(", ");
        parts.emplace_back(list.substr(0, end));
        list = end == std::string_view::npos ? std::string_view() : list.substr(end + 2);
    }
    return parts;
}

/// The parts of the one list that the other one lacks, by the names of their steps where `names` knows them.
std::string parts_without(const std::string& list, const std::string& other,
                          const std::map<std::string, std::string>& names) {
    const std::vector<std::string> others = parts_of(other);
    std::vector<std::string> parts = parts_of(list);
    std::erase_if(
        parts, [&](const std::string& part) { return std::find(others.begin(), others.end(), part) != others.end(); });
    for (std::string& part : parts) {
        const auto name = names.find(part);
        if (name != names.end()) part = name->second;
    }
    return fmt::format("{}", fmt::join(parts, ", "));
}

/// "rows: filter 0123456789abcdef -> filter wanted": the steps as they were have no names any more.
std::string difference_of(const std::string& parameter, std::string before, std::string now,
                          const std::map<std::string, std::string>& names) {
    if (parameter == kInputColumns || parameter == kInputRows) {
        const std::string gone = parts_without(before, now, {});
        now = parts_without(now, before, names);
        before = gone;
        if (before.empty() && now.empty()) return fmt::format("{}: another order", parameter);
    }
    return fmt::format("{}: {} -> {}", parameter, before.empty() ? "none" : before, now.empty() ? "none" : now);
}

/// "window: tumbling 1h -> tumbling 30m; lateness: 0s -> 1h".
std::string difference_of(const std::vector<StepParameter>& before, const KeyedNode& node) {
    const StepIdentity now = node.identity();
    std::vector<std::string> texts;
    for (const StepParameter& parameter : before) {
        const std::string* other = find_parameter(now, parameter.name);
        if (other != nullptr && *other == parameter.value) continue;
        texts.push_back(difference_of(parameter.name, parameter.value, other != nullptr ? *other : "", node.inputs));
    }
    for (const StepParameter& parameter : now.parameters) {
        const bool is_new = std::none_of(before.begin(), before.end(),
                                         [&](const StepParameter& one) { return one.name == parameter.name; });
        if (is_new) texts.push_back(difference_of(parameter.name, "", parameter.value, node.inputs));
    }
    return fmt::format("{}", fmt::join(texts, "; "));
}

void put_state(const Step& step, ConfigEdit& edit) {
    edit.uid = step.identity.uid;
    edit.entries = step.entries;
    edit.told = step.told;
    edit.open = step.open;
}

/// Whether windows that were closed and forgotten under the old parameters may open again under the new ones.
bool waits_longer(const StepIdentity& before, const StepIdentity& now) {
    const std::string* old = find_parameter(before, kLateness);
    const std::string* fresh = find_parameter(now, kLateness);
    if (old == nullptr || fresh == nullptr) return false;
    const auto was = parse_duration(*old);
    const auto is = parse_duration(*fresh);
    return !was || !is || *is > *was;
}

ConfigEdit changed(const Step& before, const StepIdentity& now, std::string difference) {
    ConfigEdit edit{ChangeClass::new_uid, name_of(now), {}, std::move(difference)};
    put_state(before, edit);
    if (now.kind != before.identity.kind) {
        edit.edit = fmt::format("{} -> {}", before.identity.kind, now.kind);
        edit.why = "the state of the one is none of the other";
        return edit;
    }
    const auto differs = [&](const char* name) {
        const std::string* old = find_parameter(before.identity, name);
        const std::string* fresh = find_parameter(now, name);
        return old != nullptr && fresh != nullptr && *old != *fresh;
    };
    if (differs(kDocumentUid) || differs(kDocumentType)) {
        edit.why =
            "a posting's uid is in the keys of its documents, and its name in what they say: its open windows go on "
            "under no other one. Take both back, or let the windows go";
    } else if (before.identity.uid != now.uid) {
        edit.why =
            "what is kept was made with the old one: leave out uid_was, and let the old step run beside it until its "
            "windows are closed";
    } else {
        edit.why =
            "what is kept was made with the old one: give the step another uid, and let the old one run beside it "
            "until its windows are closed";
    }
    if (before.identity.uid == now.uid && before.told > 0) {
        edit.blocked = fmt::format(
            "{} of its panes have told something already, and would tell it again from the "
            "first revision on: give it another uid",
            before.told);
    } else if (before.identity.uid == now.uid && waits_longer(before.identity, now)) {
        edit.blocked =
            "windows that are closed would open again for late events, and tell again from the first revision on: give "
            "it another uid";
    }
    return edit;
}

/// Sums of postings of one name have one number of digits for good.
std::string mixed_digits(const std::vector<Step>& before, const StepIdentity& now) {
    const std::string* digits = find_parameter(now, kDigits);
    if (digits == nullptr) return {};
    for (const Step& step : before) {
        const std::string* old = step.identity.step == now.step ? find_parameter(step.identity, kDigits) : nullptr;
        if (old == nullptr || *old == *digits) continue;
        return fmt::format("postings '{}' are summed up at '{}' in the audit: give this one another name", now.step,
                           *old);
    }
    return {};
}

/// `remade`: uids of the aggregates whose panes are not what they were.
std::optional<ConfigEdit> edit_of(const KeyedNode& node, const Step* before, const Matches& matches,
                                  const KeptState& kept, const std::set<std::string>& remade) {
    const StepIdentity now = node.identity();
    const std::string digits = mixed_digits(kept.steps, now);
    if (!digits.empty() && before == nullptr) {
        ConfigEdit edit{ChangeClass::new_uid, name_of(now), now.uid, "other digits under the old name", "", digits};
        return edit;
    }
    if (before == nullptr) {
        return ConfigEdit{ChangeClass::free, name_of(now), {}, "new", "it begins with nothing"};
    }
    const std::vector<StepParameter> parameters = matches.parameters_now(*before);
    if (parameters != now.parameters || before->identity.kind != now.kind ||
        before->identity.keeps_state != now.keeps_state) {
        ConfigEdit edit = changed(*before, now, difference_of(parameters, node));
        if (!digits.empty()) edit.blocked = digits;
        return edit;
    }
    const std::string* panes_of = find_parameter(now, kPanesOf);
    if (now.keeps_state && panes_of != nullptr && remade.count(*panes_of) != 0)
        return changed(*before, now, fmt::format("{}: {} makes other panes", kPanesOf, *panes_of));
    if (before->identity.uid != now.uid) {
        return ConfigEdit{ChangeClass::mapped,
                          name_of(now),
                          {},
                          fmt::format("uid {} -> {}", before->identity.uid, now.uid),
                          "uid_was says whose state it is"};
    }
    if (before->identity.step != now.step) {
        return ConfigEdit{ChangeClass::mapped,
                          name_of(now),
                          {},
                          fmt::format("name {} -> {}", before->identity.step, now.step),
                          "the uid is the same"};
    }
    return std::nullopt;
}

void compare_sources(const KeptState& before, const Plan& plan, std::vector<ConfigEdit>& edits) {
    std::vector<std::string> now;
    for (const SourcePlan& source : plan.sources) now.push_back(source.name);
    const auto has = [](const std::vector<std::string>& names, const std::string& name) {
        return std::find(names.begin(), names.end(), name) != names.end();
    };
    for (const std::string& name : now) {
        if (has(before.sources, name)) continue;
        edits.push_back({ChangeClass::free, "source " + name, {}, "new", "it is read from its beginning"});
    }
    std::vector<std::string> kept;
    for (const std::string& name : before.sources) {
        if (has(now, name)) {
            kept.push_back(name);
            continue;
        }
        edits.push_back({ChangeClass::drops_state, "source " + name, "sources." + name, "gone",
                         "how far it was read is forgotten: under this name or another one it would be read from its "
                         "beginning"});
    }
    std::erase_if(now, [&](const std::string& name) { return !has(before.sources, name); });
    if (now != kept)
        edits.push_back({ChangeClass::mapped, "sources", {}, "another order", "their places are kept by name"});
}

/// Of a step that went: what its panes held does not come any more, and the books go on saying so.
void leave_out(const std::vector<ValueSum>& held, const StepIdentity& identity, AuditTotals& totals) {
    if (identity.kind != "post") {
        std::erase_if(totals.values, [&](const ValueSum& sum) { return sum.step == identity.step; });
        return;
    }
    for (ValueSum open : held) {
        open.dropped = std::exchange(open.contributed, 0);
        totals.add(open);
    }
}

void rename(const std::string& from, const std::string& to, const AuditTotals& totals, AuditTotals& renamed) {
    for (ValueSum sum : totals.values) {
        if (sum.step != from) continue;
        sum.step = to;
        renamed.add(sum);
    }
}

}  // namespace

std::string_view to_string(ChangeClass change) {
    switch (change) {
        case ChangeClass::free:
            return "free";
        case ChangeClass::mapped:
            return "mapped";
        case ChangeClass::new_uid:
            return "new uid";
        case ChangeClass::drops_state:
            return "drops state";
    }
    return "";
}

KeptState kept_by(const EngineState& state) {
    KeptState kept{true, state.sources, {}};
    for (const Step& step : state.steps) kept.steps.push_back({step.identity, {}, step.entries, step.told, step.open});
    return kept;
}

KeptState kept_by(const Plan& plan) {
    KeptState kept;
    for (const SourcePlan& source : plan.sources) kept.sources.push_back(source.name);
    for (const KeyedNode* node : keyed_nodes(plan)) kept.steps.emplace_back().identity = node->identity();
    return kept;
}

std::vector<ConfigEdit> compare_state(const KeptState& before, const Plan& plan) {
    const Matches matches(before.steps, plan);
    std::vector<ConfigEdit> edits;
    std::set<std::string> remade;
    for (const auto& [node, step] : matches.pairs()) {
        auto edit = edit_of(*node, step, matches, before, remade);
        if (!edit) continue;
        if (edit->change == ChangeClass::new_uid) remade.insert(node->identity().uid);
        edits.push_back(std::move(*edit));
    }
    for (const Step& step : before.steps) {
        if (matches.is_taken(step)) continue;
        ConfigEdit edit{ChangeClass::drops_state,
                        name_of(step.identity),
                        {},
                        "gone",
                        "no step has its uid: say uid_was where it has another one now"};
        if (!step.identity.keeps_state || (before.counted && step.entries == 0)) {
            edit.change = ChangeClass::free;
            edit.why = "it holds nothing";
        } else {
            put_state(step, edit);
        }
        edits.push_back(std::move(edit));
    }
    compare_sources(before, plan, edits);
    return edits;
}

EngineState carry_over(EngineState state, const Plan& plan, const std::vector<ConfigEdit>& edits) {
    EngineState carried;
    carried.epoch = state.epoch + 1;
    carried.carried_over = true;
    carried.watermark = state.watermark;
    carried.outcomes = plan.outcomes.all();
    carried.total_outcomes = std::move(state.total_outcomes);
    carried.total_outcomes.resize(plan.outcomes.size());
    carried.audit = state.audit;
    carried.audit.outcomes.resize(plan.outcomes.size());
    carried.audit.replays.resize(plan.outcomes.size());
    carried.audit.sources.clear();
    for (const SourcePlan& source : plan.sources) {
        const auto known = std::find(state.sources.begin(), state.sources.end(), source.name);
        const auto index = static_cast<std::size_t>(known - state.sources.begin());
        const bool is_known = known != state.sources.end();
        carried.sources.push_back(source.name);
        carried.cuts.push_back(is_known ? state.cuts[index] : SourceCut{});
        const bool has_times = is_known && index < state.source_times.size();
        carried.source_times.push_back(has_times ? state.source_times[index] : std::string());
        const bool has_sums = is_known && index < state.audit.sources.size();
        carried.audit.sources.push_back(has_sums ? state.audit.sources[index] : SourceSum{});
    }
    // By name, whatever is said of it now: the engine leaves out what is no entry any more, and its origin knows
    // better.
    for (const TablePlan& table : plan.tables) {
        const auto known = std::find_if(state.tables.begin(), state.tables.end(),
                                        [&](const EngineState::Table& one) { return one.name == table.name; });
        if (known != state.tables.end()) carried.tables.push_back(*known);
    }
    const auto dropped = [&](const Step& step) {
        return std::find_if(edits.begin(), edits.end(), [&](const ConfigEdit& edit) {
            return edit.refused_unless_dropped() && edit.uid == step.identity.uid;
        });
    };
    const Matches matches(state.steps, plan);
    for (const Step& step : state.steps) {
        const auto edit = dropped(step);
        if (edit != edits.end() || !matches.is_taken(step))
            leave_out(edit != edits.end() ? edit->open : std::vector<ValueSum>(), step.identity, carried.audit);
    }
    AuditTotals renamed;
    std::set<std::string> old_names;
    for (const auto& [node, before] : matches.pairs()) {
        Step& step = carried.steps.emplace_back();
        step.identity = node->identity();
        if (before == nullptr || dropped(*before) != edits.end()) continue;
        // They may be large.
        step.groups = std::move(state.steps[static_cast<std::size_t>(before - state.steps.data())].groups);
        step.entries = before->entries;
        step.told = before->told;
        step.open = before->open;
        // What a posting has posted stays under the name that its documents have.
        if (before->identity.step == step.identity.step || step.identity.kind == "post") continue;
        rename(before->identity.step, step.identity.step, carried.audit, renamed);
        old_names.insert(before->identity.step);
        for (ValueSum& sum : step.open) sum.step = step.identity.step;
    }
    std::erase_if(carried.audit.values, [&](const ValueSum& sum) { return old_names.count(sum.step) != 0; });
    for (const ValueSum& sum : renamed.values) carried.audit.add(sum);
    return carried;
}

EpochResult carrying_epoch(const EngineState& carried, const Plan& plan) {
    EpochResult epoch;
    epoch.epoch = carried.epoch;
    epoch.watermark_before = carried.watermark;
    epoch.watermark_after = carried.watermark;
    epoch.cuts = carried.cuts;
    for (SourceCut& cut : epoch.cuts) cut.ingest_times.clear();
    epoch.outcomes.resize(plan.outcomes.size());
    epoch.pane_outcomes.resize(plan.outcomes.size());
    epoch.audit = carried.audit;
    return epoch;
}

bool outcomes_fit(const EngineState& state, const Plan& plan) {
    const std::vector<Outcome>& now = plan.outcomes.all();
    return state.outcomes.size() <= now.size() && std::equal(state.outcomes.begin(), state.outcomes.end(), now.begin());
}

std::string text_of_state(const ConfigEdit& edit) {
    if (edit.uid.empty() || edit.entries == 0) return {};
    std::string text = fmt::format("{} entries", edit.entries);
    if (edit.told > 0) text += fmt::format(", {} of them told", edit.told);
    for (std::size_t i = 0; i < edit.open.size(); ++i) {
        const ValueSum& sum = edit.open[i];
        text += fmt::format("{}{} {}{}{}", i == 0 ? "; not yet told: " : ", ", sum.measure,
                            format_decimal(sum.contributed, sum.scale), sum.unit.empty() ? "" : " ", sum.unit);
    }
    return text;
}

std::string text_of(const ConfigEdit& edit) {
    std::string text = fmt::format("{}: {}", to_string(edit.change), edit.what);
    if (!edit.uid.empty()) text += fmt::format(" (uid {})", edit.uid);
    text += fmt::format(": {}", edit.edit);
    if (const std::string state = text_of_state(edit); !state.empty()) text += fmt::format("; {}", state);
    if (!edit.blocked.empty()) text += fmt::format("; {}", edit.blocked);
    return text;
}

}  // namespace takt
