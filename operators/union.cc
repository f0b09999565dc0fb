#include "operators/union.h"

#include <fmt/format.h>

#include "pipeline/plan/clock_step.h"

namespace takt {
namespace {

struct UnionOptions {
    static OptionTable<UnionOptions> options() { return {}; }
};

class UnionType final : public OperatorType {
  public:
    std::string_view name() const override { return "union"; }
    std::string_view help() const override {
        return "Joins streams of one record type; a row that came both ways is there once.";
    }
    OptionDocs docs() const override { return UnionOptions::options().describe(); }

    void plan(const StepSpec& step, PlanContext& context) const override {
        UnionOptions options;
        UnionOptions::options().read(*step.node, fmt::format("step '{}' (union)", step.name), options,
                                     context.mistakes(), {"union", "from"});
        const Stream first = context.stream(step.from[0]);
        Stream joined = first;
        joined.scope = Scope();
        RowNode node{step.name, make_union_step(), {}, {}};
        for (const std::string& from : step.from) {
            const Stream& one = context.stream(from);
            if (one.segment != first.segment) {
                context.mistakes().add(
                    step.place, "C173",
                    fmt::format("'{}' and '{}' have different records and cannot be joined", step.from[0], from));
                return;
            }
            node.in.push_back(one.id);
            joined.after_dedup = joined.after_dedup && one.after_dedup;
            joined.has_id_hash = joined.has_id_hash && one.has_id_hash;
        }
        // The columns that all of them have, with one slot and so one meaning.
        for (const Scope::Entry& entry : first.scope.entries()) {
            bool everywhere = true;
            for (const std::string& from : step.from) {
                const Scope::Entry* other = context.stream(from).scope.find(entry.name);
                everywhere = everywhere && other != nullptr && other->slot == entry.slot;
            }
            if (everywhere) joined.scope.add(entry.name, entry.type, entry.slot);
        }
        joined.id = context.add_stream(first.segment);
        node.out = {joined.id};
        context.segment(first.segment).nodes.push_back(std::move(node));
        context.draw(step, "union", "").segment = first.segment;
        context.publish(step.name, std::move(joined), step.place);
    }
};

}  // namespace

const OperatorType& union_type() {
    static const UnionType type;
    return type;
}

}  // namespace takt
