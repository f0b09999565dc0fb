#pragma once

#include <limits>
#include <string>

#include "pipeline/journal/frame.h"

namespace takt::sample {

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
constexpr Int128 kGreatest = static_cast<Int128>(~UInt128{0} >> 1);

inline FrameContext context() {
    FrameContext context;
    context.incarnation = 3;
    context.fencing_token = kMost;
    context.engine_version = "0.1.0";
    context.config_hash = to_hex(hash128("config"));
    context.tzdb_version = "2024a";
    context.sources = {"floor", "", "lab"};
    context.tables = {"materials", "work_centers"};
    context.outcomes.add({OutcomeKind::dead_letter, "MISSING_FIELD", "plant_it", "complete", false});
    context.outcomes.add({OutcomeKind::filtered, "test_order", "", "real", true});
    return context;
}

/// Every field has a value that is not its default, and its limit where it has one.
inline Posting posting() {
    Posting posting;
    posting.key = to_hex(hash128("key"));
    posting.payload_hash = to_hex(hash128("payload"));
    posting.type = "goods_receipt";
    posting.pipeline = "plant_to_ledger";
    posting.revision = std::numeric_limits<std::uint32_t>::max();
    posting.previous_key = to_hex(hash128("previous"));
    posting.window_start = std::numeric_limits<Timestamp>::min();
    posting.window_end = kEndOfTime;
    posting.posting_date = -1;
    posting.correlation_id = "PO-1 \xC3\xA4\n\"";
    posting.key_fields = {{"plant", "P100"}, {"lot", ""}};
    posting.quantity = -kGreatest - 1;
    posting.quantity_cumulative = kGreatest;
    posting.quantity_scale = 38;
    posting.unit = "pcs";
    posting.amount = (Int128{1} << 64) - 1;
    posting.amount_cumulative = -(Int128{1} << 64);
    posting.amount_scale = 0;
    posting.currency = "EUR";
    posting.debit = "130000";
    posting.credit = "895000";
    posting.lines = {{"130000", "", Side::debit, kGreatest}, {"895000", "CC-1", Side::credit, -1}};
    posting.lineage = {{{"floor", 1, kMost}, {"lab", 2, 3}}, kMost, hash128("ids")};
    posting.config_hash = "c0ffee";
    posting.epoch = kMost;
    return posting;
}

inline Posting bare_posting() {
    Posting posting;
    posting.has_quantity = posting.has_amount = false;
    return posting;
}

inline DeadLetter dead_letter() {
    return {"floor",    kMost,      4'294'967'295,   "plant.a",
            -1,         "e-7",      "MISSING_FIELD", "no 'order'",
            "plant_it", "complete", "PO-1",          std::string("\xFF\0{TAKTFRME", 11),
            kMost};
}

/// Everything that a frame can hold.
inline Frame full_frame(std::uint64_t epoch) {
    Frame frame;
    EpochResult& result = frame.result;
    result.epoch = epoch;
    result.watermark_before = 0;
    result.watermark_after = kEndOfTime;
    result.cuts = {{kMost, -5, 17, 41, std::string("a\0b", 3), {{40, -1}, {41, kEndOfTime}}}, {}, {1, 0, 0, 0, "", {}}};
    result.cut.watermark = -9;
    result.cut.idle = {0, 2};
    result.cut.ended = {1};
    result.cut.flush = true;
    TableVersion table;
    table.table = 1;
    table.whole = true;
    table.changes = {{"work_centers.WC-1", 7, TableChange::Operation::put, std::string("{\0}", 3), true},
                     {"", kMost, TableChange::Operation::remove, "", false},
                     {"x", 0, TableChange::Operation::gone, "", false}};
    TableVersion empty;
    result.cut.tables = {table, empty};
    result.messages = kMost;
    result.message_bytes = kMost - 1;
    result.rows = kMost - 2;
    result.outcomes = {0, 1, kMost, 0, 0, 5, 6};
    result.pane_rows = kMost - 3;
    result.pane_outcomes = {0, 0, 8, 0, 0};
    result.audit.received = {kMost, hash128("received")};
    result.audit.outcomes = {{}, {1, hash128("one")}, {}, {}, {}, {kMost, hash128("five")}, {}};
    result.audit.sources = {{kMost, {1, 2, 3, kMost}}, {}, {5, {}}};
    result.audit.values = {{"costs", "amount", "EUR", 38, true, true, kGreatest, -kGreatest - 1, -1, -7},
                           {"sums", "parts", "", 0, false, false, 0, 0, 0, 0}};
    result.audit.replayed = {kMost - 5, hash128("replayed")};
    result.audit.replays = {{1, hash128("no event")}, {}, {}, {}, {}, {}, {kMost, hash128("again")}};
    result.audit.postings = {{"goods_receipt", "pcs", "EUR", 38, 2, kMost, kGreatest, -1, 7, -kGreatest, hash128("p")},
                             {"", "", "", 0, 0, 0, 0, 0, 0, 0, {}}};
    result.postings = {posting(), bare_posting()};
    result.dead_letters = {dead_letter(), {}};
    frame.result.input_records = {{2, kMost, -1, "lab.a", std::string("\0x", 2)}, {0, 1, 0, "", ""}};
    frame.confirmations = {{"ledger", "key", DeliveryState::closed, 4'294'967'295, "4900001", "PARKED", "finance", -1},
                           {"", "", DeliveryState::ready, 0, "", "", "", 0}};
    frame.positions = {{"ledger", -7, kMost, kMost - 4}, {"", {}, 0, 0}};
    frame.routes = {{"ledger", {"goods_receipt", ""}}, {"", {}}};
    frame.totals = {{"ledger", DeliveryState::reversed, kMost, hash128("sum"), {{"EUR", 38, -kGreatest}, {"", 0, 1}}},
                    {"", DeliveryState::ready, 0, {}, {}}};
    return frame;
}

/// An epoch without input.
inline Frame small_frame(std::uint64_t epoch) {
    Frame frame;
    frame.result.epoch = epoch;
    frame.result.cuts.resize(3);
    return frame;
}

/// About that many bytes, which only this epoch has.
inline Frame frame_of_size(std::uint64_t epoch, std::size_t bytes) {
    Frame frame = small_frame(epoch);
    DeadLetter letter;
    letter.source = "floor";
    letter.reason = "DECODE";
    for (std::uint64_t i = epoch * 1'000'003; letter.bytes.size() < bytes; ++i) letter.bytes += std::to_string(i);
    frame.result.dead_letters.push_back(std::move(letter));
    return frame;
}

inline std::string number(Int128 value) {
    return format_decimal(value, 0);
}

inline std::string number(const std::optional<Timestamp>& time) {
    return time ? std::to_string(*time) : "none";
}

inline std::string text_of(const AuditTotals& totals) {
    const auto events = [](const EventSum& sum) { return fmt::format("{} {}", sum.count, to_hex(sum.hash)); };
    std::string text = fmt::format("audit received {}\n", events(totals.received));
    for (const EventSum& outcome : totals.outcomes) text += fmt::format("outcome {}\n", events(outcome));
    text += fmt::format("replayed {}\n", events(totals.replayed));
    for (const EventSum& outcome : totals.replays) text += fmt::format("replay {}\n", events(outcome));
    for (const SourceSum& source : totals.sources)
        text += fmt::format("source {} {}\n", source.received, fmt::join(source.holes, " "));
    for (const ValueSum& v : totals.values) {
        text += fmt::format("value '{}' '{}' '{}' {} {} {} {} {} {} {}\n", v.step, v.measure, v.unit, v.scale, v.posts,
                            v.adds_up, number(v.contributed), number(v.settled), number(v.rounding), number(v.dropped));
    }
    for (const PostingSum& p : totals.postings) {
        text += fmt::format("postings '{}' '{}' '{}' {} {} {} {} {} {} {} {}\n", p.type, p.unit, p.currency,
                            p.quantity_scale, p.amount_scale, p.count, number(p.quantity), number(p.amount),
                            number(p.debit), number(p.credit), to_hex(p.hash));
    }
    return text;
}

inline std::string text_of(const Posting& p) {
    std::string text =
        fmt::format("posting {} {} {} {} {} {} {} {} {} '{}'", p.key, p.payload_hash, p.type, p.pipeline, p.revision,
                    p.previous_key, number(p.window_start), number(p.window_end), p.posting_date, p.correlation_id);
    for (const auto& field : p.key_fields) text += fmt::format(" field {}='{}'", field.name, field.value);
    text += fmt::format(" quantity {} {} {} {} {}", p.has_quantity, number(p.quantity), number(p.quantity_cumulative),
                        p.quantity_scale, p.unit);
    text += fmt::format(" amount {} {} {} {} {} {} {}", p.has_amount, number(p.amount), number(p.amount_cumulative),
                        p.amount_scale, p.currency, p.debit, p.credit);
    for (const auto& line : p.lines)
        text += fmt::format(" line {} '{}' {} {}", line.account, line.cost_center, int(line.side), number(line.amount));
    for (const auto& range : p.lineage.ranges)
        text += fmt::format(" range {} {} {}", range.source, range.first_sequence, range.last_sequence);
    return text + fmt::format(" events {} {} config {} epoch {}\n", p.lineage.events, to_hex(p.lineage.ids),
                              p.config_hash, p.epoch);
}

/// Every field of a frame, to compare two.
inline std::string text_of(const Frame& frame) {
    const EpochResult& r = frame.result;
    std::string text = fmt::format("epoch {} watermarks {} {}\n", r.epoch, r.watermark_before, r.watermark_after);
    for (const SourceCut& cut : r.cuts) {
        text += fmt::format("cut {} {} {} {} '{}'", cut.last_sequence, cut.highest_event_time, cut.last_ingest_time,
                            cut.anchor_sequence, cut.anchor);
        for (const auto& [sequence, time] : cut.ingest_times) text += fmt::format(" {}:{}", sequence, time);
        text += '\n';
    }
    text += fmt::format("chosen {} idle {} ended {} flush {}\n", number(r.cut.watermark), fmt::join(r.cut.idle, ","),
                        fmt::join(r.cut.ended, ","), r.cut.flush);
    for (const TableVersion& table : r.cut.tables) {
        text += fmt::format("table {} {}", table.table, table.whole);
        for (const TableChange& change : table.changes)
            text += fmt::format(" '{}' {} {} '{}' {}", change.key, change.revision, int(change.operation), change.value,
                                change.in_content);
        text += '\n';
    }
    text += fmt::format("messages {} {} rows {} {} panes {} {}\n", r.messages, r.message_bytes, r.rows,
                        fmt::join(r.outcomes, ","), r.pane_rows, fmt::join(r.pane_outcomes, ","));
    text += text_of(r.audit);
    for (const Posting& p : r.postings) text += text_of(p);
    for (const DeadLetter& d : r.dead_letters)
        text += fmt::format("letter {} {} {} {} {} {} {} '{}' {} {} {} '{}' {}\n", d.source, d.sequence, d.part,
                            d.subject, d.ingest_time, d.event_id, d.reason, d.text, d.owner, d.step, d.correlation_id,
                            d.bytes, d.epoch);
    for (const InputRecord& record : frame.result.input_records)
        text += fmt::format("record {} {} {} {} '{}'\n", record.source, record.sequence, record.ingest_time,
                            record.subject, record.data);
    for (const SinkConfirmation& c : frame.confirmations)
        text += fmt::format("confirmation {} {} {} {} {} {} {} {}\n", c.sink, c.key, int(c.state), c.attempt,
                            c.reference, c.reason, c.owner, c.time);
    for (const SinkPosition& position : frame.positions)
        text += fmt::format("position {} {} {} {}\n", position.sink, number(position.created), position.last_sequence,
                            position.settled);
    for (const SinkRoute& route : frame.routes)
        text += fmt::format("route {} '{}'\n", route.sink, fmt::join(route.postings, "','"));
    for (const SinkTotal& total : frame.totals) {
        text += fmt::format("total {} {} {} {}", total.sink, int(total.state), total.count, to_hex(total.postings));
        for (const SinkTotal::Amount& amount : total.amounts)
            text += fmt::format(" {} {} '{}'", number(amount.units), amount.scale, amount.currency);
        text += '\n';
    }
    return text;
}

}  // namespace takt::sample
