#include "sinks/posting_json.h"

#include <iterator>

#include "pipeline/state/csv.h"

namespace takt {
namespace {

bool is_text(std::string_view bytes) {
    while (!bytes.empty()) {
        const std::size_t size = utf8_sequence_size(bytes);
        if (size == 0 || bytes.front() == '\0') return false;
        bytes.remove_prefix(size);
    }
    return true;
}

/// Members of one JSON object, in the order of the calls.
class JsonObject {
  public:
    explicit JsonObject(std::string& to) : to_(to) { to_ += '{'; }
    void close() { to_ += '}'; }

    std::string& name(std::string_view name) {
        if (!first_) to_ += ',';
        first_ = false;
        append_json_string(to_, name);
        to_ += ':';
        return to_;
    }
    void text(std::string_view member, std::string_view value) { append_json_string(name(member), value); }
    void text_unless_empty(std::string_view member, std::string_view value) {
        if (!value.empty()) text(member, value);
    }
    void number(std::string_view member, std::uint64_t value) {
        fmt::format_to(std::back_inserter(name(member)), "{}", value);
    }
    void decimal(std::string_view member, Int128 units, int scale) { text(member, format_decimal(units, scale)); }
    void time(std::string_view member, const std::optional<Timestamp>& value) {
        if (value) text(member, format_timestamp(*value));
    }

  private:
    std::string& to_;
    bool first_ = true;
};

void append_lines(JsonObject& json, const Posting& posting) {
    std::string& to = json.name("lines");
    to += '[';
    for (std::size_t i = 0; i < posting.lines.size(); ++i) {
        const PostingLine& line = posting.lines[i];
        if (i > 0) to += ',';
        JsonObject object(to);
        object.text("account", line.account);
        object.text_unless_empty("cost_center", line.cost_center);
        object.text("side", line.side == Side::debit ? "debit" : "credit");
        object.decimal("amount", line.amount, posting.amount_scale);
        object.close();
    }
    to += ']';
}

void append_lineage(JsonObject& json, const Lineage& lineage) {
    std::string& to = json.name("lineage");
    JsonObject object(to);
    object.name("ranges") += '[';
    for (std::size_t i = 0; i < lineage.ranges.size(); ++i) {
        const Lineage::Range& range = lineage.ranges[i];
        if (i > 0) to += ',';
        JsonObject entry(to);
        entry.text("source", range.source);
        entry.number("first_sequence", range.first_sequence);
        entry.number("last_sequence", range.last_sequence);
        entry.close();
    }
    to += ']';
    object.number("events", lineage.events);
    object.text("ids", to_hex(lineage.ids));
    object.close();
}

}  // namespace

void append_json_string(std::string& to, std::string_view text) {
    to += '"';
    while (!text.empty()) {
        const char c = text.front();
        const std::size_t size = utf8_sequence_size(text);
        if (size == 0) {
            to += "\xEF\xBF\xBD";
            text.remove_prefix(1);
            continue;
        }
        if (c == '"' || c == '\\') {
            to += '\\';
            to += c;
        } else if (c == '\n') {
            to += "\\n";
        } else if (c == '\r') {
            to += "\\r";
        } else if (c == '\t') {
            to += "\\t";
        } else if (static_cast<unsigned char>(c) < 0x20) {
            fmt::format_to(std::back_inserter(to), "\\u{:04x}", static_cast<unsigned>(c));
        } else {
            to.append(text.substr(0, size));
        }
        text.remove_prefix(size);
    }
    to += '"';
}

std::string base64(std::string_view bytes) {
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t k = 0; k < 3; ++k)
            group = (group << 8) | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
        out += kDigits[group >> 18];
        out += kDigits[(group >> 12) & 63];
        out += i + 1 < bytes.size() ? kDigits[(group >> 6) & 63] : '=';
        out += i + 2 < bytes.size() ? kDigits[group & 63] : '=';
    }
    return out;
}

std::string posting_json(const Posting& posting) {
    std::string out;
    out.reserve(1024);
    JsonObject json(out);
    json.text("key", posting.key);
    json.text("payload_hash", posting.payload_hash);
    json.text("type", posting.type);
    json.text("pipeline", posting.pipeline);
    json.number("revision", posting.revision);
    json.text_unless_empty("previous_key", posting.previous_key);
    json.time("window_start", posting.window_start);
    json.time("window_end", posting.window_end);
    json.text("posting_date", format_date(posting.posting_date));
    json.text_unless_empty("correlation_id", posting.correlation_id);
    JsonObject fields(json.name("key_fields"));
    for (const Posting::KeyField& field : posting.key_fields) fields.text_unless_empty(field.name, field.value);
    fields.close();
    if (posting.has_quantity) {
        json.decimal("quantity", posting.quantity, posting.quantity_scale);
        json.decimal("quantity_cumulative", posting.quantity_cumulative, posting.quantity_scale);
        json.text_unless_empty("unit", posting.unit);
    }
    if (posting.has_amount) {
        json.decimal("amount", posting.amount, posting.amount_scale);
        json.decimal("amount_cumulative", posting.amount_cumulative, posting.amount_scale);
        json.text_unless_empty("currency", posting.currency);
    }
    json.text_unless_empty("debit", posting.debit);
    json.text_unless_empty("credit", posting.credit);
    append_lines(json, posting);
    append_lineage(json, posting.lineage);
    json.text_unless_empty("config_hash", posting.config_hash);
    json.number("epoch", posting.epoch);
    json.close();
    return out;
}

std::string dead_letter_json(const DeadLetter& dead_letter) {
    std::string out;
    out.reserve(256 + dead_letter.bytes.size() * 4 / 3);
    JsonObject json(out);
    json.text("source", dead_letter.source);
    json.number("sequence", dead_letter.sequence);
    json.number("part", dead_letter.part);
    json.text_unless_empty("subject", dead_letter.subject);
    json.text("ingest_time", format_timestamp(dead_letter.ingest_time));
    json.text_unless_empty("event_id", dead_letter.event_id);
    json.text("reason", dead_letter.reason);
    json.text_unless_empty("text", dead_letter.text);
    json.text_unless_empty("owner", dead_letter.owner);
    json.text_unless_empty("step", dead_letter.step);
    json.text_unless_empty("correlation_id", dead_letter.correlation_id);
    if (is_text(dead_letter.bytes)) {
        json.text("bytes", dead_letter.bytes);
    } else {
        json.text("bytes_base64", base64(dead_letter.bytes));
    }
    json.number("epoch", dead_letter.epoch);
    if (dead_letter.replay > 0) json.number("replay", dead_letter.replay);
    json.close();
    return out;
}

std::string outcomes_json(std::span<const Sink::OutcomeCount> counts) {
    std::string out;
    JsonObject json(out);
    json.name("outcomes") += '[';
    for (std::size_t i = 0; i < counts.size(); ++i) {
        if (i > 0) out += ',';
        JsonObject entry(out);
        entry.text("outcome", counts[i].outcome);
        entry.text_unless_empty("rule", counts[i].rule);
        entry.number("count", counts[i].count);
        entry.close();
    }
    out += ']';
    json.close();
    return out;
}

}  // namespace takt
