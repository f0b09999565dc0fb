#include "pipeline/journal/frame_sections.h"

#include <flatbuffers/flatbuffers.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "pipeline/journal/hold_orders.h"
#include "schemas/frame_generated.h"

namespace takt {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
using Text = Offset<flatbuffers::String>;
using Bytes = Offset<flatbuffers::Vector<std::uint8_t>>;

// ---- writing ------------------------------------------------------------------------------------------------------

/// An empty text is absent.
Text text(FlatBufferBuilder& builder, std::string_view value) {
    return value.empty() ? Text() : builder.CreateString(value.data(), value.size());
}

Text required(FlatBufferBuilder& builder, std::string_view value) {
    return builder.CreateString(value.data(), value.size());
}

Bytes bytes(FlatBufferBuilder& builder, std::string_view value) {
    if (value.empty()) return {};
    return builder.CreateVector(reinterpret_cast<const std::uint8_t*>(value.data()), value.size());
}

/// Texts that are shared are at most so long.
constexpr std::size_t kLongestSharedBytes = 64;

/// A text that many rows have alike, one after the other: it is written once, and they share it.
class SharedText {
  public:
    Text operator()(FlatBufferBuilder& builder, std::string_view value) {
        if (value.size() > kLongestSharedBytes) return required(builder, value);
        if (written_.IsNull() || value != value_) written_ = required(builder, value);
        value_ = value;
        return written_;
    }
    /// An empty one is absent.
    Text optional(FlatBufferBuilder& builder, std::string_view value) {
        return value.empty() ? Text() : (*this)(builder, value);
    }

  private:
    std::string_view value_;
    Text written_;
};

/// The same of rows that have several, by their place. Valid until the next call.
SharedText& at(std::vector<SharedText>& texts, std::size_t place) {
    if (place >= texts.size()) texts.resize(place + 1);
    return texts[place];
}

template <typename T>
Offset<flatbuffers::Vector<T>> vector(FlatBufferBuilder& builder, const std::vector<T>& values) {
    return values.empty() ? Offset<flatbuffers::Vector<T>>() : builder.CreateVector(values);
}

template <typename T>
Offset<flatbuffers::Vector<const T*>> structs(FlatBufferBuilder& builder, const std::vector<T>& values) {
    return values.empty() ? Offset<flatbuffers::Vector<const T*>>() : builder.CreateVectorOfStructs(values);
}

flatbuffers::Optional<std::int64_t> optional_time(const std::optional<Timestamp>& time) {
    return time ? flatbuffers::Optional<std::int64_t>(*time) : flatbuffers::nullopt;
}

/// The beginning of time is absent: nothing has been said yet.
flatbuffers::Optional<std::int64_t> begun_time(Timestamp time) {
    return time == kBeginningOfTime ? flatbuffers::nullopt : flatbuffers::Optional<std::int64_t>(time);
}

wire::Units128 units(Int128 value) {
    return {static_cast<std::uint64_t>(value), static_cast<std::int64_t>(value >> 64)};
}

std::uint16_t narrow(std::uint64_t index) {
    CHECK(index <= std::numeric_limits<std::uint16_t>::max());
    return static_cast<std::uint16_t>(index);
}

template <typename Table>
FrameSection finished(FlatBufferBuilder& builder, wire::SectionKind kind, Offset<Table> root) {
    builder.Finish(root);
    return {static_cast<std::uint8_t>(kind),
            {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()}};
}

FrameSection cuts_section(const FrameContext& context, const EpochResult& result) {
    FlatBufferBuilder builder;
    CHECK(result.cuts.size() == context.sources.size());
    std::vector<Offset<wire::SourceCut>> cuts;
    for (std::size_t i = 0; i < result.cuts.size(); ++i) {
        const SourceCut& cut = result.cuts[i];
        std::vector<wire::IngestTime> times;
        for (const auto& [sequence, time] : cut.ingest_times) times.emplace_back(sequence, time);
        const Text source = required(builder, context.sources[i]);
        const Bytes anchor = bytes(builder, cut.anchor);
        const auto ingest_times = structs(builder, times);
        cuts.push_back(wire::CreateSourceCut(builder, source, cut.last_sequence, begun_time(cut.highest_event_time),
                                             cut.last_ingest_time, cut.anchor_sequence, anchor, ingest_times));
    }
    const auto all = vector(builder, cuts);
    return finished(builder, wire::SectionKind::cuts, wire::CreateCutsSection(builder, all));
}

FrameSection input_records_section(const std::vector<InputRecord>& records) {
    FlatBufferBuilder builder(4096);
    std::vector<Offset<wire::InputRecord>> written;
    for (const InputRecord& record : records) {
        const Text subject = text(builder, record.subject);
        const Bytes data = bytes(builder, record.data);
        written.push_back(wire::CreateInputRecord(builder, narrow(record.source), record.sequence, subject,
                                                  record.ingest_time, data));
    }
    const auto all = vector(builder, written);
    return finished(builder, wire::SectionKind::input_records, wire::CreateInputRecordsSection(builder, all));
}

FrameSection watermarks_section(const EpochResult& result) {
    FlatBufferBuilder builder;
    std::vector<std::uint16_t> idle;
    std::vector<std::uint16_t> ended;
    for (const std::uint32_t source : result.cut.idle) idle.push_back(narrow(source));
    for (const std::uint32_t source : result.cut.ended) ended.push_back(narrow(source));
    const auto idle_sources = vector(builder, idle);
    const auto ended_sources = vector(builder, ended);
    return finished(builder, wire::SectionKind::watermarks,
                    wire::CreateWatermarksSection(
                        builder, begun_time(result.watermark_before), begun_time(result.watermark_after),
                        optional_time(result.cut.watermark), idle_sources, ended_sources, result.cut.flush));
}

wire::TableOperation operation(TableChange::Operation operation) {
    switch (operation) {
        case TableChange::Operation::put:
            return wire::TableOperation::put;
        case TableChange::Operation::remove:
            return wire::TableOperation::remove;
        case TableChange::Operation::gone:
            return wire::TableOperation::gone;
    }
    check_failed("unknown table operation", __FILE__, __LINE__);
}

Offset<wire::DeadLetterReplay> replay_table(FlatBufferBuilder& builder, const FrameContext& context,
                                            const DeadLetterReplay& replay, OutcomeCode ended) {
    CHECK(replay.source < context.sources.size() && ended < context.outcomes.size());
    const Outcome& outcome = context.outcomes.at(ended);
    const Text source = required(builder, context.sources[replay.source]);
    const Bytes data = bytes(builder, replay.data);
    const Text subject = text(builder, replay.subject);
    const Text user = text(builder, replay.who);
    const Text reason = text(builder, replay.why);
    const Text name = text(builder, ended == kUndecided ? "" : to_string(outcome.kind));
    const Text rule = text(builder, outcome.rule);
    return wire::CreateDeadLetterReplay(builder, source, replay.sequence, replay.part, replay.replay, data, subject,
                                        replay.ingest_time, user, reason, ended, name, rule);
}

constexpr std::string_view kResend = "resend_posting";
constexpr std::string_view kClose = "close_posting";
constexpr std::string_view kSinkArgument = "sink";
constexpr std::string_view kKeyArgument = "key";
constexpr std::string_view kReferenceArgument = "reference";
constexpr std::string_view kFileArgument = "file";

Offset<wire::OperatorCommand> command_table(FlatBufferBuilder& builder, const HoldOrder& order) {
    std::vector<Offset<wire::KeyField>> fields;
    for (const auto& [name, value] :
         {std::pair{kSinkArgument, &order.sink}, std::pair{kKeyArgument, &order.key},
          std::pair{kReferenceArgument, &order.reference}, std::pair{kFileArgument, &order.file}}) {
        if (value->empty()) continue;
        const Text name_text = required(builder, name);
        const Text value_text = text(builder, *value);
        fields.push_back(wire::CreateKeyField(builder, name_text, value_text));
    }
    const Text command = required(builder, order.action == HoldOrder::Action::resend ? kResend : kClose);
    const auto arguments = vector(builder, fields);
    const Text user = required(builder, order.who);
    const Text reason = text(builder, order.why);
    return wire::CreateOperatorCommand(builder, command, arguments, user, order.time, reason);
}

FrameSection control_inputs_section(const FrameContext& context, const EpochResult& result) {
    FlatBufferBuilder builder(4096);
    std::vector<Offset<wire::ControlInput>> inputs;
    CHECK(result.replay_outcomes.size() == result.cut.replays.size());
    for (std::size_t i = 0; i < result.cut.replays.size(); ++i) {
        const auto action = replay_table(builder, context, result.cut.replays[i], result.replay_outcomes[i]);
        inputs.push_back(wire::CreateControlInput(builder, wire::ControlAction::DeadLetterReplay, action.Union()));
    }
    for (const TableVersion& version : result.cut.tables) {
        CHECK(version.table < context.tables.size());
        std::vector<Offset<wire::TableChange>> changes;
        for (const TableChange& change : version.changes) {
            const Text key = required(builder, change.key);
            const Bytes value = bytes(builder, change.value);
            changes.push_back(wire::CreateTableChange(builder, key, change.revision, operation(change.operation), value,
                                                      change.in_content));
        }
        const Text name = required(builder, context.tables[version.table]);
        const auto all = vector(builder, changes);
        const auto action = wire::CreateTableChanges(builder, name, narrow(version.table), version.whole, all);
        inputs.push_back(wire::CreateControlInput(builder, wire::ControlAction::TableChanges, action.Union()));
    }
    for (const HoldOrder& order : result.cut.orders) {
        const auto action = command_table(builder, order);
        inputs.push_back(wire::CreateControlInput(builder, wire::ControlAction::OperatorCommand, action.Union()));
    }
    const auto all = vector(builder, inputs);
    return finished(builder, wire::SectionKind::control_inputs, wire::CreateControlInputsSection(builder, all));
}

/// What is used for one posting after the other.
struct PostingParts {
    SharedText type;
    SharedText pipeline;
    SharedText unit;
    SharedText currency;
    SharedText debit;
    SharedText credit;
    SharedText config_hash;
    std::vector<SharedText> fields;
    std::vector<SharedText> accounts;
    std::vector<SharedText> cost_centers;
    std::vector<SharedText> sources;
    std::vector<Offset<wire::KeyField>> key_fields;
    std::vector<Offset<wire::Line>> lines;
    std::vector<Offset<wire::LineageRange>> ranges;
};

Offset<wire::Posting> posting_table(FlatBufferBuilder& builder, const Posting& posting, PostingParts& parts) {
    parts.key_fields.clear();
    parts.lines.clear();
    parts.ranges.clear();
    for (const Posting::KeyField& field : posting.key_fields) {
        const Text name = at(parts.fields, parts.key_fields.size())(builder, field.name);
        parts.key_fields.push_back(wire::CreateKeyField(builder, name, text(builder, field.value)));
    }
    for (const PostingLine& line : posting.lines) {
        const Text account = at(parts.accounts, parts.lines.size())(builder, line.account);
        const Text cost_center = at(parts.cost_centers, parts.lines.size()).optional(builder, line.cost_center);
        const wire::Side side = line.side == Side::credit ? wire::Side::credit : wire::Side::debit;
        parts.lines.push_back(wire::CreateLine(builder, account, cost_center, side, 0));
    }
    for (const Lineage::Range& range : posting.lineage.ranges) {
        const Text source = at(parts.sources, parts.ranges.size())(builder, range.source);
        parts.ranges.push_back(wire::CreateLineageRange(builder, source, range.first_sequence, range.last_sequence));
    }
    const Text key = required(builder, posting.key);
    const Text payload_hash = required(builder, posting.payload_hash);
    const Text type = parts.type(builder, posting.type);
    const Text pipeline = parts.pipeline(builder, posting.pipeline);
    const Text previous_key = text(builder, posting.previous_key);
    const Text correlation_id = text(builder, posting.correlation_id);
    const auto key_fields = vector(builder, parts.key_fields);
    const Text unit = parts.unit.optional(builder, posting.unit);
    const Text currency = parts.currency.optional(builder, posting.currency);
    const Text debit = parts.debit.optional(builder, posting.debit);
    const Text credit = parts.credit.optional(builder, posting.credit);
    const auto all_lines = vector(builder, parts.lines);
    const auto lineage = vector(builder, parts.ranges);
    const Text ids = required(builder, to_hex(posting.lineage.ids));
    const Text config_hash = parts.config_hash.optional(builder, posting.config_hash);
    return wire::CreatePosting(builder, key, payload_hash, type, pipeline, posting.revision, previous_key,
                               optional_time(posting.window_start), optional_time(posting.window_end),
                               posting.posting_date, correlation_id, key_fields, flatbuffers::nullopt,
                               flatbuffers::nullopt, unit, flatbuffers::nullopt, flatbuffers::nullopt, currency, debit,
                               credit, all_lines, lineage, posting.lineage.events, ids, config_hash, posting.epoch);
}

FrameSection postings_section(const std::vector<Posting>& postings) {
    constexpr std::size_t kUsualBytes = 400;
    FlatBufferBuilder builder(kUsualBytes * (postings.size() + 1));
    std::vector<Offset<wire::JournaledPosting>> written;
    PostingParts parts;
    for (const Posting& posting : postings) {
        std::vector<wire::Units128> amounts;
        for (const PostingLine& line : posting.lines) amounts.push_back(units(line.amount));
        const auto table = posting_table(builder, posting, parts);
        const auto line_amounts = structs(builder, amounts);
        const std::array<wire::Units128, 4> numbers = {units(posting.quantity), units(posting.quantity_cumulative),
                                                       units(posting.amount), units(posting.amount_cumulative)};
        const auto scale = [](int digits) {
            CHECK(digits >= 0 && digits <= kMaxDecimalScale);
            return static_cast<std::uint8_t>(digits);
        };
        written.push_back(wire::CreateJournaledPosting(
            builder, table, scale(posting.quantity_scale), scale(posting.amount_scale),
            posting.has_quantity ? &numbers[0] : nullptr, posting.has_quantity ? &numbers[1] : nullptr,
            posting.has_amount ? &numbers[2] : nullptr, posting.has_amount ? &numbers[3] : nullptr, line_amounts));
    }
    const auto all = vector(builder, written);
    return finished(builder, wire::SectionKind::postings, wire::CreatePostingsSection(builder, all));
}

FrameSection dead_letters_section(const std::vector<DeadLetter>& letters) {
    FlatBufferBuilder builder(65536);
    std::vector<Offset<wire::DeadLetter>> written;
    for (const DeadLetter& letter : letters) {
        const Text source = required(builder, letter.source);
        const Text subject = text(builder, letter.subject);
        const Text event_id = text(builder, letter.event_id);
        const Text reason = required(builder, letter.reason);
        const Text what = text(builder, letter.text);
        const Text owner = text(builder, letter.owner);
        const Text step = text(builder, letter.step);
        const Text correlation_id = text(builder, letter.correlation_id);
        const Bytes event = bytes(builder, letter.bytes);
        written.push_back(wire::CreateDeadLetter(builder, source, letter.sequence, letter.part, subject,
                                                 letter.ingest_time, event_id, reason, what, owner, step,
                                                 correlation_id, event, letter.epoch, letter.replay));
    }
    const auto all = vector(builder, written);
    return finished(builder, wire::SectionKind::dead_letters, wire::CreateDeadLettersSection(builder, all));
}

Offset<flatbuffers::Vector<Offset<wire::OutcomeCount>>> outcome_counts(FlatBufferBuilder& builder,
                                                                       const FrameContext& context,
                                                                       const std::vector<std::uint64_t>& rows) {
    CHECK(rows.size() <= context.outcomes.size());
    std::vector<Offset<wire::OutcomeCount>> counts;
    for (std::size_t code = 0; code < rows.size(); ++code) {
        if (rows[code] == 0) continue;
        const Outcome& outcome = context.outcomes.at(static_cast<OutcomeCode>(code));
        const Text name = required(builder, to_string(outcome.kind));
        const Text rule = text(builder, outcome.rule);
        counts.push_back(wire::CreateOutcomeCount(builder, narrow(code), name, rule, rows[code]));
    }
    return vector(builder, counts);
}

FrameSection counters_section(const FrameContext& context, const EpochResult& result) {
    FlatBufferBuilder builder;
    const auto outcomes = outcome_counts(builder, context, result.outcomes);
    const auto pane_outcomes = outcome_counts(builder, context, result.pane_outcomes);
    return finished(builder, wire::SectionKind::counters,
                    wire::CreateCountersSection(builder, result.messages, result.message_bytes, result.rows, outcomes,
                                                narrow(result.outcomes.size()), result.pane_rows, pane_outcomes,
                                                narrow(result.pane_outcomes.size())));
}

Offset<wire::SinkTotal> sink_total(FlatBufferBuilder& builder, const SinkTotal& total) {
    std::vector<Offset<wire::SinkAmount>> amounts;
    for (const SinkTotal::Amount& amount : total.amounts) {
        CHECK(amount.scale >= 0 && amount.scale <= kMaxDecimalScale);
        const wire::Units128 sum = units(amount.units);
        const Text currency = text(builder, amount.currency);
        amounts.push_back(wire::CreateSinkAmount(builder, currency, static_cast<std::uint8_t>(amount.scale), &sum));
    }
    const Text sink = required(builder, total.sink);
    const auto all_amounts = vector(builder, amounts);
    const wire::Hash128 postings(total.postings.low, total.postings.high);
    return wire::CreateSinkTotal(builder, sink, static_cast<wire::DeliveryState>(total.state), total.count, &postings,
                                 all_amounts);
}

FrameSection sink_confirmations_section(const FrameView& frame) {
    FlatBufferBuilder builder(4096);
    std::vector<Offset<wire::SinkConfirmation>> confirmations;
    SharedText sinks;
    for (const SinkConfirmation& said : frame.confirmations) {
        const Text sink = sinks(builder, said.sink);
        const Text key = required(builder, said.key);
        const Text reference = text(builder, said.reference);
        const Text reason = text(builder, said.reason);
        const Text owner = text(builder, said.owner);
        confirmations.push_back(wire::CreateSinkConfirmation(builder, sink, key,
                                                             static_cast<wire::DeliveryState>(said.state), said.attempt,
                                                             reference, reason, owner, said.time, said.since));
    }
    std::vector<Offset<wire::SinkPosition>> positions;
    for (const SinkPosition& position : frame.positions) {
        const Text sink = required(builder, position.sink);
        positions.push_back(wire::CreateSinkPosition(builder, sink, optional_time(position.created),
                                                     position.last_sequence, position.settled));
    }
    std::vector<Offset<wire::SinkRoute>> routes;
    for (const SinkRoute& route : frame.routes) {
        std::vector<Text> types;
        for (const std::string& type : route.postings) types.push_back(required(builder, type));
        const Text sink = required(builder, route.sink);
        routes.push_back(wire::CreateSinkRoute(builder, sink, vector(builder, types)));
    }
    std::vector<Offset<wire::SinkTotal>> totals;
    for (const SinkTotal& total : frame.totals) totals.push_back(sink_total(builder, total));
    const auto all_confirmations = vector(builder, confirmations);
    const auto all_positions = vector(builder, positions);
    const auto all_routes = vector(builder, routes);
    const auto all_totals = vector(builder, totals);
    return finished(
        builder, wire::SectionKind::sink_confirmations,
        wire::CreateSinkConfirmationsSection(builder, all_confirmations, all_positions, all_routes, all_totals));
}

wire::Hash128 wire_hash(const Hash128& hash) {
    return {hash.low, hash.high};
}

/// Numbers of a table: 0 is absent.
class Numbers {
  public:
    explicit Numbers(std::initializer_list<Int128> values) {
        for (const Int128 value : values) {
            absent_.push_back(value == 0);
            units_.push_back(units(value));
        }
    }
    const wire::Units128* at(std::size_t i) const { return absent_[i] ? nullptr : &units_[i]; }

  private:
    std::vector<bool> absent_;
    std::vector<wire::Units128> units_;
};

Offset<wire::EventSum> event_sum(FlatBufferBuilder& builder, const EventSum& sum, std::size_t code,
                                 const Outcome* outcome) {
    const Text name = outcome ? text(builder, to_string(outcome->kind)) : Text();
    const Text rule = outcome ? text(builder, outcome->rule) : Text();
    const wire::Hash128 hash = wire_hash(sum.hash);
    return wire::CreateEventSum(builder, narrow(code), name, rule, sum.count, &hash);
}

FrameSection audit_section(const FrameContext& context, const AuditTotals& totals) {
    FlatBufferBuilder builder(4096);
    const auto by_code = [&](const std::vector<EventSum>& sums) {
        CHECK(sums.size() <= context.outcomes.size());
        std::vector<Offset<wire::EventSum>> outcomes;
        for (std::size_t code = 0; code < sums.size(); ++code) {
            if (sums[code] == EventSum{}) continue;
            outcomes.push_back(
                event_sum(builder, sums[code], code, &context.outcomes.at(static_cast<OutcomeCode>(code))));
        }
        return vector(builder, outcomes);
    };
    std::vector<Offset<wire::SourceSum>> sources;
    for (const SourceSum& source : totals.sources) {
        const auto holes = [&](HoleKind kind) { return source.holes[static_cast<std::size_t>(kind)]; };
        sources.push_back(wire::CreateSourceSum(builder, source.received, holes(HoleKind::before_start),
                                                holes(HoleKind::filtered), holes(HoleKind::deleted),
                                                holes(HoleKind::lost)));
    }
    std::vector<Offset<wire::ValueSum>> values;
    for (const ValueSum& value : totals.values) {
        const Text step = required(builder, value.step);
        const Text measure = required(builder, value.measure);
        const Numbers numbers{value.contributed, value.settled, value.rounding, value.dropped};
        values.push_back(wire::CreateValueSum(builder, step, measure, text(builder, value.unit),
                                              static_cast<std::uint8_t>(value.scale), value.posts, value.adds_up,
                                              numbers.at(0), numbers.at(1), numbers.at(2), numbers.at(3)));
    }
    std::vector<Offset<wire::PostingSum>> postings;
    for (const PostingSum& sum : totals.postings) {
        const Text type = required(builder, sum.type);
        const Text unit = text(builder, sum.unit);
        const Text currency = text(builder, sum.currency);
        const Numbers numbers{sum.quantity, sum.amount, sum.debit, sum.credit};
        const wire::Hash128 hash = wire_hash(sum.hash);
        postings.push_back(wire::CreatePostingSum(builder, type, unit, currency,
                                                  static_cast<std::uint8_t>(sum.quantity_scale),
                                                  static_cast<std::uint8_t>(sum.amount_scale), sum.count, numbers.at(0),
                                                  numbers.at(1), numbers.at(2), numbers.at(3), &hash));
    }
    const auto received = event_sum(builder, totals.received, 0, nullptr);
    const auto all_outcomes = by_code(totals.outcomes);
    const auto replayed = event_sum(builder, totals.replayed, 0, nullptr);
    const auto replays = by_code(totals.replays);
    const auto all_sources = vector(builder, sources);
    const auto all_values = vector(builder, values);
    const auto all_postings = vector(builder, postings);
    return finished(builder, wire::SectionKind::audit,
                    wire::CreateAuditSection(builder, received, all_outcomes, narrow(totals.outcomes.size()),
                                             all_sources, all_values, all_postings, replayed, replays));
}

// ---- reading ------------------------------------------------------------------------------------------------------

/// Copies out of one section. Short texts are shared; a section whose parts overlap so that a few bytes would become
/// very many is refused.
class Reader {
  public:
    explicit Reader(std::string_view section) : texts_left_(kMostCopies * section.size()), left_(section.size()) {}

    bool overdrawn() const { return overdrawn_; }
    std::string text(const flatbuffers::String* value) {
        return value != nullptr && take(value->size(), texts_left_) ? value->str() : std::string();
    }
    std::string bytes(const flatbuffers::Vector<std::uint8_t>* value) {
        if (value == nullptr || !take(value->size(), left_)) return {};
        return {reinterpret_cast<const char*>(value->data()), value->size()};
    }
    /// Calls `read` for each element.
    template <typename Vector, typename Read>
    void each(const Vector* values, Read read) {
        if (values == nullptr || !take(std::size_t{values->size()} * kLeastElementBytes, left_)) return;
        for (flatbuffers::uoffset_t i = 0; i < values->size() && !overdrawn_; ++i) read(values->Get(i));
    }

  private:
    static constexpr std::size_t kLeastElementBytes = 2;
    /// A key field without a value has 64 bytes of a shared text to 12 of its own; nothing has more.
    static constexpr std::size_t kMostCopies = 8;
    bool take(std::size_t size, std::size_t& left) {
        overdrawn_ = overdrawn_ || size > left;
        if (!overdrawn_) left -= size;
        return !overdrawn_;
    }

    std::size_t texts_left_;
    std::size_t left_;  ///< for all else, which is not shared
    bool overdrawn_ = false;
};

using Wrong = std::optional<std::string>;

std::optional<Timestamp> time_of(const flatbuffers::Optional<std::int64_t>& time) {
    return time ? std::optional<Timestamp>(*time) : std::nullopt;
}

Timestamp begun_time_of(const flatbuffers::Optional<std::int64_t>& time) {
    return time.value_or(kBeginningOfTime);
}

/// A copy of a struct: in bytes of strangers it need not be aligned.
template <typename Struct>
Struct copy_of(const Struct* from) {
    Struct copy;
    std::memcpy(&copy, reinterpret_cast<const std::uint8_t*>(from), sizeof copy);
    return copy;
}

Int128 value_of(const wire::Units128* from) {
    const wire::Units128 number = copy_of(from);
    return static_cast<Int128>(static_cast<UInt128>(static_cast<std::uint64_t>(number.high())) << 64 | number.low());
}

Wrong read(const wire::CutsSection& from, Reader& reader, StoredFrame& stored) {
    reader.each(from.sources(), [&](const wire::SourceCut* source) {
        SourceCut cut;
        cut.last_sequence = source->last_sequence();
        cut.highest_event_time = begun_time_of(source->highest_event_time());
        cut.last_ingest_time = source->last_ingest_time();
        cut.anchor_sequence = source->anchor_sequence();
        cut.anchor = reader.bytes(source->anchor());
        reader.each(source->ingest_times(), [&](const wire::IngestTime* from_time) {
            const wire::IngestTime time = copy_of(from_time);
            cut.ingest_times.emplace_back(time.sequence(), time.time());
        });
        stored.sources.push_back(reader.text(source->source()));
        stored.frame.result.cuts.push_back(std::move(cut));
    });
    return {};
}

Wrong read(const wire::InputRecordsSection& from, Reader& reader, StoredFrame& stored) {
    Wrong wrong;
    reader.each(from.records(), [&](const wire::InputRecord* record) {
        if (record->source() >= stored.sources.size()) wrong = "names a source that has no cut";
        stored.frame.result.input_records.push_back({record->source(), record->sequence(), record->ingest_time(),
                                                     reader.text(record->subject()), reader.bytes(record->data())});
    });
    return wrong;
}

Wrong read(const wire::WatermarksSection& from, Reader& reader, StoredFrame& stored) {
    EpochResult& result = stored.frame.result;
    result.watermark_before = begun_time_of(from.before());
    result.watermark_after = begun_time_of(from.after());
    result.cut.watermark = time_of(from.chosen());
    result.cut.flush = from.flush();
    Wrong wrong;
    const auto indices = [&](const flatbuffers::Vector<std::uint16_t>* sources, std::vector<std::uint32_t>& into) {
        reader.each(sources, [&](std::uint16_t source) {
            if (source >= stored.sources.size()) wrong = "names a source that has no cut";
            into.push_back(source);
        });
    };
    indices(from.idle(), result.cut.idle);
    indices(from.ended(), result.cut.ended);
    return wrong;
}

Wrong read(const wire::DeadLetterReplay& from, Reader& reader, StoredFrame& stored) {
    DeadLetterReplay replay;
    if (from.replay() == 0) return "has a retry of an event without its number";
    const std::string source = reader.text(from.source());
    const auto named = std::find(stored.sources.begin(), stored.sources.end(), source);
    if (named == stored.sources.end()) return "has a retry of an event of a source that has no cut";
    replay.source = static_cast<std::uint32_t>(named - stored.sources.begin());
    replay.sequence = from.sequence();
    replay.part = from.part();
    replay.replay = from.replay();
    replay.subject = reader.text(from.subject());
    replay.ingest_time = from.ingest_time();
    replay.data = reader.bytes(from.data());
    replay.who = reader.text(from.user());
    replay.why = reader.text(from.reason());
    stored.frame.result.cut.replays.push_back(std::move(replay));
    stored.frame.result.replay_outcomes.push_back(from.outcome_code());
    return {};
}

Wrong read(const wire::OperatorCommand& from, Reader& reader, StoredFrame& stored) {
    HoldOrder order;
    const std::string command = reader.text(from.command());
    if (command != kResend && command != kClose)
        return fmt::format("has the command '{}', which this version of takt does not know", command);
    order.action = command == kResend ? HoldOrder::Action::resend : HoldOrder::Action::close;
    reader.each(from.arguments(), [&](const wire::KeyField* field) {
        const std::string name = reader.text(field->name());
        if (name == kSinkArgument) order.sink = reader.text(field->value());
        if (name == kKeyArgument) order.key = reader.text(field->value());
        if (name == kReferenceArgument) order.reference = reader.text(field->value());
        if (name == kFileArgument) order.file = reader.text(field->value());
    });
    if (order.sink.empty() || order.key.empty()) return "has a command that does not say which posting it is about";
    if (!order.file.empty() && !is_order_file(order.file))
        return fmt::format("has a command out of '{}', which is no file of orders", order.file);
    order.who = reader.text(from.user());
    order.why = reader.text(from.reason());
    order.time = from.time();
    stored.frame.result.cut.orders.push_back(std::move(order));
    return {};
}

Wrong read(const wire::ControlInputsSection& from, Reader& reader, StoredFrame& stored) {
    Wrong wrong;
    reader.each(from.inputs(), [&](const wire::ControlInput* input) {
        if (const wire::OperatorCommand* const command = input->action_as_OperatorCommand()) {
            if (Wrong not_read = read(*command, reader, stored)) wrong = std::move(not_read);
            return;
        }
        if (const wire::DeadLetterReplay* const replay = input->action_as_DeadLetterReplay()) {
            if (Wrong not_read = read(*replay, reader, stored)) wrong = std::move(not_read);
            return;
        }
        const wire::TableChanges* const changes = input->action_as_TableChanges();
        if (changes == nullptr) {
            wrong = fmt::format("has a control input of kind {}, which this version of takt does not know",
                                static_cast<int>(input->action_type()));
            return;
        }
        TableVersion version;
        version.table = changes->index();
        version.whole = changes->whole();
        reader.each(changes->changes(), [&](const wire::TableChange* change) {
            if (change->operation() > wire::TableOperation::MAX) wrong = "has a change to a table of an unknown kind";
            version.changes.push_back({reader.text(change->key()), change->revision(),
                                       static_cast<TableChange::Operation>(change->operation()),
                                       reader.bytes(change->value()), change->in_content()});
        });
        if (stored.tables.size() <= version.table) stored.tables.resize(version.table + 1);
        stored.tables[version.table] = reader.text(changes->table());
        stored.frame.result.cut.tables.push_back(std::move(version));
    });
    return wrong;
}

Posting read_posting(const wire::Posting& from, Reader& reader) {
    Posting posting;
    posting.key = reader.text(from.key());
    posting.payload_hash = reader.text(from.payload_hash());
    posting.type = reader.text(from.type());
    posting.pipeline = reader.text(from.pipeline());
    posting.revision = from.revision();
    posting.previous_key = reader.text(from.previous_key());
    posting.window_start = time_of(from.window_start());
    posting.window_end = time_of(from.window_end());
    posting.posting_date = from.posting_date();
    posting.correlation_id = reader.text(from.correlation_id());
    reader.each(from.key_fields(), [&](const wire::KeyField* field) {
        posting.key_fields.push_back({reader.text(field->name()), reader.text(field->value())});
    });
    posting.unit = reader.text(from.unit());
    posting.currency = reader.text(from.currency());
    posting.debit = reader.text(from.debit());
    posting.credit = reader.text(from.credit());
    reader.each(from.lines(), [&](const wire::Line* line) {
        const Side side = line->side() == wire::Side::credit ? Side::credit : Side::debit;
        posting.lines.push_back({reader.text(line->account()), reader.text(line->cost_center()), side, 0});
    });
    reader.each(from.lineage(), [&](const wire::LineageRange* range) {
        posting.lineage.ranges.push_back(
            {reader.text(range->source()), range->first_sequence(), range->last_sequence()});
    });
    posting.lineage.events = from.events();
    posting.config_hash = reader.text(from.config_hash());
    posting.epoch = from.epoch();
    return posting;
}

Wrong read(const wire::PostingsSection& from, Reader& reader, StoredFrame& stored) {
    Wrong wrong;
    reader.each(from.postings(), [&](const wire::JournaledPosting* journaled) {
        Posting posting = read_posting(*journaled->posting(), reader);
        const std::optional<Hash128> ids = from_hex(reader.text(journaled->posting()->event_ids_hash()));
        if (!ids) wrong = "has a posting without the hash of its events";
        posting.lineage.ids = ids.value_or(Hash128{});
        posting.quantity_scale = journaled->quantity_scale();
        posting.amount_scale = journaled->amount_scale();
        if (std::max(posting.quantity_scale, posting.amount_scale) > kMaxDecimalScale)
            wrong = "has a posting with more digits after the point than there can be";
        const auto pair = [&](const wire::Units128* difference, const wire::Units128* cumulative, bool& has,
                              Int128& one, Int128& other) {
            has = difference != nullptr;
            if (has != (cumulative != nullptr)) wrong = "has a posting with one number of two";
            if (difference != nullptr) one = value_of(difference);
            if (cumulative != nullptr) other = value_of(cumulative);
        };
        pair(journaled->quantity(), journaled->quantity_cumulative(), posting.has_quantity, posting.quantity,
             posting.quantity_cumulative);
        pair(journaled->amount(), journaled->amount_cumulative(), posting.has_amount, posting.amount,
             posting.amount_cumulative);
        std::size_t line = 0;
        reader.each(journaled->line_amounts(), [&](const wire::Units128* amount) {
            if (line < posting.lines.size()) posting.lines[line].amount = value_of(amount);
            ++line;
        });
        if (line != posting.lines.size()) wrong = "has a posting with lines without amounts";
        stored.frame.result.postings.push_back(std::move(posting));
    });
    return wrong;
}

Wrong read(const wire::DeadLettersSection& from, Reader& reader, StoredFrame& stored) {
    reader.each(from.dead_letters(), [&](const wire::DeadLetter* letter) {
        stored.frame.result.dead_letters.push_back(
            {reader.text(letter->source()), letter->sequence(), letter->part(), reader.text(letter->subject()),
             letter->ingest_time(), reader.text(letter->event_id()), reader.text(letter->reason()),
             reader.text(letter->text()), reader.text(letter->owner()), reader.text(letter->step()),
             reader.text(letter->correlation_id()), reader.bytes(letter->bytes()), letter->epoch(), letter->replay()});
    });
    return {};
}

Wrong read(const wire::CountersSection& from, Reader& reader, StoredFrame& stored) {
    EpochResult& result = stored.frame.result;
    result.messages = from.messages();
    result.message_bytes = from.message_bytes();
    result.rows = from.rows();
    result.pane_rows = from.pane_rows();
    result.outcomes.resize(from.outcome_codes());
    result.pane_outcomes.resize(from.pane_outcome_codes());
    Wrong wrong;
    const auto counts = [&](const flatbuffers::Vector<Offset<wire::OutcomeCount>>* written,
                            std::vector<std::uint64_t>& rows) {
        reader.each(written, [&](const wire::OutcomeCount* count) {
            if (count->code() < rows.size()) {
                rows[count->code()] = count->rows();
            } else {
                wrong = "counts an outcome that the plan does not have";
            }
        });
    };
    counts(from.outcomes(), result.outcomes);
    counts(from.pane_outcomes(), result.pane_outcomes);
    return wrong;
}

Wrong read(const wire::SinkConfirmationsSection& from, Reader& reader, StoredFrame& stored) {
    Wrong wrong;
    reader.each(from.confirmations(), [&](const wire::SinkConfirmation* said) {
        if (said->state() > wire::DeliveryState::MAX) wrong = "has a delivery state of an unknown kind";
        stored.frame.confirmations.push_back({reader.text(said->sink()), reader.text(said->key()),
                                              static_cast<DeliveryState>(said->state()), said->attempt(),
                                              reader.text(said->reference()), reader.text(said->reason()),
                                              reader.text(said->owner()), said->time(), said->since()});
    });
    reader.each(from.positions(), [&](const wire::SinkPosition* position) {
        stored.frame.positions.push_back({reader.text(position->sink()), time_of(position->created()),
                                          position->last_sequence(), position->settled()});
    });
    reader.each(from.routes(), [&](const wire::SinkRoute* route) {
        SinkRoute& read = stored.frame.routes.emplace_back();
        read.sink = reader.text(route->sink());
        reader.each(route->postings(),
                    [&](const flatbuffers::String* type) { read.postings.push_back(reader.text(type)); });
    });
    reader.each(from.totals(), [&](const wire::SinkTotal* total) {
        if (total->state() > wire::DeliveryState::MAX) wrong = "has a delivery state of an unknown kind";
        SinkTotal& read = stored.frame.totals.emplace_back();
        read.sink = reader.text(total->sink());
        read.state = static_cast<DeliveryState>(total->state());
        read.count = total->count();
        const wire::Hash128 postings = copy_of(total->postings());
        read.postings = {postings.low(), postings.high()};
        reader.each(total->amounts(), [&](const wire::SinkAmount* amount) {
            if (amount->scale() > kMaxDecimalScale)
                wrong = "has a sum with more digits after the point than there can be";
            read.amounts.push_back({reader.text(amount->currency()), amount->scale(), value_of(amount->units())});
        });
    });
    return wrong;
}

EventSum read_event_sum(const wire::EventSum& from) {
    EventSum sum;
    sum.count = from.count();
    if (from.hash() != nullptr) {
        const wire::Hash128 hash = copy_of(from.hash());
        sum.hash = {hash.low(), hash.high()};
    }
    return sum;
}

Wrong read(const wire::AuditSection& from, Reader& reader, StoredFrame& stored) {
    AuditTotals& totals = stored.frame.result.audit;
    Wrong wrong;
    const auto number = [](const wire::Units128* units) { return units != nullptr ? value_of(units) : Int128{0}; };
    const auto scale = [&](int digits) {
        if (digits > kMaxDecimalScale) wrong = "has a sum with more digits after the point than there can be";
        return digits;
    };
    if (from.received() != nullptr) totals.received = read_event_sum(*from.received());
    if (from.replayed() != nullptr) totals.replayed = read_event_sum(*from.replayed());
    stored.outcomes.resize(from.outcome_codes());
    const auto read_by_code = [&](const auto* sums, std::vector<EventSum>& by_code) {
        by_code.resize(from.outcome_codes());
        reader.each(sums, [&](const wire::EventSum* sum) {
            if (sum->code() >= by_code.size()) {
                wrong = "counts an outcome that the plan does not have";
                return;
            }
            by_code[sum->code()] = read_event_sum(*sum);
            stored.outcomes[sum->code()] = {reader.text(sum->outcome()), reader.text(sum->rule())};
        });
    };
    read_by_code(from.outcomes(), totals.outcomes);
    read_by_code(from.replays(), totals.replays);
    reader.each(from.sources(), [&](const wire::SourceSum* source) {
        SourceSum sum;
        sum.received = source->received();
        sum.holes = {source->before_start(), source->filtered(), source->deleted(), source->lost()};
        totals.sources.push_back(sum);
    });
    reader.each(from.values(), [&](const wire::ValueSum* value) {
        totals.values.push_back({reader.text(value->step()), reader.text(value->measure()), reader.text(value->unit()),
                                 scale(value->scale()), value->posts(), value->adds_up(), number(value->contributed()),
                                 number(value->settled()), number(value->rounding()), number(value->dropped())});
    });
    reader.each(from.postings(), [&](const wire::PostingSum* sum) {
        PostingSum& read = totals.postings.emplace_back();
        read.type = reader.text(sum->type());
        read.unit = reader.text(sum->unit());
        read.currency = reader.text(sum->currency());
        read.quantity_scale = scale(sum->quantity_scale());
        read.amount_scale = scale(sum->amount_scale());
        read.count = sum->count();
        read.quantity = number(sum->quantity());
        read.amount = number(sum->amount());
        read.debit = number(sum->debit());
        read.credit = number(sum->credit());
        if (sum->hash() == nullptr) return;
        const wire::Hash128 hash = copy_of(sum->hash());
        read.hash = {hash.low(), hash.high()};
    });
    return wrong;
}

template <typename Table>
Wrong read_as(std::string_view data, StoredFrame& stored) {
    const auto* start = reinterpret_cast<const std::uint8_t*>(data.data());
    // Every table takes at least its own four bytes: more tables than that is one that is named again and again.
    flatbuffers::Verifier verifier(start, data.size(), 64, static_cast<flatbuffers::uoffset_t>(data.size() / 4 + 1));
    if (data.empty() || !verifier.VerifyBuffer<Table>(nullptr)) return "is no FlatBuffer of its schema";
    Reader reader(data);
    Wrong wrong = read(*flatbuffers::GetRoot<Table>(start), reader, stored);
    return reader.overdrawn() ? "has parts that overlap" : std::move(wrong);
}

static_assert(static_cast<int>(DeliveryState::closed) == static_cast<int>(wire::DeliveryState::MAX));
static_assert(static_cast<int>(TableChange::Operation::gone) == static_cast<int>(wire::TableOperation::MAX));

}  // namespace

std::vector<FrameSection> encode_sections(const FrameContext& context, const FrameView& frame) {
    const EpochResult& result = frame.result;
    std::vector<FrameSection> sections;
    sections.push_back(cuts_section(context, result));
    if (!result.input_records.empty()) sections.push_back(input_records_section(result.input_records));
    sections.push_back(watermarks_section(result));
    if (!result.cut.tables.empty() || !result.cut.replays.empty() || !result.cut.orders.empty())
        sections.push_back(control_inputs_section(context, result));
    if (!result.postings.empty()) sections.push_back(postings_section(result.postings));
    if (!result.dead_letters.empty()) sections.push_back(dead_letters_section(result.dead_letters));
    sections.push_back(counters_section(context, result));
    if (!frame.confirmations.empty() || !frame.positions.empty() || !frame.routes.empty() || !frame.totals.empty())
        sections.push_back(sink_confirmations_section(frame));
    if (!result.audit.empty()) sections.push_back(audit_section(context, result.audit));
    return sections;
}

std::optional<std::string> decode_section(std::uint8_t kind, std::string_view data, StoredFrame& frame) {
    switch (static_cast<wire::SectionKind>(kind)) {
        case wire::SectionKind::unknown:
            break;
        case wire::SectionKind::cuts:
            return read_as<wire::CutsSection>(data, frame);
        case wire::SectionKind::input_records:
            return read_as<wire::InputRecordsSection>(data, frame);
        case wire::SectionKind::watermarks:
            return read_as<wire::WatermarksSection>(data, frame);
        case wire::SectionKind::control_inputs:
            return read_as<wire::ControlInputsSection>(data, frame);
        case wire::SectionKind::postings:
            return read_as<wire::PostingsSection>(data, frame);
        case wire::SectionKind::dead_letters:
            return read_as<wire::DeadLettersSection>(data, frame);
        case wire::SectionKind::counters:
            return read_as<wire::CountersSection>(data, frame);
        case wire::SectionKind::sink_confirmations:
            return read_as<wire::SinkConfirmationsSection>(data, frame);
        case wire::SectionKind::audit:
            return read_as<wire::AuditSection>(data, frame);
    }
    return "is of a kind that this version of takt does not know";
}

}  // namespace takt
