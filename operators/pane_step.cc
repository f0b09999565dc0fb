#include "operators/pane_step.h"

#include <fmt/format.h>

#include <algorithm>

namespace takt {
namespace {

class PaneStep final : public RowOperator {
  public:
    explicit PaneStep(PaneStepSpec spec) : spec_(std::move(spec)) {}

    class StepScratch final : public Scratch {
      public:
        explicit StepScratch(const PaneStepSpec& spec) : windows(spec.window) {
            if (spec.where) where = spec.where->make_scratch();
            for (const ExpressionColumn& argument : spec.arguments) arguments.push_back(argument.make_scratch());
        }
        std::unique_ptr<Program::Scratch> where;
        ExpressionErrors errors;
        std::vector<ExpressionColumn::Scratch> arguments;
        WindowFinder windows;
    };

    std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<StepScratch>(spec_); }

    void process(Batch& batch, std::span<const Selection* const> in, std::span<Selection* const> out,
                 Scratch& base) const override {
        auto& scratch = static_cast<StepScratch&>(base);
        Selection& rows = *out[0];
        select(batch, *in[0], rows, scratch);
        for (std::size_t i = 0; i < spec_.arguments.size(); ++i) {
            spec_.arguments[i].fill(batch, rows, scratch.arguments[i], spec_.on_error);
        }
        if (spec_.window.has_windows()) assign_windows(batch, rows, scratch);
        if (!spec_.window.has_windows() && spec_.late_after != kNoSlot) {
            Timestamp* late_after = batch.column(spec_.late_after).values<Timestamp>();
            for (const Row row : rows) late_after[row] = kEndOfTime;
        }
        encode_keys(batch, rows, spec_.by, batch.arena, batch.column(spec_.key).values<std::string_view>(),
                    batch.column(spec_.key_hash).values<std::uint64_t>());
    }

  private:
    void select(Batch& batch, const Selection& in, Selection& rows, StepScratch& scratch) const {
        if (!spec_.where) {
            rows = in;
            return;
        }
        scratch.errors.clear();
        spec_.where->split(batch, in, *scratch.where, &rows, nullptr, scratch.errors);
        reject_errors(batch, scratch.errors, spec_.on_error);
    }

    void assign_windows(Batch& batch, Selection& rows, StepScratch& scratch) const {
        Timestamp* start = batch.column(spec_.start).values<Timestamp>();
        Timestamp* end = batch.column(spec_.end).values<Timestamp>();
        Timestamp* late_after = batch.column(spec_.late_after).values<Timestamp>();
        const std::string_view* zones =
            spec_.zone == kNoSlot ? nullptr : batch.column(spec_.zone).values<std::string_view>();
        const std::string_view* calendar_keys =
            spec_.window.calendar_key == kNoSlot ? nullptr
                                                 : batch.column(spec_.window.calendar_key).values<std::string_view>();
        std::size_t kept = 0;
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const Row row = rows[i];
            Window window;
            const char* reason = scratch.windows.find(batch.event_time[row], zones ? zones[row] : "UTC",
                                                      calendar_keys ? calendar_keys[row] : std::string_view(), window);
            if (reason != nullptr) {
                reject(batch, row, spec_.no_window, reason);
                continue;
            }
            start[row] = window.start;
            end[row] = window.end;
            late_after[row] = std::max(late_after[row], saturating_add(window.end, spec_.lateness));
            rows.data()[kept++] = row;
        }
        rows.resize(kept);
    }

    PaneStepSpec spec_;
};

/// Fills the id_hash column from the id column.
class IdHashStep final : public RowOperator {
  public:
    IdHashStep(KeyColumn id, Slot to) : id_{std::move(id)}, to_(to) {}

    void process(Batch& batch, std::span<const Selection* const> in, std::span<Selection* const> out,
                 Scratch&) const override {
        *out[0] = *in[0];
        hash_ids(batch, *in[0], std::span(&id_, 1), batch.arena, batch.column(to_).values<Hash128>());
    }

  private:
    KeyColumn id_;
    Slot to_;
};

}  // namespace

std::unique_ptr<RowOperator> make_pane_step(PaneStepSpec spec) {
    return std::make_unique<PaneStep>(std::move(spec));
}

std::optional<PlannedFunction> plan_function(const ExpressionText& text, const std::string& column_name,
                                             const Stream& stream, PlanContext& context,
                                             std::vector<ExpressionColumn>& arguments) {
    const std::string& written = text.text;
    const std::size_t open = written.find('(');
    const std::size_t begin = written.find_first_not_of(" \t\n");
    const std::size_t close = written.find_last_not_of(" \t\n");
    if (begin == std::string::npos || open == std::string::npos || written[close] != ')') {
        context.mistakes().add(text.node.place, "C150",
                               fmt::format("'{}' is no aggregate; expected FUNCTION(EXPRESSION) with one of {}",
                                           written, fmt::join(function_names(), ", ")));
        return std::nullopt;
    }
    std::string name = written.substr(begin, open - begin);
    while (!name.empty() && name.back() == ' ') name.pop_back();
    const auto function = find_function(name);
    if (!function) {
        const std::vector<std::string> known = function_names();
        context.mistakes().add(
            text.node.place_of(begin, name.size()), "C151",
            fmt::format("unknown aggregate function '{}'; there are {}", name, fmt::join(known, ", ")),
            did_you_mean(name, known));
        return std::nullopt;
    }
    const std::string argument = written.substr(open + 1, close - open - 1);
    PlannedFunction planned{*function, kNoSlot, Type::of(TypeKind::int64), Type::of(TypeKind::int64)};
    if (*function == Function::count) {
        if (argument.find_first_not_of(" \t\n") != std::string::npos) {
            context.mistakes().add(text.node.place_of(open + 1, argument.size()), "C152",
                                   "count() counts rows and takes no argument");
            return std::nullopt;
        }
        return planned;
    }
    auto program = context.compile_part(argument, text.node, open + 1, stream);
    if (!program) return std::nullopt;
    planned.argument_type = program->type();
    const auto result = Accumulator::result_type(*function, planned.argument_type);
    if (!result) {
        context.mistakes().add(text.node.place_of(open + 1, argument.size()), "C153",
                               fmt::format("{} does not take a {}", name, to_string(planned.argument_type)));
        return std::nullopt;
    }
    planned.result = *result;
    planned.argument = context.add_column(stream.segment, column_name, planned.argument_type);
    arguments.emplace_back(std::move(*program), planned.argument);
    return planned;
}

Slot plan_value(const ExpressionText& text, const std::string& column_name, std::optional<TypeKind> kind,
                const Stream& stream, PlanContext& context, std::vector<ExpressionColumn>& arguments, Type* type) {
    auto program = context.compile(text, stream);
    if (!program) return kNoSlot;
    if (kind && !program->type().is(*kind)) {
        context.mistakes().add(
            text.node.place, "C154",
            fmt::format("expected a {} here, this is a {}", to_string(Type::of(*kind)), to_string(program->type())));
        return kNoSlot;
    }
    if (type != nullptr) *type = program->type();
    if (const Scope::Entry* entry = stream.scope.find(text.text)) return entry->slot;
    const Slot slot = context.add_column(stream.segment, column_name, program->type());
    arguments.emplace_back(std::move(*program), slot);
    return slot;
}

std::vector<KeyColumn> plan_key(const std::vector<std::string>& names, const ConfigNode& node, const Stream& stream,
                                PlanContext& context) {
    std::vector<KeyColumn> key;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const ConfigNode& at = node.is_sequence() ? node.items[i] : node;
        const auto column = context.column(names[i], at, stream);
        if (!column) continue;
        if (!can_be_key(column->type)) {
            context.mistakes().add(
                at.place, "C155",
                fmt::format("'{}' is a {} and cannot be part of a key", names[i], to_string(column->type)));
            continue;
        }
        key.push_back({names[i], column->slot, column->type});
    }
    return key;
}

Slot plan_id_hash(Stream& stream, PlanContext& context) {
    Segment& segment = context.segment(stream.segment);
    if (segment.id == kNoSlot) return segment.id_hash;
    if (!stream.has_id_hash) {
        // Hash128 and Int128 have one size: the column's memory holds hashes.
        segment.id_hash = context.add_column(stream.segment, "#id_hash", Type::decimal(0));
        const Field& field = segment.layout.field(segment.id);
        const StreamId out = context.add_stream(stream.segment);
        segment.nodes.push_back(
            {"id",
             std::make_unique<IdHashStep>(KeyColumn{field.name, segment.id, field.type}, segment.id_hash),
             {stream.id},
             {out}});
        stream.id = out;
        stream.has_id_hash = true;
    }
    return segment.id_hash;
}

void plan_pane_columns(const Stream& stream, PlanContext& context, PaneStepSpec& spec) {
    Segment& segment = context.segment(stream.segment);
    const auto add = [&](const char* what, TypeKind kind) {
        return context.add_column(stream.segment, fmt::format("#{}.{}", spec.name, what), Type::of(kind));
    };
    spec.key = add("key", TypeKind::string);
    spec.key_hash = add("key_hash", TypeKind::uint64);
    if (spec.window.has_windows()) {
        spec.start = add("start", TypeKind::timestamp);
        spec.end = add("end", TypeKind::timestamp);
    }
    segment.late_after = context.add_column(stream.segment, "#late_after", Type::of(TypeKind::timestamp));
    spec.late_after = segment.late_after;
}

}  // namespace takt
