#include "sinks/posting_flatbuffers.h"

#include <flatbuffers/flatbuffers.h>

#include <limits>
#include <memory>

#include "schemas/dead_letter_generated.h"
#include "schemas/posting_generated.h"

namespace takt {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
using Text = Offset<flatbuffers::String>;

// The attribute `decimal` of the schema's fields; tests/unit/sinks holds them against the schema.
constexpr int kQuantityScale = 6;
constexpr int kAmountScale = 2;

/// Exactly the same number at another scale, in 64 bits.
std::optional<std::int64_t> units_at(Int128 units, int scale, int wanted) {
    const std::optional<Int128> exact = rescale_exact(units, scale, wanted);
    if (!exact || *exact < std::numeric_limits<std::int64_t>::min() ||
        *exact > std::numeric_limits<std::int64_t>::max())
        return std::nullopt;
    return static_cast<std::int64_t>(*exact);
}

/// The numbers of a posting at the schema's scales.
struct Numbers {
    flatbuffers::Optional<std::int64_t> quantity;
    flatbuffers::Optional<std::int64_t> quantity_cumulative;
    flatbuffers::Optional<std::int64_t> amount;
    flatbuffers::Optional<std::int64_t> amount_cumulative;
    std::vector<std::int64_t> lines;
};

std::optional<Numbers> numbers_of(const Posting& posting) {
    Numbers numbers;
    if (posting.has_quantity) {
        const auto difference = units_at(posting.quantity, posting.quantity_scale, kQuantityScale);
        const auto cumulative = units_at(posting.quantity_cumulative, posting.quantity_scale, kQuantityScale);
        if (!difference || !cumulative) return std::nullopt;
        numbers.quantity = *difference;
        numbers.quantity_cumulative = *cumulative;
    }
    if (posting.has_amount) {
        const auto difference = units_at(posting.amount, posting.amount_scale, kAmountScale);
        const auto cumulative = units_at(posting.amount_cumulative, posting.amount_scale, kAmountScale);
        if (!difference || !cumulative) return std::nullopt;
        numbers.amount = *difference;
        numbers.amount_cumulative = *cumulative;
    }
    for (const PostingLine& line : posting.lines) {
        const auto amount = units_at(line.amount, posting.amount_scale, kAmountScale);
        if (!amount) return std::nullopt;
        numbers.lines.push_back(*amount);
    }
    return numbers;
}

Text text(FlatBufferBuilder& builder, std::string_view value) {
    return builder.CreateString(value.data(), value.size());
}

/// An empty text is absent.
Text text_unless_empty(FlatBufferBuilder& builder, std::string_view value) {
    return value.empty() ? Text() : text(builder, value);
}

flatbuffers::Optional<std::int64_t> optional_time(const std::optional<Timestamp>& time) {
    return time ? flatbuffers::Optional<std::int64_t>(*time) : flatbuffers::nullopt;
}

std::optional<Timestamp> time_of(const flatbuffers::Optional<std::int64_t>& time) {
    return time ? std::optional<Timestamp>(*time) : std::nullopt;
}

std::string text_of(const flatbuffers::String* value) {
    return value == nullptr ? std::string() : value->str();
}

std::string finished(FlatBufferBuilder& builder) {
    return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

/// The root of `bytes`, aligned as accessors want it, where they are such a table.
template <typename Table>
class Verified {
  public:
    explicit Verified(std::string_view bytes) : words_((bytes.size() + 7) / 8) {
        if (bytes.empty()) return;
        std::memcpy(words_.data(), bytes.data(), bytes.size());
        const auto* start = reinterpret_cast<const std::uint8_t*>(words_.data());
        flatbuffers::Verifier verifier(start, bytes.size());
        if (verifier.VerifyBuffer<Table>(nullptr)) root_ = flatbuffers::GetRoot<Table>(start);
    }
    const Table* root() const { return root_; }

  private:
    std::vector<std::uint64_t> words_;
    const Table* root_ = nullptr;
};

void read_lines(const wire::Posting& from, Posting& posting) {
    if (from.lines() == nullptr) return;
    for (const wire::Line* line : *from.lines()) {
        const Side side = line->side() == wire::Side::credit ? Side::credit : Side::debit;
        posting.lines.push_back({text_of(line->account()), text_of(line->cost_center()), side, line->amount()});
    }
}

}  // namespace

std::optional<std::string> posting_flatbuffer(const Posting& posting) {
    const std::optional<Numbers> numbers = numbers_of(posting);
    if (!numbers) return std::nullopt;
    FlatBufferBuilder builder(1024);
    std::vector<Offset<wire::KeyField>> fields;
    for (const Posting::KeyField& field : posting.key_fields) {
        const Text name = text(builder, field.name);
        fields.push_back(wire::CreateKeyField(builder, name, text_unless_empty(builder, field.value)));
    }
    std::vector<Offset<wire::Line>> lines;
    for (std::size_t i = 0; i < posting.lines.size(); ++i) {
        const PostingLine& line = posting.lines[i];
        const Text account = text(builder, line.account);
        const Text cost_center = text_unless_empty(builder, line.cost_center);
        const wire::Side side = line.side == Side::credit ? wire::Side::credit : wire::Side::debit;
        lines.push_back(wire::CreateLine(builder, account, cost_center, side, numbers->lines[i]));
    }
    std::vector<Offset<wire::LineageRange>> lineage;
    for (const Lineage::Range& range : posting.lineage.ranges) {
        const Text source = text(builder, range.source);
        lineage.push_back(wire::CreateLineageRange(builder, source, range.first_sequence, range.last_sequence));
    }
    const Text key = text(builder, posting.key);
    const Text payload_hash = text(builder, posting.payload_hash);
    const Text type = text(builder, posting.type);
    const Text pipeline = text(builder, posting.pipeline);
    const Text previous_key = text_unless_empty(builder, posting.previous_key);
    const Text correlation_id = text_unless_empty(builder, posting.correlation_id);
    const Text unit = text_unless_empty(builder, posting.has_quantity ? posting.unit : "");
    const Text currency = text_unless_empty(builder, posting.has_amount ? posting.currency : "");
    const Text debit = text_unless_empty(builder, posting.debit);
    const Text credit = text_unless_empty(builder, posting.credit);
    const Text ids = text(builder, to_hex(posting.lineage.ids));
    const Text config_hash = text_unless_empty(builder, posting.config_hash);
    builder.Finish(wire::CreatePosting(
        builder, key, payload_hash, type, pipeline, posting.revision, previous_key, optional_time(posting.window_start),
        optional_time(posting.window_end), posting.posting_date, correlation_id, builder.CreateVector(fields),
        numbers->quantity, numbers->quantity_cumulative, unit, numbers->amount, numbers->amount_cumulative, currency,
        debit, credit, builder.CreateVector(lines), builder.CreateVector(lineage), posting.lineage.events, ids,
        config_hash, posting.epoch));
    return finished(builder);
}

std::string dead_letter_flatbuffer(const DeadLetter& letter) {
    FlatBufferBuilder builder(512 + letter.bytes.size());
    const Text source = text(builder, letter.source);
    const Text subject = text_unless_empty(builder, letter.subject);
    const Text event_id = text_unless_empty(builder, letter.event_id);
    const Text reason = text(builder, letter.reason);
    const Text what = text_unless_empty(builder, letter.text);
    const Text owner = text_unless_empty(builder, letter.owner);
    const Text step = text_unless_empty(builder, letter.step);
    const Text correlation_id = text_unless_empty(builder, letter.correlation_id);
    const auto bytes =
        builder.CreateVector(reinterpret_cast<const std::uint8_t*>(letter.bytes.data()), letter.bytes.size());
    builder.Finish(wire::CreateDeadLetter(builder, source, letter.sequence, letter.part, subject, letter.ingest_time,
                                          event_id, reason, what, owner, step, correlation_id, bytes, letter.epoch,
                                          letter.replay));
    return finished(builder);
}

std::optional<Posting> read_posting_flatbuffer(std::string_view bytes) {
    const Verified<wire::Posting> verified(bytes);
    if (verified.root() == nullptr) return std::nullopt;
    const wire::Posting& from = *verified.root();
    Posting posting;
    posting.key = text_of(from.key());
    posting.payload_hash = text_of(from.payload_hash());
    posting.type = text_of(from.type());
    posting.pipeline = text_of(from.pipeline());
    posting.revision = from.revision();
    posting.previous_key = text_of(from.previous_key());
    posting.window_start = time_of(from.window_start());
    posting.window_end = time_of(from.window_end());
    posting.posting_date = from.posting_date();
    posting.correlation_id = text_of(from.correlation_id());
    if (from.key_fields() != nullptr) {
        for (const wire::KeyField* field : *from.key_fields())
            posting.key_fields.push_back({text_of(field->name()), text_of(field->value())});
    }
    posting.has_quantity = from.quantity().has_value();
    posting.quantity = from.quantity().value_or(0);
    posting.quantity_cumulative = from.quantity_cumulative().value_or(0);
    posting.quantity_scale = kQuantityScale;
    posting.unit = text_of(from.unit());
    posting.has_amount = from.amount().has_value();
    posting.amount = from.amount().value_or(0);
    posting.amount_cumulative = from.amount_cumulative().value_or(0);
    posting.amount_scale = kAmountScale;
    posting.currency = text_of(from.currency());
    posting.debit = text_of(from.debit());
    posting.credit = text_of(from.credit());
    read_lines(from, posting);
    if (from.lineage() != nullptr) {
        for (const wire::LineageRange* range : *from.lineage())
            posting.lineage.ranges.push_back(
                {text_of(range->source()), range->first_sequence(), range->last_sequence()});
    }
    posting.lineage.events = from.events();
    posting.lineage.ids = from_hex(text_of(from.event_ids_hash())).value_or(Hash128{});
    posting.config_hash = text_of(from.config_hash());
    posting.epoch = from.epoch();
    return posting;
}

std::optional<DeadLetter> read_dead_letter_flatbuffer(std::string_view bytes) {
    const Verified<wire::DeadLetter> verified(bytes);
    if (verified.root() == nullptr) return std::nullopt;
    const wire::DeadLetter& from = *verified.root();
    DeadLetter letter;
    letter.source = text_of(from.source());
    letter.sequence = from.sequence();
    letter.part = from.part();
    letter.subject = text_of(from.subject());
    letter.ingest_time = from.ingest_time();
    letter.event_id = text_of(from.event_id());
    letter.reason = text_of(from.reason());
    letter.text = text_of(from.text());
    letter.owner = text_of(from.owner());
    letter.step = text_of(from.step());
    letter.correlation_id = text_of(from.correlation_id());
    if (from.bytes() != nullptr)
        letter.bytes.assign(reinterpret_cast<const char*>(from.bytes()->data()), from.bytes()->size());
    letter.epoch = from.epoch();
    letter.replay = from.replay();
    return letter;
}

std::string size_prefixed(std::string_view record) {
    const auto size = static_cast<std::uint32_t>(record.size());
    std::string bytes;
    bytes.reserve(sizeof size + record.size());
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(size >> shift & 0xff);
    bytes += record;
    return bytes;
}

std::string_view next_size_prefixed(std::string_view bytes) {
    if (bytes.size() < kSizePrefixBytes) return {};
    std::size_t size = 0;
    for (std::size_t i = 0; i < kSizePrefixBytes; ++i)
        size |= std::size_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    return size <= bytes.size() - kSizePrefixBytes ? bytes.substr(kSizePrefixBytes, size) : std::string_view();
}

}  // namespace takt
