#include "pipeline/runtime/pane_stage.h"

#include <algorithm>

#include "pipeline/runtime/accounting.h"

namespace takt {
namespace {

/// Sets one value of a column; the planner made the column's type from the output field, so the alternative fits.
void set_scalar(Column& column, std::uint32_t row, const Scalar& value, Arena& arena) {
    const bool present = !std::holds_alternative<std::monostate>(value);
    column.valid().assign(row, present);
    switch (column.type().kind) {
        case TypeKind::boolean:
            column.values<std::uint8_t>()[row] = present && std::get<bool>(value) ? 1 : 0;
            return;
        case TypeKind::int64:
        case TypeKind::timestamp:
        case TypeKind::duration:
        case TypeKind::enumeration:
            column.values<std::int64_t>()[row] = present ? std::get<std::int64_t>(value) : 0;
            return;
        case TypeKind::uint64:
            column.values<std::uint64_t>()[row] = present ? std::get<std::uint64_t>(value) : 0;
            return;
        case TypeKind::float64:
            column.values<double>()[row] = present ? std::get<double>(value) : 0;
            return;
        case TypeKind::decimal:
            column.values<Int128>()[row] = present ? std::get<Int128>(value) : 0;
            return;
        case TypeKind::string:
        case TypeKind::bytes:
            column.values<std::string_view>()[row] =
                present ? arena.copy(std::get<std::string>(value)) : std::string_view();
            return;
        case TypeKind::list:
        case TypeKind::null:
        case TypeKind::error:
            break;
    }
    check_failed("a pane has scalar fields only", __FILE__, __LINE__);
}

Int128 as_decimal(const Hash128& hash) {
    return static_cast<Int128>((static_cast<UInt128>(hash.high) << 64) | hash.low);
}

template <typename T>
void set_value(Batch& batch, Slot slot, std::uint32_t row, T value) {
    if (slot == kNoSlot) return;
    batch.column(slot).values<T>()[row] = value;
    batch.column(slot).valid().set(row);
}

}  // namespace

PaneStage::PaneStage(const Plan& plan, Watch watch)
    : plan_(plan), watch_(std::move(watch)), states_(plan.segments.size()) {
    for (std::size_t i = 0; i < plan.segments.size(); ++i) {
        const bool from_source = std::any_of(plan.sources.begin(), plan.sources.end(),
                                             [&](const SourcePlan& source) { return source.segment == i; });
        if (from_source) continue;
        const Segment& segment = *plan.segments[i];
        auto state = std::make_unique<State>();
        state->segment = i;
        if (segment.dedup) state->dedup = segment.dedup->op->make_state();
        for (const KeyedNode& terminal : segment.terminals) state->terminals.push_back(terminal.op->make_state());
        state->pool = std::make_unique<BatchPool>(segment.layout);
        state->scratch = make_scratch(segment);
        states_[i] = std::move(state);
    }
}

std::vector<std::pair<const KeyedNode*, KeyedState*>> PaneStage::keyed() const {
    std::vector<std::pair<const KeyedNode*, KeyedState*>> steps;
    for (const auto& state : states_) {
        if (state == nullptr) continue;
        const Segment& segment = *plan_.segments[state->segment];
        if (state->dedup != nullptr) steps.emplace_back(&*segment.dedup, state->dedup.get());
        for (std::size_t i = 0; i < state->terminals.size(); ++i) {
            steps.emplace_back(&segment.terminals[i], state->terminals[i].get());
        }
    }
    return steps;
}

std::size_t PaneStage::steps() const {
    return keyed().size();
}

void PaneStage::save(std::vector<EngineState::Step>& steps) const {
    for (const auto& [node, state] : keyed()) {
        EngineState::Step& step = steps.emplace_back();
        step.identity = node->identity();
        state->save(step.groups);
        describe(*state, step);
    }
}

bool PaneStage::load(std::span<const EngineState::Step> steps) {
    const auto own = keyed();
    for (std::size_t i = 0; i < own.size(); ++i) {
        if (steps[i].identity.step != own[i].first->step) return false;
        for (const std::string& group : steps[i].groups) {
            if (!group.empty() && !own[i].second->load(group)) return false;
        }
    }
    return true;
}

void PaneStage::add_open(std::vector<ValueSum>& open) const {
    for (const auto& [node, state] : keyed()) state->add_open(open);
}

void PaneStage::add(std::size_t segment, std::vector<PaneRow>&& rows) {
    CHECK(states_[segment] != nullptr);
    std::vector<PaneRow>& waiting = states_[segment]->waiting;
    std::move(rows.begin(), rows.end(), std::back_inserter(waiting));
    rows.clear();
}

std::uint32_t PaneStage::source_index(const Lineage& lineage) const {
    if (lineage.ranges.empty()) return 0;
    for (const SourcePlan& source : plan_.sources) {
        if (source.name == lineage.ranges.front().source) return source.index;
    }
    check_failed("a lineage names a source of the plan", __FILE__, __LINE__);
}

void PaneStage::fill(const Segment& segment, std::span<const PaneRow> rows, Batch& batch) const {
    batch.rows = static_cast<std::uint32_t>(rows.size());
    batch.source = source_index(rows.front().lineage);
    for (std::uint32_t row = 0; row < batch.rows; ++row) {
        const PaneRow& pane = rows[row];
        for (std::size_t i = 0; i < pane.values.size(); ++i) {
            set_scalar(batch.columns[i], row, pane.values[i], batch.arena);
        }
        std::uint64_t first = 0;
        std::uint64_t last = 0;
        for (const Lineage::Range& range : pane.lineage.ranges) {
            first = first == 0 ? range.first_sequence : std::min(first, range.first_sequence);
            last = std::max(last, range.last_sequence);
        }
        set_value<std::uint64_t>(batch, segment.events, row, pane.lineage.events);
        set_value<std::uint64_t>(batch, segment.first_sequence, row, first);
        set_value<std::uint64_t>(batch, segment.last_sequence, row, last);
        set_value<Int128>(batch, segment.id_hash, row, as_decimal(pane.lineage.ids));
        batch.event_time[row] = pane.event_time;
        batch.ingest_time[row] = pane.event_time;
        batch.origin[row] = {.sequence = last, .part = row};
    }
}

void PaneStage::run_batch(State& state, std::span<const PaneRow> rows, Timestamp watermark, EpochResult& result) {
    const Segment& segment = *plan_.segments[state.segment];
    Part& part = state.part;
    part.batch = state.pool->allocate();
    fill(segment, rows, *part.batch);
    enter(segment, 0, part);
    run_row_nodes(segment, 0, plan_.outcomes, 1, part, state.scratch);
    judge_lateness(segment, watermark, part);
    if (state.dedup != nullptr && !part.rows_of[0].empty()) {
        state.dedup->process(*part.batch, part.rows_of[0], watermark);
    }
    if (watch_) watch_(segment, part);
    for (std::size_t i = 0; i < state.terminals.size(); ++i) {
        const std::span<const Row> own = part.rows_of[i + 1];
        if (!own.empty()) state.terminals[i]->process(*part.batch, own, watermark);
    }
    result.pane_rows += part.batch->rows;
    std::vector<EventSum> sums(plan_.outcomes.size());
    account(segment, plan_.outcomes, segment.name, Hash128{}, watermark, part, sums, result.dead_letters);
    for (std::size_t code = 0; code < sums.size(); ++code) result.pane_outcomes[code] += sums[code].count;
    state.pool->give_back(std::move(part.batch));
}

void PaneStage::end_step(const KeyedNode& node, KeyedState& state, Timestamp before, Timestamp after,
                         EpochResult& result, std::vector<OrderedPosting>& postings) {
    LaneOutput output;
    state.end_epoch(before, after, result.epoch, output);
    std::move(output.postings.begin(), output.postings.end(), std::back_inserter(postings));
    for (const ValueSum& value : output.values) result.audit.add(value);
    if (!output.rows.empty()) {
        CHECK(node.output_segment >= 0);
        add(static_cast<std::size_t>(node.output_segment), std::move(output.rows));
    }
    result.states.push_back({node.step, state.entries(), state.size_bytes()});
}

void PaneStage::end_epoch(Timestamp before, Timestamp after, EpochResult& result,
                          std::vector<OrderedPosting>& postings) {
    for (const auto& state : states_) {
        if (state == nullptr) continue;
        std::vector<PaneRow> rows = std::move(state->waiting);
        state->waiting.clear();
        std::stable_sort(rows.begin(), rows.end(),
                         [](const PaneRow& a, const PaneRow& b) { return a.order < b.order; });
        for (std::size_t first = 0; first < rows.size();) {
            // A batch has one source.
            const std::uint32_t source = source_index(rows[first].lineage);
            std::size_t end = first + 1;
            while (end < rows.size() && end - first < kBatchRows && source_index(rows[end].lineage) == source) ++end;
            run_batch(*state, std::span(rows).subspan(first, end - first), before, result);
            first = end;
        }
        const Segment& segment = *plan_.segments[state->segment];
        if (state->dedup != nullptr) end_step(*segment.dedup, *state->dedup, before, after, result, postings);
        for (std::size_t i = 0; i < state->terminals.size(); ++i) {
            end_step(segment.terminals[i], *state->terminals[i], before, after, result, postings);
        }
    }
}

}  // namespace takt
