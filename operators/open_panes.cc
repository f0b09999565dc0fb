#include "operators/open_panes.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace takt {

std::size_t PaneSpec::add_function(const PlannedFunction& planned) {
    const std::size_t index = functions.size();
    functions.emplace_back(planned.function, planned.argument, planned.argument_type, block_bytes,
                           static_cast<std::uint32_t>(index));
    block_bytes += Accumulator::size_bytes(planned.function);
    return index;
}

void PaneSpec::begin(std::byte* block) const {
    if (std::none_of(functions.begin(), functions.end(), [](const auto& one) { return one.needs_attachment(); }))
        return;
    PaneHeader& header = pane_header(block);
    header.attachment = new Attachment;
    for (const Accumulator& function : functions) function.prepare(*header.attachment);
}

void PaneSpec::add(const Batch& batch, std::span<const Row> rows, std::span<std::byte* const> blocks) const {
    add_lineage(batch, *segment, rows, blocks);
    for (const Accumulator& function : functions) function.add(batch, rows, blocks);
}

std::vector<PaneOfRow> PaneSpec::panes_of(const Batch& batch, Row row) const {
    std::vector<PaneOfRow> panes;
    for (std::uint32_t i = 0; i < window.windows_per_event(); ++i) {
        PaneOfRow& pane = panes.emplace_back();
        pane.key = batch.column(key).values<std::string_view>()[row];
        pane.key_fields = decode_key(pane.key, by);
        if (!window.has_windows()) continue;
        const Duration back = static_cast<Duration>(i) * window.every;
        pane.window_start = batch.column(start).values<Timestamp>()[row] - back;
        pane.window_end = batch.column(end).values<Timestamp>()[row] - back;
    }
    return panes;
}

void add_value(const Batch& batch, Row row, const std::string& name, Slot slot, PaneOfRow& pane) {
    if (slot == kNoSlot) return;
    const Column& column = batch.column(slot);
    if (column.type().is(TypeKind::float64)) {
        if (column.valid().test(row)) pane.values.push_back({name, fmt::format("{}", column.values<double>()[row])});
    } else if (can_be_key(column.type())) {
        pane.values.push_back({name, value_text(batch, row, {name, slot, column.type()})});
    }
}

void OpenPanes::collect(const Batch& batch, std::span<const Row> rows, Timestamp watermark, Duration back) {
    rows_.clear();
    wants_.clear();
    const std::string_view* keys = batch.column(spec_.key).values<std::string_view>();
    const std::uint64_t* hashes = batch.column(spec_.key_hash).values<std::uint64_t>();
    const Timestamp* starts = batch.column(spec_.start).values<Timestamp>();
    const Timestamp* ends = batch.column(spec_.end).values<Timestamp>();
    for (const Row row : rows) {
        if (batch.outcome[row] != kUndecided) continue;
        const Window window{starts[row] - back, ends[row] - back};
        if (watermark > saturating_add(window.end, spec_.lateness)) continue;  // one of several windows
        rows_.push_back(row);
        wants_.push_back({hashes[row], keys[row], window});
    }
}

bool OpenPanes::comes_before(const PaneTable::Pane* a, const PaneTable::Pane* b) {
    const auto place = [](const PaneTable::Pane* pane) {
        return std::tuple(pane->window().end, pane->window().start, pane->key());
    };
    return place(a) < place(b);
}

void OpenPanes::save_pane(const PaneTable::Pane& pane, ByteWriter& out) const {
    out.put(pane.window().start);
    out.put(pane.window().end);
    out.put_text(pane.key());
    out.put<std::uint8_t>(pane.fired() ? 1 : 0);
    save_block(pane.block(), spec_.block_bytes, out);
}

PaneTable::Pane* OpenPanes::load_pane(ByteReader& in) {
    Window window;
    window.start = in.get<Timestamp>();
    window.end = in.get<Timestamp>();
    const std::string_view key = in.get_text();
    const bool fired = in.get<std::uint8_t>() != 0;
    if (!in.ok()) return nullptr;
    PaneTable::Pane* pane = panes_.restore({hash64(key), key, window}, fired);
    return pane != nullptr && load_block(pane->block(), spec_.block_bytes, in) ? pane : nullptr;
}

void check_pane_input(const StepSpec& step, const std::string& what, const Stream& stream, const WindowSpec& window,
                      const Place& window_place, bool has_zone, PlanContext& context) {
    const Segment& segment = context.segment(stream.segment);
    if (segment.dedup && !stream.after_dedup) {
        context.mistakes().add(
            step.place, "C163",
            fmt::format("{} takes rows that did not pass '{}': retries would be counted twice; read a step after it",
                        what, segment.dedup->step));
    }
    if (window.needs_zone() && !has_zone) {
        context.mistakes().add(window_place, "C166", fmt::format("the local window of {} needs 'zone'", what));
    }
}

StreamId plan_pane_step(Stream& stream, PaneStepSpec&& pane, PaneSpec& spec, PlanContext& context) {
    Segment& segment = context.segment(stream.segment);
    plan_pane_columns(stream, context, pane);
    spec.name = pane.name;
    spec.sources = context.source_names();
    spec.segment = &segment;
    spec.by = pane.by;
    spec.window = pane.window;
    spec.lateness = pane.lateness;
    spec.key = pane.key;
    spec.key_hash = pane.key_hash;
    spec.start = pane.start;
    spec.end = pane.end;
    spec.node = context.next_output();
    const StreamId out = context.add_stream(stream.segment);
    segment.nodes.push_back({spec.name, make_pane_step(std::move(pane)), {stream.id}, {out}});
    return out;
}

std::vector<StepParameter> pane_parameters(const PaneSpec& spec, const ExpressionText& where,
                                           const ExpressionText& zone) {
    return {{"key", key_definition(spec.by)},
            {"window", spec.window.definition()},
            {"zone", zone.text},
            {kLateness, format_duration(spec.lateness)},
            {"where", where.text}};
}

std::string function_definition(const ExpressionText& text, const PlannedFunction& planned) {
    return fmt::format("{} of {}", text.text, to_string(planned.argument_type));
}

KeyedNode& plan_pane_terminal(const StepSpec& step, const char* kind, const PaneSpec& spec,
                              std::unique_ptr<KeyedOperator> op, StreamId in, std::int32_t output_segment,
                              const Stream& stream, PlanContext& context) {
    KeyedNode node;
    node.step = step.name;
    node.in = in;
    node.key_hash = spec.key_hash;
    node.output_segment = output_segment;
    node.op = std::move(op);
    context.segment(stream.segment).terminals.push_back(std::move(node));
    std::vector<std::string> names;
    for (const KeyColumn& column : spec.by) names.push_back(column.name);
    GraphNode& drawn = context.draw(step, kind,
                                    fmt::format("by {}, window {}, lateness {}", fmt::join(names, ", "),
                                                spec.window.text(), format_duration(spec.lateness)));
    drawn.keyed = true;
    drawn.exchange_key = fmt::format("{}", fmt::join(names, ", "));
    drawn.segment = stream.segment;
    return context.segment(stream.segment).terminals.back();
}

}  // namespace takt
