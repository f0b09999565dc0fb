#include "sources/decode/flatbuffers_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "pipeline/base/prefetch.h"
#include "sources/decode/projection.h"
#include "sources/decode/row_writer.h"
#include "sources/decode/text.h"

namespace takt {
namespace {

enum class Fault : std::uint8_t {
    none,
    too_short,
    root_outside,
    vtable_outside,
    vtable_size,
    missing,
    field_outside,
    string_outside,
    not_utf8,
    zero,
    not_a_member,
    list_outside,
};

std::string_view describe(Fault fault) {
    switch (fault) {
        case Fault::none:
            return "nothing";
        case Fault::too_short:
            return "the message is too short for a table";
        case Fault::root_outside:
            return "the root table lies outside the message";
        case Fault::vtable_outside:
            return "the table's vtable lies outside the message";
        case Fault::vtable_size:
            return "the table's vtable has an impossible size";
        case Fault::missing:
            return "is missing";
        case Fault::field_outside:
            return "lies outside the message";
        case Fault::string_outside:
            return "string runs past the end of the message";
        case Fault::not_utf8:
            return "string is not valid UTF-8";
        case Fault::zero:
            return "string holds U+0000";
        case Fault::not_a_member:
            return "value is not of its enumeration";
        case Fault::list_outside:
            return "list runs past the end of the message";
    }
    return "";
}

/// What to do with a field: stored width and column width in one word, so that a row needs one switch a field.
enum class Action : std::uint8_t {
    boolean,
    int8,
    uint8,
    int16,
    uint16,
    int32,
    uint32,
    word,  ///< 8 bytes into 8: long, ulong, double
    float32,
    enum8,
    enumeration,
    decimal64,
    decimal,
    string,
    bytes,
    list,
};

struct Step {
    Action action;
    Storage storage;
    Storage element;
    TypeKind element_kind;
    bool required;
    bool has_default;
    bool zero_is_absent;
    bool contiguous;  ///< of an enumeration: all values from minimum to maximum have names
    std::uint16_t vtable_offset;
    std::uint16_t width;  ///< bytes in the table
    std::int64_t minimum;
    std::int64_t maximum;
    std::int64_t default_bits;  ///< as the column stores it
    const RecordField* field;
};

std::int64_t load_integer(Storage storage, const char* from) {
    switch (storage) {
        case Storage::boolean:
            return load<std::uint8_t>(from) != 0;
        case Storage::int8:
            return load<std::int8_t>(from);
        case Storage::uint8:
            return load<std::uint8_t>(from);
        case Storage::int16:
            return load<std::int16_t>(from);
        case Storage::uint16:
            return load<std::uint16_t>(from);
        case Storage::int32:
            return load<std::int32_t>(from);
        case Storage::uint32:
            return load<std::uint32_t>(from);
        default:
            return load<std::int64_t>(from);
    }
}

/// Two's complement of 64 bits read as the storage says.
Int128 widen(Storage storage, std::int64_t value) {
    if (storage == Storage::uint64) return static_cast<Int128>(static_cast<std::uint64_t>(value));
    return value;
}

bool is_member(const Step& step, std::int64_t value) {
    if (step.contiguous) return value >= step.minimum && value <= step.maximum;
    const std::vector<EnumType::Value>& values = step.field->field.type.enumeration->values;
    const auto at = std::lower_bound(values.begin(), values.end(), value,
                                     [](const EnumType::Value& a, std::int64_t wanted) { return a.value < wanted; });
    return at != values.end() && at->value == value;
}

struct Span {
    std::uint64_t begin = 0;  ///< 0: outside the message
    std::uint32_t size = 0;
};

/// What the offset at `at` points to: a length of `unit`-byte elements and the elements, all inside the message.
inline Span follow(std::string_view message, std::uint64_t at, std::uint64_t unit) {
    const std::uint64_t target = at + load<std::uint32_t>(message.data() + at);
    if (target + 4 > message.size()) return {};
    const std::uint32_t count = load<std::uint32_t>(message.data() + target);
    if (target + 4 + count * unit > message.size()) return {};
    return {target + 4, count};
}

inline Fault check_string(std::string_view message, Span span) {
    switch (check_text_after_header(message.data() + span.begin, span.size)) {
        case TextFault::none:
            return Fault::none;
        case TextFault::not_utf8:
            return Fault::not_utf8;
        case TextFault::zero:
            return Fault::zero;
    }
    return Fault::none;
}

/// Where a message's root table and vtable lie.
struct Table {
    Fault fault = Fault::none;
    std::uint32_t root = 0;
    std::uint32_t vtable_size = 0;
    const char* vtable = nullptr;
};

inline Table find_table(std::string_view message) {
    const std::uint64_t size = message.size();
    if (size < 8) return {Fault::too_short};
    const std::uint32_t root = load<std::uint32_t>(message.data());
    // Nothing lies in the root offset itself; so every string has 8 bytes of the message before it.
    if (root < 4 || root + std::uint64_t{4} > size) return {Fault::root_outside};
    const std::int64_t vtable = static_cast<std::int64_t>(root) - load<std::int32_t>(message.data() + root);
    if (vtable < 0 || static_cast<std::uint64_t>(vtable) + 4 > size) return {Fault::vtable_outside};
    const std::uint32_t vtable_size = load<std::uint16_t>(message.data() + vtable);
    if (vtable_size < 4 || (vtable_size & 1) != 0) return {Fault::vtable_size};
    if (static_cast<std::uint64_t>(vtable) + vtable_size > size) return {Fault::vtable_outside};
    return {Fault::none, root, vtable_size, message.data() + vtable};
}

/// Length prefixes and events cover the message exactly.
bool is_chain(std::string_view message) {
    std::size_t at = 0;
    do {
        if (message.size() - at < 4) return false;
        const std::uint32_t length = load<std::uint32_t>(message.data() + at);
        if (length == 0 || length > message.size() - at - 4) return false;
        at += 4 + std::size_t{length};
    } while (at < message.size());
    return true;
}

/// A plain message may look like a chain by accident of its first field: then the table decides.
bool holds_prefixed_events(std::string_view message) {
    if (!is_chain(message)) return false;
    const std::string_view first = message.substr(4, load<std::uint32_t>(message.data()));
    return find_table(first).fault == Fault::none || find_table(message).fault != Fault::none;
}

struct FlatBuffersScratch final : Decoder::Scratch {
    explicit FlatBuffersScratch(RowWriter rows) : writer(std::move(rows)) {}
    RowWriter writer;
};

class FlatBuffersDecoder final : public Decoder {
  public:
    FlatBuffersDecoder(std::shared_ptr<const RecordSchema> schema, const DecoderOptions& options)
        : schema_(std::move(schema)), options_(options) {}

    Status plan(const Layout& layout);
    std::unique_ptr<Scratch> make_scratch() const override {
        return std::make_unique<FlatBuffersScratch>(RowWriter(places_, options_));
    }
    void decode(const std::shared_ptr<const MessageBlock>& block, std::size_t first, std::size_t count,
                Scratch& scratch, BatchAllocator& batches, std::vector<std::unique_ptr<Batch>>& out) const override;

  private:
    struct Outcome {
        Fault fault = Fault::none;
        const Step* step = nullptr;
    };

    void decode_chain(const Message& message, RowWriter& writer) const;
    void decode_event(const Message& message, std::uint32_t part, std::string_view bytes, RowWriter& writer) const;
    Outcome read_fields(std::string_view bytes, const Table& table, std::uint32_t row, RowWriter& writer) const;
    Fault read_list(std::string_view bytes, std::uint64_t at, std::size_t index, std::uint32_t row,
                    RowWriter& writer) const;
    static void reject(RowWriter& writer, Outcome outcome);

    std::shared_ptr<const RecordSchema> schema_;  ///< shared with the planner; steps point into it
    DecoderOptions options_;
    std::vector<Step> steps_;
    std::vector<RowWriter::FieldPlace> places_;  ///< as steps_
};

Action action_of(const RecordField& field) {
    switch (field.field.type.kind) {
        case TypeKind::boolean:
            return Action::boolean;
        case TypeKind::decimal:
            return field.storage == Storage::int64 ? Action::decimal64 : Action::decimal;
        case TypeKind::enumeration:
            return field.storage == Storage::uint8 ? Action::enum8 : Action::enumeration;
        case TypeKind::string:
            return Action::string;
        case TypeKind::bytes:
            return Action::bytes;
        case TypeKind::list:
            return Action::list;
        default:
            break;
    }
    switch (field.storage) {
        case Storage::int8:
            return Action::int8;
        case Storage::uint8:
            return Action::uint8;
        case Storage::int16:
            return Action::int16;
        case Storage::uint16:
            return Action::uint16;
        case Storage::int32:
            return Action::int32;
        case Storage::uint32:
            return Action::uint32;
        case Storage::float32:
            return Action::float32;
        default:
            return Action::word;
    }
}

/// How far ahead of the decoding messages are brought near.
constexpr std::size_t kMessagesAhead = 4;

Step step_of(const RecordField& field) {
    Step step{};
    const Type& type = field.field.type;
    step.action = action_of(field);
    step.storage = field.storage;
    step.element = field.element;
    step.element_kind = type.element;
    step.required = field.field.required;
    step.has_default = field.has_default;
    step.zero_is_absent = field.zero_is_absent;
    step.vtable_offset = field.vtable_offset;
    step.width = static_cast<std::uint16_t>(storage_size_bytes(field.storage));
    step.field = &field;
    if (type.is(TypeKind::float64)) {
        step.default_bits = load<std::int64_t>(reinterpret_cast<const char*>(&field.default_real));
    } else {
        step.default_bits = field.default_integer;
    }
    if (type.enumeration != nullptr && !type.enumeration->values.empty()) {
        step.minimum = type.enumeration->values.front().value;
        step.maximum = type.enumeration->values.back().value;
        step.contiguous = static_cast<std::uint64_t>(step.maximum) - static_cast<std::uint64_t>(step.minimum) ==
                          type.enumeration->values.size() - 1;
    }
    // 0 says that the field is absent, and names start at it: then absence is one more value outside the range.
    if (step.zero_is_absent && step.contiguous && step.minimum == 0) step.minimum = 1;
    return step;
}

Status FlatBuffersDecoder::plan(const Layout& layout) {
    for (const RecordField& field : schema_->fields) {
        Result<Slot> slot = place_of(field, layout);
        if (!slot) return slot.error();
        if (*slot == kNoSlot && !field.field.required) continue;
        if (field.vtable_offset < 4 || field.storage == Storage::none) {
            return Error{"C314", fmt::format("field '{}' of schema '{}' has no FlatBuffers form", field.field.name,
                                             schema_->name)};
        }
        steps_.push_back(step_of(field));
        places_.push_back({field.field.type, *slot});
    }
    return {};
}

void put_default(const Step& step, RowWriter::Target& target, std::uint32_t row) {
    switch (step.action) {
        case Action::boolean:
            target.put(row, static_cast<std::uint8_t>(step.default_bits != 0));
            break;
        case Action::decimal64:
        case Action::decimal:
            target.put(row, widen(step.storage, step.default_bits));
            break;
        default:
            target.put(row, step.default_bits);
            break;
    }
}

FlatBuffersDecoder::Outcome FlatBuffersDecoder::read_fields(std::string_view bytes, const Table& table,
                                                            std::uint32_t row, RowWriter& writer) const {
    RowWriter::Target* target = writer.targets();
    const char* const data = bytes.data();
    for (const Step& step : steps_) {
        RowWriter::Target& to = *target++;
        const std::uint32_t offset =
            step.vtable_offset < table.vtable_size ? load<std::uint16_t>(table.vtable + step.vtable_offset) : 0;
        if (offset == 0) {
            if (step.has_default && !step.zero_is_absent) {
                put_default(step, to, row);
            } else if (step.required) {
                return {Fault::missing, &step};
            } else {
                to.put_absent(row);
            }
            continue;
        }
        const std::uint64_t at = std::uint64_t{table.root} + offset;
        if (at + step.width > bytes.size()) return {Fault::field_outside, &step};
        const char* from = data + at;
        // Most fields are strings: a branch of its own is foretold better than the switch's jump.
        if (step.action == Action::string) {
            const Span span = follow(bytes, at, 1);
            if (span.begin == 0) return {Fault::string_outside, &step};
            if (span.size == 0) {
                if (step.required) return {Fault::missing, &step};
                to.put_absent(row);
                continue;
            }
            if (const Fault fault = check_string(bytes, span); fault != Fault::none) return {fault, &step};
            to.put(row, std::string_view(data + span.begin, span.size));
            continue;
        }
        switch (step.action) {
            case Action::boolean:
                to.put(row, static_cast<std::uint8_t>(load<std::uint8_t>(from) != 0));
                break;
            case Action::int8:
                to.put(row, std::int64_t{load<std::int8_t>(from)});
                break;
            case Action::uint8:
                to.put(row, std::uint64_t{load<std::uint8_t>(from)});
                break;
            case Action::int16:
                to.put(row, std::int64_t{load<std::int16_t>(from)});
                break;
            case Action::uint16:
                to.put(row, std::uint64_t{load<std::uint16_t>(from)});
                break;
            case Action::int32:
                to.put(row, std::int64_t{load<std::int32_t>(from)});
                break;
            case Action::uint32:
                to.put(row, std::uint64_t{load<std::uint32_t>(from)});
                break;
            case Action::word:
                to.put(row, load<std::int64_t>(from));
                break;
            case Action::float32:
                to.put(row, static_cast<double>(load<float>(from)));
                break;
            case Action::decimal64:
                to.put(row, Int128{load<std::int64_t>(from)});
                break;
            case Action::decimal:
                to.put(row, widen(step.storage, load_integer(step.storage, from)));
                break;
            case Action::enum8:
            case Action::enumeration: {
                const std::int64_t value = step.action == Action::enum8 ? std::int64_t{load<std::uint8_t>(from)}
                                                                        : load_integer(step.storage, from);
                if (!is_member(step, value) || (step.zero_is_absent && value == 0)) {
                    return {step.zero_is_absent && value == 0 ? Fault::missing : Fault::not_a_member, &step};
                }
                to.put(row, value);
                break;
            }
            case Action::string:
                break;  // above
            case Action::bytes: {
                const Span span = follow(bytes, at, 1);
                if (span.begin == 0) return {Fault::list_outside, &step};
                to.put(row, std::string_view(data + span.begin, span.size));
                break;
            }
            case Action::list: {
                const auto index = static_cast<std::size_t>(&step - steps_.data());
                if (const Fault fault = read_list(bytes, at, index, row, writer); fault != Fault::none) {
                    return {fault, &step};
                }
                break;
            }
        }
    }
    return {};
}

Fault FlatBuffersDecoder::read_list(std::string_view bytes, std::uint64_t at, std::size_t index, std::uint32_t row,
                                    RowWriter& writer) const {
    const Step& step = steps_[index];
    const std::uint32_t width = storage_size_bytes(step.element);
    const Span span = follow(bytes, at, width);
    if (span.begin == 0) return Fault::list_outside;
    const std::uint32_t begin = writer.element_count(index);
    for (std::uint32_t i = 0; i < span.size; ++i) {
        const std::uint64_t place = span.begin + std::uint64_t{i} * width;
        const char* from = bytes.data() + place;
        switch (step.element_kind) {
            case TypeKind::string: {
                const Span text = follow(bytes, place, 1);
                if (text.begin == 0) return Fault::string_outside;
                if (text.size > 0) {
                    if (const Fault fault = check_string(bytes, text); fault != Fault::none) return fault;
                }
                writer.append_element(index, std::string_view(bytes.data() + text.begin, text.size));
                break;
            }
            case TypeKind::boolean:
                writer.append_element(index, static_cast<std::uint8_t>(load<std::uint8_t>(from) != 0));
                break;
            case TypeKind::float64:
                writer.append_element(index, step.element == Storage::float32 ? static_cast<double>(load<float>(from))
                                                                              : load<double>(from));
                break;
            case TypeKind::decimal:
                writer.append_element(index, widen(step.element, load_integer(step.element, from)));
                break;
            default: {
                const std::int64_t value = load_integer(step.element, from);
                if (step.element_kind == TypeKind::enumeration && !is_member(step, value)) return Fault::not_a_member;
                writer.append_element(index, value);
                break;
            }
        }
    }
    writer.put_list(index, row, begin);
    return Fault::none;
}

void FlatBuffersDecoder::reject(RowWriter& writer, Outcome outcome) {
    if (outcome.step == nullptr) {
        writer.reject_row(describe(outcome.fault));
    } else {
        writer.reject_row(fmt::format("field '{}': {}", outcome.step->field->field.name, describe(outcome.fault)));
    }
}

void FlatBuffersDecoder::decode_event(const Message& message, std::uint32_t part, std::string_view bytes,
                                      RowWriter& writer) const {
    const std::uint32_t row = writer.open_row(message, part, bytes);
    const Table table = find_table(bytes);
    Outcome outcome{table.fault, nullptr};
    if (table.fault == Fault::none) outcome = read_fields(bytes, table, row, writer);
    if (outcome.fault == Fault::none) {
        writer.accept_row();
    } else {
        reject(writer, outcome);
    }
}

void FlatBuffersDecoder::decode_chain(const Message& message, RowWriter& writer) const {
    std::string_view rest = message.data;
    for (std::uint32_t part = 0; !rest.empty(); ++part) {
        const std::uint64_t length = rest.size() < 4 ? UINT64_MAX : load<std::uint32_t>(rest.data());
        if (rest.size() < 4 || length > rest.size() - 4) {
            writer.open_row(message, part, rest);
            writer.reject_row("an event's length runs past the end of the message");
            return;
        }
        if (length > 0) decode_event(message, part, rest.substr(4, length), writer);
        rest.remove_prefix(4 + length);
    }
}

/// Brings the beginning of a message near, which for most messages is all of it.
void prefetch_message(std::string_view message) {
    constexpr std::size_t kLine = 64;
    const std::size_t size = std::min<std::size_t>(message.size(), 8 * kLine);
    for (std::size_t at = 0; at < size; at += kLine) prefetch(message.data() + at);
}

void FlatBuffersDecoder::decode(const std::shared_ptr<const MessageBlock>& block, std::size_t first, std::size_t count,
                                Scratch& scratch, BatchAllocator& batches,
                                std::vector<std::unique_ptr<Batch>>& out) const {
    RowWriter& writer = static_cast<FlatBuffersScratch&>(scratch).writer;
    writer.begin(block, batches, out);
    using Framing = DecoderOptions::Framing;
    const std::span<const Message> messages = std::span(block->messages).subspan(first, count);
    for (std::size_t i = 0; i < count; ++i) {
        if (i + kMessagesAhead < count) prefetch_message(messages[i + kMessagesAhead].data);
        const Message& message = messages[i];
        if (message.data.empty()) continue;
        const bool chain =
            !block->single && (options_.framing == Framing::size_prefixed ||
                               (options_.framing == Framing::automatic && holds_prefixed_events(message.data)));
        if (chain) {
            decode_chain(message, writer);
        } else {
            decode_event(message, 0, message.data, writer);
        }
    }
    writer.finish();
}

}  // namespace

Result<std::unique_ptr<Decoder>> make_flatbuffers_decoder(std::shared_ptr<const RecordSchema> schema,
                                                          const Layout& layout, const DecoderOptions& options) {
    auto decoder = std::make_unique<FlatBuffersDecoder>(std::move(schema), options);
    if (Status status = decoder->plan(layout); !status) return status.error();
    return std::unique_ptr<Decoder>(std::move(decoder));
}

}  // namespace takt
