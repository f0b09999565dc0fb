#include "operators/route.h"

#include <fmt/format.h>

#include "operators/rules_step.h"

namespace takt {
namespace {

struct RouteOptions {
    NamedExpressions to;
    std::string otherwise;

    static OptionTable<RouteOptions> options() {
        OptionTable<RouteOptions> table;
        table.required("to", &RouteOptions::to,
                       "ways by name, each a condition; a row takes the first that fits and goes on as STEP.WAY");
        table.optional("otherwise", &RouteOptions::otherwise,
                       "the way of rows that fit none; without it they are counted as filtered, unrouted");
        return table;
    }
};

class RouteStep final : public RowOperator {
  public:
    RouteStep(std::vector<Program> conditions, OutcomeCode on_error)
        : conditions_(std::move(conditions)), on_error_(on_error) {}

    class StepScratch final : public Scratch {
      public:
        std::vector<std::unique_ptr<Program::Scratch>> programs;
        ExpressionErrors errors;
        Selection left;
        Selection next;
    };

    std::unique_ptr<Scratch> make_scratch() const override {
        auto scratch = std::make_unique<StepScratch>();
        for (const Program& condition : conditions_) scratch->programs.push_back(condition.make_scratch());
        return scratch;
    }

    /// One output a condition, and a last one where `otherwise` is a way.
    void process(Batch& batch, std::span<const Selection* const> in, std::span<Selection* const> out,
                 Scratch& base) const override {
        auto& scratch = static_cast<StepScratch&>(base);
        scratch.left = *in[0];
        for (std::size_t i = 0; i < conditions_.size(); ++i) {
            scratch.errors.clear();
            conditions_[i].split(batch, scratch.left, *scratch.programs[i], out[i], &scratch.next, scratch.errors);
            reject_errors(batch, scratch.errors, on_error_);
            std::swap(scratch.left, scratch.next);
        }
        if (out.size() > conditions_.size()) *out[conditions_.size()] = scratch.left;
    }

  private:
    std::vector<Program> conditions_;
    OutcomeCode on_error_;
};

class RouteType final : public OperatorType {
  public:
    std::string_view name() const override { return "route"; }
    std::string_view help() const override {
        return "Sends each row one of several ways, by the first condition that fits.";
    }
    OptionDocs docs() const override { return RouteOptions::options().describe(); }

    void plan(const StepSpec& step, PlanContext& context) const override {
        RouteOptions options;
        const std::string what = fmt::format("step '{}' (route)", step.name);
        RouteOptions::options().read(*step.node, what, options, context.mistakes(), {"route", "from"});
        const Stream stream = context.stream(step.from[0]);
        std::vector<Program> conditions;
        RowNode node{step.name, nullptr, {stream.id}, {}};
        std::vector<std::string> ways;
        const auto publish = [&](const std::string& way, const Place& place) {
            Stream out = stream;
            out.id = context.add_stream(stream.segment);
            node.out.push_back(out.id);
            ways.push_back(way);
            context.publish(fmt::format("{}.{}", step.name, way), std::move(out), place);
        };
        for (const NamedExpression& one : options.to) {
            auto condition = plan_condition(one.expression, fmt::format("way '{}'", one.name), stream, context);
            publish(one.name, one.name_place);
            if (condition) conditions.push_back(std::move(*condition));
        }
        if (!options.otherwise.empty()) publish(options.otherwise, step.node->find("otherwise")->place);
        node.op = std::make_unique<RouteStep>(std::move(conditions), expression_outcome(step, stream, context));
        context.segment(stream.segment).nodes.push_back(std::move(node));
        context.draw(step, "route", fmt::format("{}", fmt::join(ways, ", "))).segment = stream.segment;
    }
};

}  // namespace

const OperatorType& route_type() {
    static const RouteType type;
    return type;
}

}  // namespace takt
