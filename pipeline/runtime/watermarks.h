#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/bytes.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/plan.h"

namespace takt {

/// Event time as the sources tell it. The watermark is the minimum over all sources that neither ended nor are idle,
/// and over the partitions of each: highest event time - out_of_order. A source that has said nothing holds it at the
/// beginning of time. It never goes back; when no source counts it stays. One thread.
///
/// A partition is idle when its source has a time.idle and, by ingest times, went on for longer than that without it:
/// so the decision is a function of the input, and a replay makes it again.
class Watermarks {
  public:
    explicit Watermarks(const std::vector<SourcePlan>& sources);

    /// The latest event of a partition ("" where there are none).
    void observe(std::uint32_t source, std::string_view partition, Timestamp event_time, Timestamp ingest_time);
    /// The epoch's end; returns the watermark of the next one.
    Timestamp advance(const CutOptions& cut);
    Timestamp now() const { return now_; }
    /// What one source has said; see KeyedState::save. With `now` that is everything that `advance` depends on.
    std::string save(std::uint32_t source) const;
    /// Goes on after that: `sources` by index, empty texts for those that have said nothing. False: the bytes are none.
    bool load(Timestamp now, std::span<const std::string> sources);
    /// kBeginningOfTime when it has said nothing.
    Timestamp highest(std::uint32_t source) const { return sources_[source].highest; }

  private:
    struct Partition {
        Timestamp highest = kBeginningOfTime;
        Timestamp ingest_time = 0;
    };
    struct SourceTime {
        TimePolicy policy;
        Timestamp highest = kBeginningOfTime;
        Timestamp ingest_time = 0;
        bool ended = false;
        std::map<std::string, Partition, std::less<>> partitions;
    };
    Timestamp watermark_of(const SourceTime& source) const;

    std::vector<SourceTime> sources_;
    Timestamp now_ = kBeginningOfTime;
};

}  // namespace takt
