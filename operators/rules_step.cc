#include "operators/rules_step.h"

#include <fmt/format.h>

namespace takt {
namespace {

class RulesStep final : public RowOperator {
  public:
    RulesStep(std::vector<Rule> rules, OutcomeCode on_error) : rules_(std::move(rules)), on_error_(on_error) {}

    class StepScratch final : public Scratch {
      public:
        std::vector<std::unique_ptr<Program::Scratch>> programs;
        ExpressionErrors errors;
        Selection left;
        Selection next;
        Selection ended;
    };

    std::unique_ptr<Scratch> make_scratch() const override {
        auto scratch = std::make_unique<StepScratch>();
        for (const Rule& rule : rules_) scratch->programs.push_back(rule.condition.make_scratch());
        return scratch;
    }

    void process(Batch& batch, std::span<const Selection* const> in, std::span<Selection* const> out,
                 Scratch& base) const override {
        auto& scratch = static_cast<StepScratch&>(base);
        const Selection* rows = in[0];
        for (std::size_t i = 0; i < rules_.size(); ++i) {
            const Rule& rule = rules_[i];
            Selection* passed = i + 1 == rules_.size() ? out[0] : rows == &scratch.left ? &scratch.next : &scratch.left;
            Selection* yes = rule.rejects_when ? &scratch.ended : passed;
            Selection* no = rule.rejects_when ? passed : &scratch.ended;
            scratch.errors.clear();
            rule.condition.split(batch, *rows, *scratch.programs[i], yes, no, scratch.errors);
            reject_errors(batch, scratch.errors, on_error_);
            for (const Row row : scratch.ended) reject(batch, row, rule.outcome, rule.text);
            rows = passed;
        }
        if (rules_.empty()) *out[0] = *in[0];
    }

  private:
    std::vector<Rule> rules_;
    OutcomeCode on_error_;
};

}  // namespace

std::unique_ptr<RowOperator> make_rules_step(std::vector<Rule> rules, OutcomeCode on_error) {
    return std::make_unique<RulesStep>(std::move(rules), on_error);
}

std::optional<Program> plan_condition(const ExpressionText& text, const std::string& what, const Stream& stream,
                                      PlanContext& context) {
    auto program = context.compile(text, stream);
    if (program && !program->type().is(TypeKind::boolean)) {
        context.mistakes().add(text.node.place, "C162",
                               fmt::format("{} must be a bool, this is a {}", what, to_string(program->type())));
        return std::nullopt;
    }
    return program;
}

void publish_row_step(const StepSpec& step, Stream stream, std::unique_ptr<RowOperator> op, const char* kind,
                      std::string detail, PlanContext& context) {
    const StreamId out = context.add_stream(stream.segment);
    context.segment(stream.segment).nodes.push_back({step.name, std::move(op), {stream.id}, {out}});
    stream.id = out;
    context.draw(step, kind, std::move(detail)).segment = stream.segment;
    context.publish(step.name, std::move(stream), step.place);
}

OutcomeCode expression_outcome(const StepSpec& step, const Stream& stream, PlanContext& context) {
    return context.outcomes().add(
        {OutcomeKind::dead_letter, std::string(kExpressionReason), "plant_it", step.name, stream.after_dedup});
}

}  // namespace takt
