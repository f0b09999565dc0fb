#include "pipeline/runtime/accounting.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace takt {
namespace {

std::string text_at(const Batch& batch, Slot slot, Row row) {
    if (slot == kNoSlot || !batch.column(slot).valid().test(row)) return {};
    return std::string(batch.column(slot).values<std::string_view>()[row]);
}

std::string_view subject_of(const Batch& batch, std::uint64_t sequence) {
    if (batch.block == nullptr) return {};
    const std::vector<Message>& messages = batch.block->messages;
    const auto found =
        std::lower_bound(messages.begin(), messages.end(), sequence,
                         [](const Message& message, std::uint64_t wanted) { return message.sequence < wanted; });
    return found != messages.end() && found->sequence == sequence ? found->subject : std::string_view();
}

std::string reason_text(const Segment& segment, Timestamp watermark, const Batch& batch, Row row) {
    const OutcomeCode code = batch.outcome[row];
    for (const RejectText& text : batch.reject_texts) {
        if (text.row == row && text.outcome == code) return std::string(text.text);
    }
    if (segment.late_after != kNoSlot && code == segment.too_late) {
        return fmt::format("the watermark is {}, later than {}", format_timestamp(watermark),
                           format_timestamp(batch.column(segment.late_after).values<Timestamp>()[row]));
    }
    return {};
}

DeadLetter make_dead_letter(const Segment& segment, const OutcomeTable& outcomes, const std::string& origin_name,
                            Timestamp watermark, const Batch& batch, Row row) {
    const Outcome& outcome = outcomes.at(batch.outcome[row]);
    const Origin& origin = batch.origin[row];
    DeadLetter letter;
    letter.source = origin_name;
    letter.sequence = origin.sequence;
    letter.part = origin.part;
    letter.subject = subject_of(batch, origin.sequence);
    letter.ingest_time = batch.ingest_time[row];
    letter.reason = outcome.rule;
    letter.text = reason_text(segment, watermark, batch, row);
    letter.owner = outcome.owner;
    letter.step = outcome.step;
    if (batch.outcome[row] != kMalformed) {
        letter.event_id = text_at(batch, segment.id, row);
        letter.correlation_id = text_at(batch, segment.correlation, row);
    }
    if (origin.size_bytes > 0) letter.bytes.assign(origin.bytes, origin.size_bytes);
    return letter;
}

}  // namespace

EventSum sum_of_rows(const Batch& batch, const Hash128& seed) {
    EventSum sum;
    for (std::uint32_t row = 0; row < batch.rows; ++row)
        sum.add(event_hash(seed, batch.origin[row].sequence, batch.origin[row].part));
    return sum;
}

void account(const Segment& segment, const OutcomeTable& outcomes, const std::string& origin_name, const Hash128& seed,
             Timestamp watermark, const Part& part, std::vector<EventSum>& sums,
             std::vector<DeadLetter>& dead_letters) {
    const Batch& batch = *part.batch;
    const auto is_dead = [&](OutcomeCode code) { return outcomes.at(code).kind == OutcomeKind::dead_letter; };
    bool any_dead = false;
    std::vector<EventSum> here(outcomes.size());
    for (std::uint32_t row = 0; row < batch.rows; ++row)
        here[batch.outcome[row]].add(event_hash(seed, batch.origin[row].sequence, batch.origin[row].part));
    here[kAccepted] += std::exchange(here[kUndecided], {});
    for (std::size_t code = 0; code < here.size(); ++code) {
        sums[code] += here[code];
        any_dead = any_dead || (here[code].count > 0 && is_dead(static_cast<OutcomeCode>(code)));
    }
    if (!any_dead) return;
    for (std::uint32_t i = 0; i < batch.rows; ++i) {
        if (!is_dead(batch.outcome[i])) continue;
        dead_letters.push_back(make_dead_letter(segment, outcomes, origin_name, watermark, batch, static_cast<Row>(i)));
    }
}

}  // namespace takt
