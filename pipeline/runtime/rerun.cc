#include "pipeline/runtime/rerun.h"

#include <algorithm>
#include <iterator>

namespace takt {

Rerun::Rerun(const Plan& plan, Options options, Watch watch)
    : plan_(plan),
      options_(std::move(options)),
      watch_(std::move(watch)),
      stateless_(plan, 1),
      watermarks_(plan.sources),
      panes_(plan, watch_),
      states_(plan.segments.size()) {
    for (const SourcePlan& source : plan.sources) {
        const Segment& segment = *plan.segments[source.segment];
        States& states = states_[source.segment];
        if (segment.dedup && states.dedup == nullptr) states.dedup = segment.dedup->op->make_state();
        if (!options_.panes || !states.terminals.empty()) continue;
        for (const KeyedNode& terminal : segment.terminals) states.terminals.push_back(terminal.op->make_state());
    }
}

void Rerun::expect(DeadLetterReplay retry) {
    const EventPlace place{retry.source, retry.sequence, retry.part};
    retries_.insert_or_assign(place, std::move(retry));
}

void Rerun::read(std::uint32_t source, std::shared_ptr<const MessageBlock> block) {
    const std::vector<Message>& messages = block->messages;
    for (std::size_t first = 0; first < messages.size();) {
        retry_before({source, messages[first].sequence, 0});
        std::size_t last = std::min<std::size_t>(messages.size(), first + kBatchRows);
        // Up to the next event that comes again.
        const auto retry = retries_.lower_bound({source, 0, 0});
        while (retry != retries_.end() && retry->first.source == source && last > first + 1 &&
               messages[last - 1].sequence > retry->first.sequence)
            --last;
        chunk_.source = source;
        chunk_.block = block;
        chunk_.first = first;
        chunk_.count = last - first;
        run_chunk();
        first = last;
    }
}

void Rerun::end(std::uint32_t source) {
    retry_before({source + 1, 0, 0});
}

/// Those of the place's source, and of sources before it.
void Rerun::retry_before(const EventPlace& place) {
    for (auto next = retries_.begin(); next != retries_.end() && next->first < place; next = retries_.erase(next)) {
        DeadLetterReplay& replay = next->second;
        chunk_.source = replay.source;
        chunk_.replay = replay.replay;
        chunk_.part = replay.part;
        chunk_.block = block_of(std::move(replay));
        chunk_.first = 0;
        chunk_.count = 1;
        run_chunk();
        chunk_.replay = 0;
    }
}

void Rerun::run_chunk() {
    chunk_.segment = plan_.sources[chunk_.source].segment;
    stateless_.run(chunk_);
    for (const PartitionTime& time : chunk_.times) {
        if (of_retry()) break;  // it does not move the watermark
        watermarks_.observe(chunk_.source, time.partition, time.highest, time.ingest_time);
    }
    for (std::size_t i = 0; i < chunk_.parts_used; ++i)
        judge(*plan_.segments[chunk_.segment], states_[chunk_.segment], chunk_.parts[i]);
    stateless_.recycle(chunk_);
    chunk_.block.reset();
}

void Rerun::judge(const Segment& segment, States& states, Part& part) {
    Batch& batch = *part.batch;
    if (!options_.refused.empty() && !of_retry()) {
        for (std::uint32_t row = 0; row < batch.rows; ++row) {
            if (batch.outcome[row] != kUndecided) continue;
            const auto refused =
                options_.refused.find({batch.source, batch.origin[row].sequence, batch.origin[row].part});
            if (refused != options_.refused.end()) batch.outcome[row] = refused->second;
        }
    }
    if (states.dedup != nullptr) {
        part.rows_of[0] = rows_to_judge(part);
        if (!part.rows_of[0].empty()) states.dedup->process(batch, part.rows_of[0], kBeginningOfTime);
    }
    if (watch_) watch_(segment, part);
    for (std::size_t i = 0; i < states.terminals.size(); ++i) {
        const std::span<const Row> rows = part.rows_of[i + 1];
        if (!rows.empty()) states.terminals[i]->process(batch, rows, kBeginningOfTime);
    }
}

/// What the deduplication has to judge but for what was refused beforehand, which it must not remember.
std::span<const Row> Rerun::rows_to_judge(const Part& part) {
    const std::span<const Row> rows = part.rows_of[0];
    if (options_.refused.empty() || of_retry()) return rows;
    rows_.clear();
    const Batch& batch = *part.batch;
    std::copy_if(rows.begin(), rows.end(), std::back_inserter(rows_), [&](Row row) {
        return !options_.refused.contains({batch.source, batch.origin[row].sequence, batch.origin[row].part});
    });
    return rows_;
}

std::vector<Posting> Rerun::finish() {
    std::vector<OrderedPosting> ordered;
    for (std::size_t i = 0; i < states_.size(); ++i) {
        const Segment& segment = *plan_.segments[i];
        for (std::size_t t = 0; t < states_[i].terminals.size(); ++t) {
            LaneOutput output;
            states_[i].terminals[t]->end_epoch(kBeginningOfTime, kEndOfTime, 1, output);
            std::move(output.postings.begin(), output.postings.end(), std::back_inserter(ordered));
            if (output.rows.empty()) continue;
            CHECK(segment.terminals[t].output_segment >= 0);
            panes_.add(static_cast<std::size_t>(segment.terminals[t].output_segment), std::move(output.rows));
        }
    }
    EpochResult result;
    result.pane_outcomes.resize(plan_.outcomes.size());
    panes_.end_epoch(kBeginningOfTime, kEndOfTime, result, ordered);
    std::vector<Posting> postings;
    postings.reserve(ordered.size());
    for (OrderedPosting& one : ordered) postings.push_back(std::move(one.posting));
    return postings;
}

}  // namespace takt
