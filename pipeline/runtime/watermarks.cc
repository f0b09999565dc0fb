#include "pipeline/runtime/watermarks.h"

#include <algorithm>
#include <optional>

#include "pipeline/base/mutant.h"

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
    if (combined) now_ = mutant("watermark_goes_back") ? *combined : std::max(now_, *combined);
    return now_;
}

std::string Watermarks::save(std::uint32_t index) const {
    const SourceTime& source = sources_[index];
    std::string bytes;
    ByteWriter out(bytes);
    out.put(source.highest);
    out.put(source.ingest_time);
    out.put<std::uint8_t>(source.ended ? 1 : 0);
    out.put<std::uint64_t>(source.partitions.size());
    for (const auto& [name, partition] : source.partitions) {
        out.put_text(name);
        out.put(partition.highest);
        out.put(partition.ingest_time);
    }
    return bytes;
}

bool Watermarks::load(Timestamp now, std::span<const std::string> sources) {
    if (sources.size() != sources_.size()) return false;
    now_ = mutant("snapshot_without_watermark") ? kBeginningOfTime : now;
    for (std::size_t i = 0; i < sources.size(); ++i) {
        if (sources[i].empty()) continue;
        SourceTime& source = sources_[i];
        ByteReader in(sources[i]);
        source.highest = in.get<Timestamp>();
        source.ingest_time = in.get<Timestamp>();
        source.ended = in.get<std::uint8_t>() != 0;
        source.partitions.clear();
        for (std::uint64_t left = in.get_count(sizeof(std::uint32_t)); left > 0; --left) {
            const std::string_view name = in.get_text();
            Partition& partition = source.partitions[std::string(name)];
            partition.highest = in.get<Timestamp>();
            partition.ingest_time = in.get<Timestamp>();
        }
        if (!in.ok() || !in.at_end()) return false;
    }
    return true;
}

}  // namespace takt
