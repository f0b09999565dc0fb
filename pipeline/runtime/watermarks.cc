#include "pipeline/runtime/watermarks.h"

#include <algorithm>
#include <optional>

namespace takt {

Watermarks::Watermarks(const std::vector<SourcePlan>& sources) {
    for (const SourcePlan& source : sources) sources_.push_back({.policy = source.time, .partitions = {}});
}

void Watermarks::observe(std::uint32_t source, std::string_view partition, Timestamp event_time,
                         Timestamp ingest_time) {
    SourceTime& said = sources_[source];
    said.highest = std::max(said.highest, event_time);
    said.ingest_time = std::max(said.ingest_time, ingest_time);
    auto found = said.partitions.find(partition);
    if (found == said.partitions.end()) found = said.partitions.emplace(partition, Partition{}).first;
    found->second.highest = std::max(found->second.highest, event_time);
    found->second.ingest_time = std::max(found->second.ingest_time, ingest_time);
}

Timestamp Watermarks::watermark_of(const SourceTime& source) const {
    Timestamp lowest = source.highest;
    for (const auto& [name, partition] : source.partitions) {
        const bool idle =
            source.policy.idle > 0 && saturating_add(partition.ingest_time, source.policy.idle) < source.ingest_time;
        if (!idle) lowest = std::min(lowest, partition.highest);
    }
    return saturating_subtract(lowest, source.policy.out_of_order);
}

Timestamp Watermarks::advance(const CutOptions& cut) {
    for (const std::uint32_t source : cut.ended) sources_[source].ended = true;
    std::optional<Timestamp> combined = cut.watermark;
    if (cut.flush) {
        combined = kEndOfTime;
    } else if (!combined) {
        for (std::uint32_t i = 0; i < sources_.size(); ++i) {
            if (sources_[i].ended || std::find(cut.idle.begin(), cut.idle.end(), i) != cut.idle.end()) continue;
            combined = std::min(combined.value_or(kEndOfTime), watermark_of(sources_[i]));
        }
    }
    if (combined) now_ = std::max(now_, *combined);
    return now_;
}

}  // namespace takt
