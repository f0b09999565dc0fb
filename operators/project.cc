#include "operators/project.h"

#include <fmt/format.h>

#include "operators/rules_step.h"

namespace takt {
namespace {

struct ProjectOptions {
    NamedExpressions set;
    std::vector<std::string> keep;

    static OptionTable<ProjectOptions> options() {
        OptionTable<ProjectOptions> table;
        table.optional("set", &ProjectOptions::set,
                       "new columns by name, each an expression; later ones may use earlier ones");
        table.optional("keep", &ProjectOptions::keep, "the columns that later steps may name; without it all");
        return table;
    }
};

class ProjectStep final : public RowOperator {
  public:
    ProjectStep(std::vector<ExpressionColumn> columns, OutcomeCode on_error)
        : columns_(std::move(columns)), on_error_(on_error) {}

    class StepScratch final : public Scratch {
      public:
        std::vector<ExpressionColumn::Scratch> columns;
    };

    std::unique_ptr<Scratch> make_scratch() const override {
        auto scratch = std::make_unique<StepScratch>();
        for (const ExpressionColumn& column : columns_) scratch->columns.push_back(column.make_scratch());
        return scratch;
    }

    void process(Batch& batch, std::span<const Selection* const> in, std::span<Selection* const> out,
                 Scratch& base) const override {
        auto& scratch = static_cast<StepScratch&>(base);
        *out[0] = *in[0];
        for (std::size_t i = 0; i < columns_.size(); ++i)
            columns_[i].fill(batch, *out[0], scratch.columns[i], on_error_);
    }

  private:
    std::vector<ExpressionColumn> columns_;
    OutcomeCode on_error_;
};

class ProjectType final : public OperatorType {
  public:
    std::string_view name() const override { return "project"; }
    std::string_view help() const override {
        return "Adds computed columns, and says which columns later steps may name.";
    }
    OptionDocs docs() const override { return ProjectOptions::options().describe(); }

    void plan(const StepSpec& step, PlanContext& context) const override {
        ProjectOptions options;
        const std::string what = fmt::format("step '{}' (project)", step.name);
        ProjectOptions::options().read(*step.node, what, options, context.mistakes(), {"project", "from"});
        Stream stream = context.stream(step.from[0]);
        std::vector<ExpressionColumn> columns;
        std::vector<std::string> names;
        for (const NamedExpression& one : options.set) {
            if (stream.scope.find(one.name) != nullptr) {
                context.mistakes().add(one.name_place, "C172",
                                       fmt::format("'{}' is a column already: a new one needs a new name", one.name));
                continue;
            }
            auto program = context.compile(one.expression, stream);
            if (!program) continue;
            const Type type = program->type();
            const Slot slot = context.add_column(stream.segment, fmt::format("#{}.{}", step.name, one.name), type);
            columns.emplace_back(std::move(*program), slot);
            stream.scope.add(one.name, type, slot);
            names.push_back(one.name);
        }
        if (!options.keep.empty()) keep_only(step, options, stream, context);
        const OutcomeCode on_error = expression_outcome(step, stream, context);
        publish_row_step(step, std::move(stream), std::make_unique<ProjectStep>(std::move(columns), on_error),
                         "project", fmt::format("{}", fmt::join(names, ", ")), context);
    }

  private:
    static void keep_only(const StepSpec& step, const ProjectOptions& options, Stream& stream, PlanContext& context) {
        const ConfigNode& node = *step.node->find("keep");
        Scope kept;
        for (std::size_t i = 0; i < options.keep.size(); ++i) {
            const ConfigNode& at = node.is_sequence() ? node.items[i] : node;
            const auto column = context.column(options.keep[i], at, stream);
            if (column) kept.add(column->name, column->type, column->slot);
        }
        stream.scope = std::move(kept);
    }
};

}  // namespace

const OperatorType& project_type() {
    static const ProjectType type;
    return type;
}

}  // namespace takt
