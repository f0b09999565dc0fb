#include "operators/require.h"

#include <fmt/format.h>

#include "operators/rules_step.h"

namespace takt {
namespace {

struct RequireOptions {
    ConfigNode rules;

    static OptionTable<RequireOptions> options() {
        OptionTable<RequireOptions> table;
        table.required("rules", &RequireOptions::rules,
                       "reasons by name, each { that: CONDITION, owner: WHO }, tried in order");
        return table;
    }
};

struct RuleOptions {
    ExpressionText that;
    std::string owner = "plant_it";

    static OptionTable<RuleOptions> options() {
        OptionTable<RuleOptions> table;
        table.required("that", &RuleOptions::that, "what must hold");
        table.optional("owner", &RuleOptions::owner, "who must act on the dead letters");
        return table;
    }
};

class RequireType final : public OperatorType {
  public:
    std::string_view name() const override { return "require"; }
    std::string_view help() const override {
        return "Sends rows that break a rule to the dead letters, with the rule's name and owner.";
    }
    OptionDocs docs() const override { return RequireOptions::options().describe(); }

    void plan(const StepSpec& step, PlanContext& context) const override {
        RequireOptions options;
        const std::string what = fmt::format("step '{}' (require)", step.name);
        RequireOptions::options().read(*step.node, what, options, context.mistakes(), {"require", "from"});
        Stream stream = context.stream(step.from[0]);
        std::vector<Rule> rules;
        std::vector<std::string> names;
        for (const ConfigNode::Entry& entry : options.rules.entries) {
            RuleOptions rule;
            const std::string rule_name = fmt::format("rule '{}' of {}", entry.key, what);
            if (!RuleOptions::options().read(entry.value, rule_name, rule, context.mistakes())) continue;
            auto condition = plan_condition(rule.that, rule_name, stream, context);
            if (!condition) continue;
            const OutcomeCode outcome = context.outcomes().add(
                {OutcomeKind::dead_letter, entry.key, rule.owner, step.name, stream.after_dedup});
            rules.push_back({entry.key, std::move(*condition), false, outcome,
                             fmt::format("breaks rule {} of '{}'", entry.key, step.name)});
            names.push_back(entry.key);
        }
        const OutcomeCode on_error = expression_outcome(step, stream, context);
        publish_row_step(step, std::move(stream), make_rules_step(std::move(rules), on_error), "require",
                         fmt::format("{}", fmt::join(names, ", ")), context);
    }
};

}  // namespace

const OperatorType& require_type() {
    static const RequireType type;
    return type;
}

}  // namespace takt
