#include "sources/decode/json_decoder.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

#include "sources/decode/json_text.h"
#include "sources/decode/name_table.h"
#include "sources/decode/projection.h"
#include "sources/decode/row_writer.h"
#include "sources/decode/scalar_text.h"

namespace takt {
namespace {

/// A field of the schema as the walk over a line needs it.
struct JsonMember {
    const RecordField* field = nullptr;
    TypeKind kind = TypeKind::null;  ///< of the field
    ScalarReader scalar;             ///< of the field, or of its elements
};

struct JsonScratch final : Decoder::Scratch {
    JsonScratch(RowWriter rows, std::size_t members)
        : writer(std::move(rows)), seen((members + 63) / 64), given(seen.size()) {}

    RowWriter writer;
    std::vector<std::uint64_t> seen;   ///< bit a member: its key stood in this line
    std::vector<std::uint64_t> given;  ///< bit a member: it has a value in this line
    std::vector<std::uint32_t> order;  ///< members by place in the lines before: keys nearly always come in one order
    std::vector<char> open;
    std::string key;
    std::string error;
};

bool test(const std::vector<std::uint64_t>& bits, std::size_t bit) {
    return (bits[bit >> 6] >> (bit & 63) & 1) != 0;
}
void set(std::vector<std::uint64_t>& bits, std::size_t bit) {
    bits[bit >> 6] |= std::uint64_t{1} << (bit & 63);
}

class JsonDecoder final : public Decoder {
  public:
    JsonDecoder(std::shared_ptr<const RecordSchema> schema, const DecoderOptions& options)
        : schema_(std::move(schema)), options_(options) {}

    Status plan(const Layout& layout);
    std::unique_ptr<Scratch> make_scratch() const override {
        return std::make_unique<JsonScratch>(RowWriter(places_, options_), members_.size());
    }
    void decode(const std::shared_ptr<const MessageBlock>& block, std::size_t first, std::size_t count,
                Scratch& scratch, BatchAllocator& batches, std::vector<std::unique_ptr<Batch>>& out) const override;

  private:
    friend class LineReader;

    std::shared_ptr<const RecordSchema> schema_;  ///< shared with the planner; members point into it
    DecoderOptions options_;
    std::vector<JsonMember> members_;            ///< as the schema's fields
    std::vector<RowWriter::FieldPlace> places_;  ///< as members_
    NameTable names_;
};

/// One line into one row. Functions give the place behind what they read; null after `fail`.
class LineReader {
  public:
    LineReader(const JsonDecoder& decoder, JsonScratch& scratch, std::string_view line, std::uint32_t row)
        : decoder_(decoder), scratch_(scratch), begin_(line.data()), end_(line.data() + line.size()), row_(row) {}

    /// False: malformed, the text is in scratch.error.
    bool read() {
        std::fill(scratch_.seen.begin(), scratch_.seen.end(), 0);
        std::fill(scratch_.given.begin(), scratch_.given.end(), 0);
        const char* at = read_object(json::skip_blanks(begin_, end_));
        if (at == nullptr) return false;
        at = json::skip_blanks(at, end_);
        if (at != end_) return fail(at, "there is something after the object") != nullptr;
        return fill_absent();
    }

  private:
    const char* fail(const char* at, std::string_view what) {
        scratch_.error = fmt::format("byte {}: {}", at - begin_ + 1, what);
        return nullptr;
    }
    const char* fail_field(const JsonMember& member, std::string_view what) {
        scratch_.error = fmt::format("field '{}': {}", member.field->field.name, what);
        return nullptr;
    }

    const char* read_object(const char* at) {
        if (at == end_ || *at != '{') return fail(at, "no JSON object begins here");
        at = json::skip_blanks(at + 1, end_);
        if (at != end_ && *at == '}') return at + 1;
        for (std::size_t place = 0;; ++place) {
            at = read_member(at, place);
            if (at == nullptr) return nullptr;
            at = json::skip_blanks(at, end_);
            if (at == end_) return fail(at, "the object is not closed");
            if (*at == '}') return at + 1;
            if (*at != ',') return fail(at, "expected ',' or '}'");
            at = json::skip_blanks(at + 1, end_);
        }
    }

    const char* read_member(const char* at, std::size_t place) {
        if (at == end_ || *at != '"') return fail(at, "expected a key");
        const json::ScannedString key = json::scan_string(at + 1, end_);
        if (key.after == nullptr) return fail(at, "the key is no JSON string");
        const std::int32_t index = find_member(key, place);
        at = json::skip_blanks(key.after, end_);
        if (at == end_ || *at != ':') return fail(at, "expected ':'");
        at = json::skip_blanks(at + 1, end_);
        if (index == NameTable::kNone) {
            const char* after = json::skip_value(at, end_, scratch_.open);
            return after == nullptr ? fail(at, "no JSON value begins here, or it is broken") : after;
        }
        const auto member = static_cast<std::size_t>(index);
        if (test(scratch_.seen, member)) return fail_field(decoder_.members_[member], "stands there twice");
        set(scratch_.seen, member);
        return read_value(at, member);
    }

    std::int32_t find_member(const json::ScannedString& key, std::size_t place) {
        std::string_view name = key.raw;
        if (key.escaped) {
            scratch_.key.resize(name.size());
            std::size_t size = 0;
            json::unescape(name, scratch_.key.data(), size);
            name = std::string_view(scratch_.key.data(), size);
        }
        std::vector<std::uint32_t>& order = scratch_.order;
        if (place < order.size() && decoder_.members_[order[place]].field->field.name == name) {
            return static_cast<std::int32_t>(order[place]);
        }
        const std::int32_t found = decoder_.names_.find(name);
        if (found != NameTable::kNone && place < kMaxOrder) {
            if (place >= order.size()) order.resize(place + 1);
            order[place] = static_cast<std::uint32_t>(found);
        }
        return found;
    }

    const char* read_value(const char* at, std::size_t index) {
        const JsonMember& member = decoder_.members_[index];
        if (end_ - at >= 4 && std::memcmp(at, "null", 4) == 0) return at + 4;
        if (member.kind == TypeKind::list) return read_list(at, index);
        bool empty = false;
        const char* after =
            read_scalar(at, member, empty, [&](auto value) { scratch_.writer.target(index).put(row_, value); });
        if (after != nullptr && !empty) set(scratch_.given, index);
        return after;
    }

    const char* read_list(const char* at, std::size_t index) {
        const JsonMember& member = decoder_.members_[index];
        if (at == end_ || *at != '[')
            return fail_field(member, fmt::format("expected a list, found {}", json::kind_of(at, end_)));
        const std::uint32_t begin = scratch_.writer.element_count(index);
        at = json::skip_blanks(at + 1, end_);
        if (at != end_ && *at == ']') {
            ++at;
        } else {
            at = read_elements(at, index);
            if (at == nullptr) return nullptr;
        }
        scratch_.writer.put_list(index, row_, begin);
        set(scratch_.given, index);
        return at;
    }

    const char* read_elements(const char* at, std::size_t index) {
        const JsonMember& member = decoder_.members_[index];
        while (true) {
            bool empty = false;
            at = read_scalar(at, member, empty, [&](auto value) { scratch_.writer.append_element(index, value); });
            if (at == nullptr) return nullptr;
            if (empty && member.scalar.kind() != TypeKind::string) return fail_field(member, "an element is empty");
            if (empty) scratch_.writer.append_element(index, std::string_view());
            at = json::skip_blanks(at, end_);
            if (at == end_) return fail(at, "the list is not closed");
            if (*at == ']') return at + 1;
            if (*at != ',') return fail(at, "expected ',' or ']'");
            at = json::skip_blanks(at + 1, end_);
        }
    }

    /// Gives the value to `put` in the storage type of the member's kind, or sets `empty` for "".
    template <typename Put>
    const char* read_scalar(const char* at, const JsonMember& member, bool& empty, Put put) {
        const TypeKind kind = member.scalar.kind();
        if (at != end_ && *at == '"' && member.scalar.takes_text()) {
            const json::ScannedString scanned = json::scan_string(at + 1, end_);
            if (scanned.after == nullptr) return fail_field(member, "is no JSON string");
            std::string_view text = scanned.raw;
            if (scanned.escaped && !unescape(member, text)) return nullptr;
            empty = text.empty();
            if (empty) return scanned.after;
            const std::string_view problem = member.scalar.read(text, scratch_.writer.arena(), put);
            return problem.empty() ? scanned.after : fail_field(member, problem);
        }
        if (kind == TypeKind::boolean) {
            if (end_ - at >= 4 && std::memcmp(at, "true", 4) == 0) return put(std::uint8_t{1}), at + 4;
            if (end_ - at >= 5 && std::memcmp(at, "false", 5) == 0) return put(std::uint8_t{0}), at + 5;
        } else if (at != end_ && *at != '"' && member.scalar.takes_number()) {
            if (const char* after = json::scan_number(at, end_); after != nullptr) {
                const std::string_view text(at, static_cast<std::size_t>(after - at));
                const std::string_view problem = member.scalar.read(text, scratch_.writer.arena(), put);
                return problem.empty() ? after : fail_field(member, problem);
            }
        }
        return fail_field(member,
                          fmt::format("expected {}, found {}", member.scalar.expects(), json::kind_of(at, end_)));
    }

    bool unescape(const JsonMember& member, std::string_view& text) {
        char* to = scratch_.writer.arena().allocate(text.size());
        std::size_t size = 0;
        switch (json::unescape(text, to, size)) {
            case json::Unescaped::text:
                text = std::string_view(to, size);
                return true;
            case json::Unescaped::zero:
                return fail_field(member, "string holds U+0000") != nullptr;
            case json::Unescaped::lone_surrogate:
                return fail_field(member, "string holds a lone surrogate") != nullptr;
        }
        return false;
    }

    /// Gives every field that the line does not give its default, or nothing; false when it is required.
    bool fill_absent() {
        for (std::size_t i = 0; i < decoder_.members_.size(); ++i) {
            if (test(scratch_.given, i)) continue;
            const RecordField& field = *decoder_.members_[i].field;
            if (field.field.required && (!field.has_default || field.zero_is_absent)) {
                return fail_field(decoder_.members_[i], "is missing") != nullptr;
            }
            RowWriter::Target& target = scratch_.writer.target(i);
            if (field.has_default && !field.zero_is_absent) {
                decoder_.members_[i].scalar.put_default(field, [&](auto value) { target.put(row_, value); });
            } else {
                target.put_absent(row_);
            }
        }
        return true;
    }

    static constexpr std::size_t kMaxOrder = 256;

    const JsonDecoder& decoder_;
    JsonScratch& scratch_;
    const char* const begin_;
    const char* const end_;
    const std::uint32_t row_;
};

Status JsonDecoder::plan(const Layout& layout) {
    for (const RecordField& field : schema_->fields) {
        Result<Slot> slot = place_of(field, layout);
        if (!slot) return slot.error();
        const Type& type = field.field.type;
        names_.add(field.field.name, static_cast<std::int32_t>(members_.size()));
        const bool list = type.is(TypeKind::list);
        members_.push_back({&field, type.kind,
                            ScalarReader(list ? type.element_type() : type, list ? field.element : field.storage,
                                         field.zero_is_absent)});
        places_.push_back({type, *slot});
    }
    return {};
}

void JsonDecoder::decode(const std::shared_ptr<const MessageBlock>& block, std::size_t first, std::size_t count,
                         Scratch& scratch, BatchAllocator& batches, std::vector<std::unique_ptr<Batch>>& out) const {
    auto& own = static_cast<JsonScratch&>(scratch);
    own.writer.begin(block, batches, out);
    for (std::size_t i = first; i < first + count; ++i) {
        const Message& message = block->messages[i];
        const char* const end = message.data.data() + message.data.size();
        if (json::skip_blanks(message.data.data(), end) == end) continue;
        const std::uint32_t row = own.writer.open_row(message, 0, message.data);
        if (message.data.size() > kMaxJsonBytes) {
            own.writer.reject_row("the line is longer than 1 MiB");
        } else if (!simdjson::validate_utf8(message.data.data(), message.data.size())) {
            own.writer.reject_row("the line is not valid UTF-8");
        } else if (LineReader(*this, own, message.data, row).read()) {
            own.writer.accept_row();
        } else {
            own.writer.reject_row(own.error);
        }
    }
    own.writer.finish();
}

}  // namespace

Result<std::unique_ptr<Decoder>> make_json_decoder(std::shared_ptr<const RecordSchema> schema, const Layout& layout,
                                                   const DecoderOptions& options) {
    auto decoder = std::make_unique<JsonDecoder>(std::move(schema), options);
    if (Status status = decoder->plan(layout); !status) return status.error();
    return std::unique_ptr<Decoder>(std::move(decoder));
}

}  // namespace takt
