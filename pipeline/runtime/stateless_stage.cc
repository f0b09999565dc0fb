#include "pipeline/runtime/stateless_stage.h"

#include <algorithm>
#include <cstring>

#include "pipeline/runtime/accounting.h"
#include "pipeline/runtime/deadly_text.h"

namespace takt {
namespace {

const Selection& stream(const Part& part, StreamId id) {
    return part.streams[static_cast<std::size_t>(id)];
}

std::span<const Row> rows_of(const Selection& selection) {
    return {selection.data(), selection.size()};
}

/// Marks the rows of terminals. A row that one branch rejected and another took is taken.
void mark_taken(const Segment& segment, Part& part, std::vector<std::uint8_t>& taken) {
    Batch& batch = *part.batch;
    std::memset(taken.data(), 0, batch.rows);
    bool revoked = false;
    for (const KeyedNode& terminal : segment.terminals) {
        for (const Row row : stream(part, terminal.in)) {
            taken[row] = 1;
            if (batch.outcome[row] != kUndecided) {
                batch.outcome[row] = kUndecided;
                revoked = true;
            }
        }
    }
    if (revoked) {
        std::erase_if(batch.reject_texts, [&](const RejectText& text) { return taken[text.row] != 0; });
    }
}

void settle_unrouted(const Segment& segment, StreamId entry, Part& part, const std::vector<std::uint8_t>& taken) {
    Batch& batch = *part.batch;
    if (segment.dedup) {
        for (const Row row : stream(part, segment.dedup->in)) {
            if (batch.outcome[row] == kUndecided && taken[row] == 0) batch.outcome[row] = kUnroutedAfterDedup;
        }
    }
    for (const Row row : stream(part, entry)) {
        if (batch.outcome[row] == kUndecided && taken[row] == 0) batch.outcome[row] = kUnrouted;
    }
}

/// Rows by the lane that owns their key.
void route(const KeyedNode& node, std::size_t exchange, std::span<const Row> rows, std::uint32_t lanes, Part& part) {
    if (lanes == 1) {
        part.rows_of[exchange] = rows;
        return;
    }
    const std::size_t first = exchange * lanes;
    for (std::uint32_t lane = 0; lane < lanes; ++lane) part.routed[first + lane].clear();
    const auto* hashes = part.batch->column(node.key_hash).values<std::uint64_t>();
    for (const Row row : rows) part.routed[first + lane_of(hashes[row], lanes)].push_back(row);
    for (std::uint32_t lane = 0; lane < lanes; ++lane) part.rows_of[first + lane] = part.routed[first + lane];
}

/// The rows that a deduplication judges: those that are on their way, and those whose outcome holds only when they are
/// fresh.
std::span<const Row> rows_to_judge(const KeyedNode& dedup, const OutcomeTable& outcomes, Part& part,
                                   std::vector<Row>& buffer) {
    const Batch& batch = *part.batch;
    const Selection& in = stream(part, dedup.in);
    const auto judged = [&](Row row) {
        const OutcomeCode code = batch.outcome[row];
        return code == kUndecided || outcomes.at(code).after_dedup;
    };
    if (std::all_of(in.begin(), in.end(), judged)) return rows_of(in);
    buffer.clear();
    std::copy_if(in.begin(), in.end(), std::back_inserter(buffer), judged);
    return buffer;
}

}  // namespace

SegmentScratch make_scratch(const Segment& segment) {
    SegmentScratch scratch;
    for (const RowNode& node : segment.nodes) scratch.nodes.push_back(node.op->make_scratch());
    scratch.taken.resize(kBatchRows);
    return scratch;
}

void enter(const Segment& segment, StreamId entry, Part& part) {
    Batch& batch = *part.batch;
    part.streams.resize(static_cast<std::size_t>(segment.streams));
    for (Selection& selection : part.streams) selection.clear();
    Selection& selected = part.streams[static_cast<std::size_t>(entry)];
    OutcomeCode any = kUndecided;
    for (std::uint32_t row = 0; row < batch.rows; ++row) any = static_cast<OutcomeCode>(any | batch.outcome[row]);
    if (any == kUndecided) {
        selected.assign_all(batch.rows);
    } else {
        for (std::uint32_t row = 0; row < batch.rows; ++row) {
            if (batch.outcome[row] == kUndecided) selected.push_back(static_cast<Row>(row));
        }
    }
    if (segment.late_after != kNoSlot) {
        std::fill_n(batch.column(segment.late_after).values<Timestamp>(), batch.rows, kBeginningOfTime);
    }
}

void run_row_nodes(const Segment& segment, StreamId entry, const OutcomeTable& outcomes, std::uint32_t lanes,
                   Part& part, SegmentScratch& scratch) {
    Batch& batch = *part.batch;
    for (std::size_t i = 0; i < segment.nodes.size(); ++i) {
        const RowNode& node = segment.nodes[i];
        scratch.in.clear();
        scratch.out.clear();
        for (const StreamId id : node.in) scratch.in.push_back(&part.streams[static_cast<std::size_t>(id)]);
        for (const StreamId id : node.out) scratch.out.push_back(&part.streams[static_cast<std::size_t>(id)]);
        node.op->process(batch, scratch.in, scratch.out, *scratch.nodes[i]);
    }

    mark_taken(segment, part, scratch.taken);
    settle_unrouted(segment, entry, part, scratch.taken);

    const std::size_t exchanges = segment.terminals.size() + 1;
    part.rows_of.assign(exchanges * lanes, {});
    if (part.routed.size() < exchanges * lanes + 1) part.routed.resize(exchanges * lanes + 1);
    if (segment.dedup) {
        const std::span<const Row> rows = rows_to_judge(*segment.dedup, outcomes, part, part.routed[exchanges * lanes]);
        route(*segment.dedup, 0, rows, lanes, part);
    }
    part.earliest_late_after = kEndOfTime;
    for (std::size_t i = 0; i < segment.terminals.size(); ++i) {
        const Selection& rows = stream(part, segment.terminals[i].in);
        route(segment.terminals[i], i + 1, rows_of(rows), lanes, part);
        if (segment.late_after == kNoSlot) continue;
        const auto* late_after = batch.column(segment.late_after).values<Timestamp>();
        for (const Row row : rows) part.earliest_late_after = std::min(part.earliest_late_after, late_after[row]);
    }
}

void judge_lateness(const Segment& segment, Timestamp watermark, Part& part) {
    if (part.earliest_late_after >= watermark) return;
    Batch& batch = *part.batch;
    const auto* late_after = batch.column(segment.late_after).values<Timestamp>();
    for (const KeyedNode& terminal : segment.terminals) {
        for (const Row row : stream(part, terminal.in)) {
            if (late_after[row] < watermark && batch.outcome[row] == kUndecided) batch.outcome[row] = segment.too_late;
        }
    }
}

StatelessStage::StatelessStage(const Plan& plan, std::uint32_t lanes) : plan_(plan), lanes_(lanes) {
    for (const auto& segment : plan.segments) pools_.push_back(std::make_unique<BatchPool>(segment->layout));
    for (const SourcePlan& source : plan.sources) seeds_.push_back(source_seed(source.name));
    for (std::size_t code = 0; code < plan.outcomes.size(); ++code) {
        const Outcome& outcome = plan.outcomes.at(static_cast<OutcomeCode>(code));
        timeless_.push_back(code == kMalformed || outcome.step == "clock");
    }
}

std::unique_ptr<StatelessStage::Scratch> StatelessStage::take_scratch() {
    {
        std::lock_guard lock(mutex_);
        if (!scratches_.empty()) {
            std::unique_ptr<Scratch> scratch = std::move(scratches_.back());
            scratches_.pop_back();
            return scratch;
        }
    }
    auto scratch = std::make_unique<Scratch>();
    for (const SourcePlan& source : plan_.sources) scratch->decoders.push_back(source.decoder->make_scratch());
    for (const auto& segment : plan_.segments) scratch->segments.push_back(make_scratch(*segment));
    return scratch;
}

void StatelessStage::give_back(std::unique_ptr<Scratch> scratch) {
    std::lock_guard lock(mutex_);
    scratches_.push_back(std::move(scratch));
}

void StatelessStage::measure_time(const Segment& segment, const Batch& batch, std::vector<PartitionTime>& times) const {
    if (segment.partition == kNoSlot) {
        PartitionTime time;
        for (std::uint32_t row = 0; row < batch.rows; ++row) {
            if (timeless_[batch.outcome[row]] != 0) continue;
            time.highest = std::max(time.highest, batch.event_time[row]);
            time.ingest_time = std::max(time.ingest_time, batch.ingest_time[row]);
        }
        if (time.highest > kBeginningOfTime) times.push_back(std::move(time));
        return;
    }
    const Column& column = batch.column(segment.partition);
    std::size_t last = 0;
    for (std::uint32_t row = 0; row < batch.rows; ++row) {
        if (timeless_[batch.outcome[row]] != 0) continue;
        const std::string_view name = column.valid().test(row) ? column.values<std::string_view>()[row] : "";
        if (last >= times.size() || times[last].partition != name) {
            const auto found = std::find_if(times.begin(), times.end(),
                                            [&](const PartitionTime& time) { return time.partition == name; });
            last = static_cast<std::size_t>(found - times.begin());
            if (found == times.end()) times.push_back({.partition = std::string(name)});
        }
        times[last].highest = std::max(times[last].highest, batch.event_time[row]);
        times[last].ingest_time = std::max(times[last].ingest_time, batch.ingest_time[row]);
    }
}

void StatelessStage::run(Chunk& chunk) {
    if (chunk.block->quarantined) {
        chunk.times.clear();
        chunk.parts_used = 0;
        chunk.received = {};
        chunk.received.add(event_hash(seeds_[chunk.source], chunk.block->messages[chunk.first].sequence, 0));
        return;
    }
    die_of_deadly_text(std::span(chunk.block->messages).subspan(chunk.first, chunk.count));
    const SourcePlan& source = plan_.sources[chunk.source];
    const Segment& segment = *plan_.segments[chunk.segment];
    std::unique_ptr<Scratch> scratch = take_scratch();
    scratch->batches.clear();
    source.decoder->decode(chunk.block, chunk.first, chunk.count, *scratch->decoders[chunk.source],
                           *pools_[chunk.segment], scratch->batches);
    chunk.times.clear();
    chunk.received = {};
    chunk.parts_used = scratch->batches.size();
    if (chunk.parts.size() < chunk.parts_used) chunk.parts.resize(chunk.parts_used);
    for (std::size_t i = 0; i < chunk.parts_used; ++i) {
        Part& part = chunk.parts[i];
        part.batch = std::move(scratch->batches[i]);
        part.batch->source = chunk.source;
        part.batch->block = chunk.block;
        if (chunk.replay > 0) {
            CHECK(chunk.parts_used == 1 && part.batch->rows == 1);
            part.batch->origin[0].part = chunk.part;
        }
        chunk.received += sum_of_rows(*part.batch, seeds_[chunk.source]);
        enter(segment, source.stream, part);
        run_row_nodes(segment, source.stream, plan_.outcomes, lanes_, part, scratch->segments[chunk.segment]);
        measure_time(segment, *part.batch, chunk.times);
    }
    give_back(std::move(scratch));
}

void StatelessStage::recycle(Chunk& chunk) {
    for (std::size_t i = 0; i < chunk.parts_used; ++i) {
        pools_[chunk.segment]->give_back(std::move(chunk.parts[i].batch));
    }
    chunk.parts_used = 0;
}

}  // namespace takt
