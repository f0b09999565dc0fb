#include "pipeline/runtime/accounting.h"

#include <fmt/format.h>

#include <algorithm>

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

}  // namespace

void account(const Segment& segment, const OutcomeTable& outcomes, const std::string& origin_name, Timestamp watermark,
             const Part& part, std::vector<std::uint64_t>& counts, std::vector<DeadLetter>& dead_letters) {
    const Batch& batch = *part.batch;
    for (std::uint32_t i = 0; i < batch.rows; ++i) {
        const OutcomeCode code = batch.outcome[i] == kUndecided ? kAccepted : batch.outcome[i];
        ++counts[code];
        const Outcome& outcome = outcomes.at(code);
        if (outcome.kind != OutcomeKind::dead_letter) continue;
        const auto row = static_cast<Row>(i);
        const Origin& origin = batch.origin[row];
        DeadLetter& letter = dead_letters.emplace_back();
        letter.source = origin_name;
        letter.sequence = origin.sequence;
        letter.part = origin.part;
        letter.subject = subject_of(batch, origin.sequence);
        letter.ingest_time = batch.ingest_time[row];
        letter.reason = outcome.rule;
        letter.text = reason_text(segment, watermark, batch, row);
        letter.owner = outcome.owner;
        letter.step = outcome.step;
        if (code != kMalformed) {
            letter.event_id = text_at(batch, segment.id, row);
            letter.correlation_id = text_at(batch, segment.correlation, row);
        }
        if (origin.size_bytes > 0) letter.bytes.assign(origin.bytes, origin.size_bytes);
    }
}

}  // namespace takt
