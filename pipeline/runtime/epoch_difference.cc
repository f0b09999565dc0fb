#include "pipeline/runtime/epoch_difference.h"

#include <fmt/format.h>

#include <algorithm>

namespace takt {
namespace {

bool same(const Posting& a, const Posting& b) {
    return a.key == b.key && a.payload_hash == b.payload_hash && a.previous_key == b.previous_key &&
           a.amount == b.amount && a.quantity == b.quantity && a.epoch == b.epoch &&
           a.lineage.events == b.lineage.events && a.lineage.ids == b.lineage.ids;
}

std::string difference(const AuditTotals& made, const AuditTotals& before) {
    if (made.received != before.received) return "received events";
    if (made.outcomes != before.outcomes) return "events by outcome";
    if (made.replayed != before.replayed || made.replays != before.replays) return "what was sent again";
    if (made.sources != before.sources) return "sequences of sources";
    return made.values != before.values ? "values" : "postings";
}

bool same(const DeadLetter& a, const DeadLetter& b) {
    return a.source == b.source && a.sequence == b.sequence && a.part == b.part && a.replay == b.replay &&
           a.reason == b.reason && a.bytes == b.bytes;
}

}  // namespace

std::string epoch_difference(const EpochResult& made, const EpochResult& before) {
    if (made.epoch != before.epoch) return fmt::format("it is epoch {}, not {}", made.epoch, before.epoch);
    if (made.messages != before.messages)
        return fmt::format("it has {} messages, not {}", made.messages, before.messages);
    if (made.watermark_before != before.watermark_before || made.watermark_after != before.watermark_after)
        return "its watermarks are others";
    if (made.outcomes != before.outcomes) return "its events end otherwise";
    if (made.replay_outcomes != before.replay_outcomes) return "its retries end otherwise";
    if (made.pane_outcomes != before.pane_outcomes) return "its panes' rows end otherwise";
    if (made.postings.size() != before.postings.size())
        return fmt::format("it has {} postings, not {}", made.postings.size(), before.postings.size());
    for (std::size_t i = 0; i < made.postings.size(); ++i) {
        if (!same(made.postings[i], before.postings[i]))
            return fmt::format("posting {} is {}, not {}", i + 1, made.postings[i].key, before.postings[i].key);
    }
    if (made.dead_letters.size() != before.dead_letters.size())
        return fmt::format("it has {} dead letters, not {}", made.dead_letters.size(), before.dead_letters.size());
    for (std::size_t i = 0; i < made.dead_letters.size(); ++i) {
        if (!same(made.dead_letters[i], before.dead_letters[i]))
            return fmt::format("dead letter {} is another one", i + 1);
    }
    if (made.audit != before.audit)
        return fmt::format("its totals are others: {}", difference(made.audit, before.audit));
    return {};
}

}  // namespace takt
