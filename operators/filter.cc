#include "operators/filter.h"

#include <fmt/format.h>

#include "operators/rules_step.h"

namespace takt {
namespace {

struct FilterOptions {
    NamedExpressions drop;
    NamedExpressions keep;

    static OptionTable<FilterOptions> options() {
        OptionTable<FilterOptions> table;
        table.optional(
            "drop", &FilterOptions::drop,
            "rules by name; a row that fits one is dropped and counted under its name; the first that fits wins");
        table.optional("keep", &FilterOptions::keep,
                       "rules by name; a row that does not fit is dropped and counted under its name; after `drop`");
        return table;
    }
};

class FilterType final : public OperatorType {
  public:
    std::string_view name() const override { return "filter"; }
    std::string_view help() const override {
        return "Drops rows by named policy rules; what each rule drops is counted.";
    }
    OptionDocs docs() const override { return FilterOptions::options().describe(); }

    void plan(const StepSpec& step, PlanContext& context) const override {
        FilterOptions options;
        const std::string what = fmt::format("step '{}' (filter)", step.name);
        const bool read =
            FilterOptions::options().read(*step.node, what, options, context.mistakes(), {"filter", "from"});
        if (read && options.drop.empty() && options.keep.empty()) {
            context.mistakes().add(step.place, "C171",
                                   fmt::format("{} has no rule: name some under 'drop' or 'keep'", what));
        }
        Stream stream = context.stream(step.from[0]);
        std::vector<Rule> rules;
        std::vector<std::string> names;
        const auto add = [&](const NamedExpressions& named, bool rejects_when) {
            for (const NamedExpression& one : named) {
                auto condition = plan_condition(one.expression, fmt::format("rule '{}'", one.name), stream, context);
                if (!condition) continue;
                const OutcomeCode outcome =
                    context.outcomes().add({OutcomeKind::filtered, one.name, "", step.name, stream.after_dedup});
                rules.push_back({one.name, std::move(*condition), rejects_when, outcome, ""});
                names.push_back(one.name);
            }
        };
        add(options.drop, true);
        add(options.keep, false);
        const OutcomeCode on_error = expression_outcome(step, stream, context);
        publish_row_step(step, std::move(stream), make_rules_step(std::move(rules), on_error), "filter",
                         fmt::format("{}", fmt::join(names, ", ")), context);
    }
};

}  // namespace

const OperatorType& filter_type() {
    static const FilterType type;
    return type;
}

}  // namespace takt
