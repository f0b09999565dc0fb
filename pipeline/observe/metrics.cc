#include "pipeline/observe/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cmath>
#include <limits>
#include <map>

namespace takt {
namespace {

using Labels = std::vector<prometheus::ClientMetric::Label>;

double seconds(std::int64_t nanoseconds) {
    return static_cast<double>(nanoseconds) / static_cast<double>(kSecond);
}

class Exposition {
  public:
    /// Starts a family; its samples follow.
    void family(const char* name, const char* help, prometheus::MetricType type) {
        families_.push_back({name, help, type, {}});
    }
    void counter(std::uint64_t value, Labels labels = {}) {
        sample(std::move(labels)).counter.value = static_cast<double>(value);
    }
    void gauge(double value, Labels labels = {}) { sample(std::move(labels)).gauge.value = value; }
    void gauge(std::uint64_t value, Labels labels = {}) { gauge(static_cast<double>(value), std::move(labels)); }
    prometheus::ClientMetric& sample(Labels labels) {
        prometheus::ClientMetric& metric = families_.back().metric.emplace_back();
        metric.label = std::move(labels);
        return metric;
    }
    std::string text() const {
        std::vector<prometheus::MetricFamily> filled;
        for (const auto& candidate : families_) {
            if (!candidate.metric.empty()) filled.push_back(candidate);
        }
        return prometheus::TextSerializer().Serialize(filled);
    }

  private:
    std::vector<prometheus::MetricFamily> families_;
};

constexpr auto kCounter = prometheus::MetricType::Counter;
constexpr auto kGauge = prometheus::MetricType::Gauge;

void add_flow(Exposition& out, const EngineStatus& status) {
    out.family("takt_messages_total", "Messages taken into epochs.", kCounter);
    out.counter(status.messages);
    out.family("takt_message_bytes_total", "Bytes of these messages.", kCounter);
    out.counter(status.message_bytes);
    out.family("takt_events_total", "Events by what became of them; the sum is every event read.", kCounter);
    for (const OutcomeStatus& outcome : status.outcomes) {
        out.counter(outcome.count,
                    {{"pipeline", status.pipeline}, {"outcome", outcome.outcome}, {"rule", outcome.rule}});
    }
    struct Count {
        std::uint64_t count = 0;
        std::uint64_t revisions = 0;
    };
    std::map<std::string, Count> by_type;
    for (const PostingStatus& posting : status.postings) {
        by_type[posting.type].count += posting.count;
        by_type[posting.type].revisions += posting.revisions;
    }
    out.family("takt_postings_total", "Postings made, revisions included.", kCounter);
    for (const auto& [type, count] : by_type) out.counter(count.count, {{"type", type}});
    out.family("takt_posting_revisions_total", "Postings that correct an earlier one.", kCounter);
    for (const auto& [type, count] : by_type) out.counter(count.revisions, {{"type", type}});
}

double number(Int128 units, int scale) {
    return static_cast<double>(units) / std::pow(10.0, scale);
}

/// Values are shown as floats here, and nowhere else.
void add_audit(Exposition& out, const EngineStatus& status) {
    out.family("takt_audit_balances", "1 while an equation of the audit holds; at 0 the engine stops.", kGauge);
    for (const EquationStatus& equation : status.equations)
        out.gauge(equation.balances ? 1.0 : 0.0, {{"equation", equation.name}});
    const auto labels = [](const ValueStatus& value) {
        return Labels{{"step", value.step}, {"measure", value.measure}, {"unit", value.unit}};
    };
    out.family("takt_value_told", "Value that panes have posted or sent on, before rounding.", kGauge);
    for (const ValueStatus& value : status.values) out.gauge(number(value.told, value.scale), labels(value));
    out.family("takt_value_open", "Value in windows that are open.", kGauge);
    for (const ValueStatus& value : status.values) out.gauge(number(value.open, value.scale), labels(value));
    out.family("takt_value_rounding", "Value that is finer than the digits that are posted.", kGauge);
    for (const ValueStatus& value : status.values) out.gauge(number(value.rounding, value.scale), labels(value));
    out.family("takt_source_holes_total", "Sequences of a source that have no message, by why.", kCounter);
    for (const SourceStatus& source : status.sources) {
        for (const auto& [kind, holes] : source.holes) out.counter(holes, {{"source", source.name}, {"kind", kind}});
    }
}

void add_epochs(Exposition& out, const EngineStatus& status) {
    out.family("takt_epoch", "Number of the last epoch that was released.", kGauge);
    out.gauge(status.epoch);
    out.family("takt_watermark_seconds", "Watermark, as seconds since 1970; absent until every source has spoken.",
               kGauge);
    if (status.watermark != kBeginningOfTime && status.watermark != kEndOfTime) out.gauge(seconds(status.watermark));
    out.family("takt_lag_seconds", "Age of the newest message that an epoch took, while more wait.", kGauge);
    out.gauge(seconds(status.lag));
    out.family("takt_last_progress_seconds", "Seconds since an epoch was released or a sink took something.", kGauge);
    out.gauge(seconds(status.now - status.last_progress));

    out.family("takt_epoch_duration_seconds", "From an epoch's first message to the release of its postings.",
               prometheus::MetricType::Histogram);
    auto& histogram = out.sample({}).histogram;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < status.epoch_durations.counts.size(); ++i) {
        total += status.epoch_durations.counts[i];
        const double bound = i < EpochDurations::kBoundsSeconds.size() ? EpochDurations::kBoundsSeconds[i]
                                                                       : std::numeric_limits<double>::infinity();
        histogram.bucket.push_back({total, bound});
    }
    histogram.sample_count = total;
    histogram.sample_sum = status.epoch_durations.sum_s;
}

void add_engine(Exposition& out, const EngineStatus& status) {
    out.family("takt_chunks_in_flight", "Chunks between feed and commit.", kGauge);
    out.gauge(status.chunks_in_flight);
    out.family("takt_chunk_credits", "Chunks that may be in flight.", kGauge);
    out.gauge(status.chunks_limit);
    out.family("takt_in_flight_bytes", "Message bytes between feed and commit.", kGauge);
    out.gauge(status.bytes_in_flight);
    out.family("takt_state_entries", "Ids or panes that a keyed step holds.", kGauge);
    for (const StateStatus& state : status.states) out.gauge(state.entries, {{"step", state.step}});
    out.family("takt_state_bytes", "Memory of a keyed step's state.", kGauge);
    for (const StateStatus& state : status.states) out.gauge(state.size_bytes, {{"step", state.step}});
}

void add_edges(Exposition& out, const EngineStatus& status) {
    out.family("takt_source_pending", "Messages known to wait at the source.", kGauge);
    for (const SourceStatus& source : status.sources) out.gauge(source.pending, {{"source", source.name}});
    out.family("takt_source_queued", "Messages read that no epoch has taken yet.", kGauge);
    for (const SourceStatus& source : status.sources) out.gauge(source.queued_messages, {{"source", source.name}});
    out.family("takt_source_sequence", "Sequence of the last message that an epoch took.", kGauge);
    for (const SourceStatus& source : status.sources) out.gauge(source.last_sequence, {{"source", source.name}});
    out.family("takt_source_dropped_total", "Messages lost before they could be read.", kCounter);
    for (const SourceStatus& source : status.sources) out.counter(source.dropped, {{"source", source.name}});
    out.family("takt_source_retries_total", "Attempts to open a source that failed and were repeated.", kCounter);
    for (const SourceStatus& source : status.sources) out.counter(source.retries, {{"source", source.name}});
    out.family("takt_table_rows", "Rows of a live table that steps find.", kGauge);
    for (const TableStatus& table : status.tables) out.gauge(table.rows, {{"table", table.name}});
    out.family("takt_table_revision", "Revision of the last change to a live table that steps find.", kGauge);
    for (const TableStatus& table : status.tables) out.gauge(table.revision, {{"table", table.name}});
    out.family("takt_table_changes_total", "Changes to a live table that took effect, its first content included.",
               kCounter);
    for (const TableStatus& table : status.tables) out.counter(table.changes, {{"table", table.name}});
    out.family("takt_table_refused_total", "Values that are no rows of a live table; what stood before them holds.",
               kCounter);
    for (const TableStatus& table : status.tables) out.counter(table.refused, {{"table", table.name}});
    out.family("takt_table_stale_seconds", "How long a live table has been without its origin; 0 when it is not.",
               kGauge);
    for (const TableStatus& table : status.tables) {
        const bool current = table.state == TableStatus::State::current;
        out.gauge(current ? 0.0 : seconds(status.now - table.since), {{"table", table.name}});
    }
    out.family("takt_sink_deliveries_total", "Postings by the sink's answer.", kCounter);
    for (const SinkStatus& sink : status.sinks) {
        out.counter(sink.accepted, {{"sink", sink.name}, {"state", "accepted"}});
        out.counter(sink.refused, {{"sink", sink.name}, {"state", "refused"}});
    }
    out.family("takt_sink_waiting", "Postings without an answer yet.", kGauge);
    for (const SinkStatus& sink : status.sinks) out.gauge(sink.waiting, {{"sink", sink.name}});
    out.family("takt_sink_held", "Postings refused or parked, which wait for a person.", kGauge);
    for (const SinkStatus& sink : status.sinks) out.gauge(sink.held, {{"sink", sink.name}});
    out.family("takt_sink_blocked", "Of them, those not sent because an earlier revision of their pane is held.",
               kGauge);
    for (const SinkStatus& sink : status.sinks) out.gauge(sink.blocked, {{"sink", sink.name}});
    out.family("takt_sink_sent_again_total", "Postings of an earlier run that were sent, no answer being known.",
               kCounter);
    for (const SinkStatus& sink : status.sinks) out.counter(sink.sent_again, {{"sink", sink.name}});
    out.family("takt_sink_retries_total", "Deliveries that failed or were left unknown and were repeated.", kCounter);
    for (const SinkStatus& sink : status.sinks) out.counter(sink.retries, {{"sink", sink.name}});
}

}  // namespace

std::string metrics_text(const EngineStatus& status) {
    Exposition out;
    add_flow(out, status);
    add_audit(out, status);
    add_epochs(out, status);
    add_engine(out, status);
    add_edges(out, status);
    return out.text();
}

}  // namespace takt
