#include "pipeline/runtime/storm_breaker.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace takt {

std::optional<Error> StormBreaker::add(const EpochResult& epoch) {
    const DeadLetterLimit& limit = plan_.dead_letters;
    if ((limit.most == 0 && limit.share == 0) || epoch.rows == 0) return std::nullopt;
    Counts counts;
    counts.time = epochs_.empty() ? 0 : epochs_.back().time;
    for (const SourceCut& cut : epoch.cuts) counts.time = std::max(counts.time, cut.last_ingest_time);
    counts.events = epoch.rows;
    for (std::size_t code = 0; code < epoch.outcomes.size(); ++code) {
        const auto outcome = static_cast<OutcomeCode>(code);
        if (epoch.outcomes[code] == 0 || plan_.outcomes.at(outcome).kind != OutcomeKind::dead_letter) continue;
        counts.refused.emplace_back(outcome, epoch.outcomes[code]);
        refused_[code] += epoch.outcomes[code];
    }
    events_ += counts.events;
    epochs_.push_back(std::move(counts));
    forget_before(saturating_subtract(epochs_.back().time, limit.within));

    const std::uint64_t refused = std::accumulate(refused_.begin(), refused_.end(), std::uint64_t{0});
    const bool too_many = limit.most > 0 && refused > limit.most;
    const bool too_large_a_part = limit.share > 0 && events_ >= limit.least_events &&
                                  static_cast<double>(refused) > limit.share * static_cast<double>(events_);
    if (!too_many && !too_large_a_part) return std::nullopt;
    return storm(epoch, refused);
}

void StormBreaker::forget_before(Timestamp time) {
    while (epochs_.front().time < time) {
        events_ -= epochs_.front().events;
        for (const auto& [code, count] : epochs_.front().refused) refused_[code] -= count;
        epochs_.pop_front();
    }
}

Error StormBreaker::storm(const EpochResult& epoch, std::uint64_t refused) const {
    const DeadLetterLimit& limit = plan_.dead_letters;
    std::map<std::string, std::uint64_t> by_reason;
    for (std::size_t code = 0; code < refused_.size(); ++code) {
        if (refused_[code] > 0) by_reason[plan_.outcomes.at(static_cast<OutcomeCode>(code)).rule] += refused_[code];
    }
    std::vector<std::pair<std::uint64_t, std::string>> most_first;
    for (const auto& [reason, count] : by_reason) most_first.emplace_back(count, reason);
    std::stable_sort(most_first.begin(), most_first.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    std::string reasons;
    for (const auto& [count, reason] : most_first)
        reasons += fmt::format("{}{} {}", reasons.empty() ? "" : ", ", reason, count);
    std::string limits;
    if (limit.most > 0) limits = fmt::format("{} dead letters", limit.most);
    if (limit.share > 0) {
        limits += fmt::format("{}a share of {} from {} events on", limits.empty() ? "" : " and ", limit.share,
                              limit.least_events);
    }
    std::string example;
    if (!epoch.dead_letters.empty()) {
        const DeadLetter& last = epoch.dead_letters.back();
        example = fmt::format("; the last one is {}:{}: {}{}{}", last.source, last.sequence, last.reason,
                              last.text.empty() ? "" : ", ", last.text);
    }
    return {"F623",
            fmt::format("DEAD_LETTER_STORM: of {} events within {} of ingest time {} are refused ({}); "
                        "`dead_letters` lets {} stand{}. Epoch {} and what follows it were not released",
                        events_, format_duration(limit.within), refused, reasons, limits, example, epoch.epoch)};
}

}  // namespace takt
