#include "sources/decode/delimited_decoder.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

#include "sources/decode/projection.h"
#include "sources/decode/row_writer.h"
#include "sources/decode/scalar_text.h"

namespace takt {
namespace {

constexpr std::size_t kNoCell = static_cast<std::size_t>(-1);

struct Cell {
    std::string_view text;
    bool doubled = false;  ///< the text has quotes that are written twice
};

/// Cuts a record into cells; a static text says what is wrong, empty when nothing is.
std::string_view split(std::string_view record, char delimiter, bool quotes, std::vector<Cell>& cells) {
    cells.clear();
    const char* at = record.data();
    const char* const end = at + record.size();
    while (true) {
        Cell cell;
        if (quotes && at != end && *at == '"') {
            const char* const begin = ++at;
            while (true) {
                at = std::find(at, end, '"');
                if (at == end) return "a quoted cell is not closed";
                if (at + 1 == end || at[1] != '"') break;
                cell.doubled = true;
                at += 2;
            }
            cell.text = std::string_view(begin, static_cast<std::size_t>(at - begin));
            ++at;
            if (at != end && *at != delimiter) return "there is text behind a closing quote";
        } else {
            const char* const begin = at;
            at = std::find(at, end, delimiter);
            cell.text = std::string_view(begin, static_cast<std::size_t>(at - begin));
            if (quotes && cell.text.find('"') != std::string_view::npos)
                return "there is a quote inside an unquoted cell";
        }
        cells.push_back(cell);
        if (at == end) return {};
        ++at;
    }
}

/// Writes each doubled quote once; `to` has text.size() bytes.
std::size_t undouble(std::string_view text, char* to) {
    char* const begin = to;
    for (std::size_t i = 0; i < text.size(); ++i) {
        *to++ = text[i];
        if (text[i] == '"') ++i;
    }
    return static_cast<std::size_t>(to - begin);
}

std::string_view without_line_end(std::string_view record) {
    if (record.ends_with('\n')) record.remove_suffix(1);
    if (record.ends_with('\r')) record.remove_suffix(1);
    return record;
}

bool is_number(TypeKind kind) {
    return kind == TypeKind::decimal || kind == TypeKind::int64 || kind == TypeKind::uint64 ||
           kind == TypeKind::float64;
}

/// A field of the schema as the walk over a record needs it.
struct DelimitedMember {
    const RecordField* field = nullptr;
    std::size_t cell = kNoCell;
    std::optional<std::string> constant;
    TimeForm time;
    ScalarReader scalar;
};

struct DelimitedScratch final : Decoder::Scratch {
    explicit DelimitedScratch(RowWriter rows) : writer(std::move(rows)) {}
    RowWriter writer;
    std::vector<Cell> cells;
    std::string number;
    std::string error;
};

class DelimitedDecoder final : public Decoder {
  public:
    DelimitedDecoder(std::shared_ptr<const RecordSchema> schema, const DelimitedOptions& delimited,
                     const DecoderOptions& options)
        : schema_(std::move(schema)), delimiter_(delimited.delimiter), quotes_(delimited.quotes), options_(options) {}

    Status plan(const Layout& layout, const DelimitedOptions& delimited);
    std::unique_ptr<Scratch> make_scratch() const override {
        return std::make_unique<DelimitedScratch>(RowWriter(places_, options_));
    }
    void decode(const std::shared_ptr<const MessageBlock>& block, std::size_t first, std::size_t count,
                Scratch& scratch, BatchAllocator& batches, std::vector<std::unique_ptr<Batch>>& out) const override;

  private:
    Result<DelimitedMember> member_of(const RecordField& field, const DelimitedOptions& delimited,
                                      const std::vector<std::string>& header) const;
    bool read_record(std::string_view record, std::uint32_t row, DelimitedScratch& scratch) const;
    bool read_member(std::size_t index, std::uint32_t row, DelimitedScratch& scratch) const;

    std::shared_ptr<const RecordSchema> schema_;  ///< shared with the planner; members point into it
    char delimiter_;
    bool quotes_;
    DecoderOptions options_;
    std::size_t header_cells_ = 0;  ///< 0: there is no header
    std::size_t least_cells_ = 0;
    std::vector<DelimitedMember> members_;
    std::vector<RowWriter::FieldPlace> places_;  ///< as members_
};

Result<DelimitedMember> DelimitedDecoder::member_of(const RecordField& field, const DelimitedOptions& delimited,
                                                    const std::vector<std::string>& header) const {
    const std::string& name = field.field.name;
    DelimitedMember member;
    member.field = &field;
    member.scalar = ScalarReader(field.field.type, field.storage, field.zero_is_absent);
    const auto given = std::find_if(delimited.columns.begin(), delimited.columns.end(),
                                    [&](const DelimitedColumn& column) { return column.field == name; });
    const bool mapped = given != delimited.columns.end();
    if (mapped) {
        member.time = given->time;
        member.constant = given->constant;
        if (given->index > 0) member.cell = given->index - 1;
        if (given->constant || given->index > 0) return member;
    }
    const std::string& wanted = mapped && !given->column.empty() ? given->column : name;
    const auto found = std::find(header.begin(), header.end(), wanted);
    if (found != header.end()) {
        member.cell = static_cast<std::size_t>(found - header.begin());
    } else if (mapped || field.field.required || field.storage == Storage::none) {
        return Error{"C315", header.empty()
                                 ? fmt::format("field '{}': without a header its column needs an index", name)
                                 : fmt::format("field '{}': the header has no column '{}'; it has {}", name, wanted,
                                               fmt::join(header, ", "))};
    }
    return member;
}

Status DelimitedDecoder::plan(const Layout& layout, const DelimitedOptions& delimited) {
    std::vector<std::string> header;
    if (delimited.header) {
        Result<std::vector<std::string>> cells = split_record(*delimited.header, delimited);
        if (!cells) return cells.error();
        header = std::move(*cells);
        header_cells_ = header.size();
    }
    for (const DelimitedColumn& column : delimited.columns) {
        if (schema_->find(column.field) == nullptr) {
            return Error{"C315", fmt::format("the schema has no field '{}'", column.field)};
        }
    }
    for (const RecordField& field : schema_->fields) {
        Result<Slot> slot = place_of(field, layout);
        if (!slot) return slot.error();
        Result<DelimitedMember> member = member_of(field, delimited, header);
        if (!member) return member.error();
        const bool has_column = member->cell != kNoCell || member->constant.has_value();
        if (has_column && field.field.type.is(TypeKind::list)) {
            return Error{"C315", fmt::format("field '{}' is a list: no column can hold one", field.field.name)};
        }
        if (member->cell != kNoCell) least_cells_ = std::max(least_cells_, member->cell + 1);
        members_.push_back(std::move(*member));
        places_.push_back({field.field.type, *slot});
    }
    if (header_cells_ > 0 && least_cells_ > header_cells_) {
        return Error{"C315",
                     fmt::format("a field comes from column {}, the header has {}", least_cells_, header_cells_)};
    }
    return {};
}

bool DelimitedDecoder::read_member(std::size_t index, std::uint32_t row, DelimitedScratch& scratch) const {
    const DelimitedMember& member = members_[index];
    RowWriter::Target& target = scratch.writer.target(index);
    const auto put = [&](auto value) { target.put(row, value); };
    std::string_view text;
    if (member.constant) {
        // A batch may outlive the decoder: what it points to is its own.
        text = scratch.writer.arena().copy(*member.constant);
    } else if (member.cell != kNoCell) {
        const Cell& cell = scratch.cells[member.cell];
        text = cell.text;
        if (cell.doubled) {
            char* to = scratch.writer.arena().allocate(text.size());
            text = std::string_view(to, undouble(text, to));
        }
    }
    const RecordField& field = *member.field;
    if (text.empty()) {
        if (field.has_default && !field.zero_is_absent) {
            member.scalar.put_default(field, put);
        } else if (field.field.required) {
            scratch.error = fmt::format("field '{}': is missing", field.field.name);
            return false;
        } else {
            target.put_absent(row);
        }
        return true;
    }
    std::string_view problem;
    if (member.scalar.kind() == TypeKind::timestamp) {
        if (const std::optional<Timestamp> time = member.time.read(text)) {
            put(*time);
            return true;
        }
        scratch.error = fmt::format("field '{}': is no time of the form '{}', or out of range", field.field.name,
                                    member.time.text());
        return false;
    }
    if (is_number(member.scalar.kind())) {
        // JSON's grammar has no leading zeros, machines do.
        const bool negative = text[0] == '-';
        std::string_view digits = text.substr(negative ? 1 : 0);
        while (digits.size() > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9') digits.remove_prefix(1);
        scratch.number.assign(negative ? "-" : "");
        scratch.number += digits;
        problem = member.scalar.read(scratch.number, scratch.writer.arena(), put);
    } else {
        problem = member.scalar.read(text, scratch.writer.arena(), put);
    }
    if (problem.empty()) return true;
    scratch.error = fmt::format("field '{}': {}", field.field.name, problem);
    return false;
}

bool DelimitedDecoder::read_record(std::string_view record, std::uint32_t row, DelimitedScratch& scratch) const {
    scratch.error.clear();
    if (!simdjson::validate_utf8(record.data(), record.size())) {
        scratch.error = "the record is not valid UTF-8";
    } else if (record.find('\0') != std::string_view::npos) {
        scratch.error = "the record holds U+0000";
    } else {
        scratch.error = split(record, delimiter_, quotes_, scratch.cells);
    }
    if (!scratch.error.empty()) return false;
    if (header_cells_ > 0 ? scratch.cells.size() != header_cells_ : scratch.cells.size() < least_cells_) {
        scratch.error =
            fmt::format("the record has {} cells, expected {}{}", scratch.cells.size(),
                        header_cells_ > 0 ? "" : "at least ", header_cells_ > 0 ? header_cells_ : least_cells_);
        return false;
    }
    for (std::size_t i = 0; i < members_.size(); ++i) {
        if (!read_member(i, row, scratch)) return false;
    }
    return true;
}

void DelimitedDecoder::decode(const std::shared_ptr<const MessageBlock>& block, std::size_t first, std::size_t count,
                              Scratch& scratch, BatchAllocator& batches,
                              std::vector<std::unique_ptr<Batch>>& out) const {
    auto& own = static_cast<DelimitedScratch&>(scratch);
    own.writer.begin(block, batches, out);
    for (std::size_t i = first; i < first + count; ++i) {
        const Message& message = block->messages[i];
        const std::string_view record = without_line_end(message.data);
        if (record.empty()) continue;
        const std::uint32_t row = own.writer.open_row(message, 0, message.data);
        if (read_record(record, row, own)) {
            own.writer.accept_row();
        } else {
            own.writer.reject_row(own.error);
        }
    }
    own.writer.finish();
}

}  // namespace

Result<std::vector<std::string>> split_record(std::string_view record, const DelimitedOptions& options) {
    std::vector<Cell> cells;
    const std::string_view problem = split(without_line_end(record), options.delimiter, options.quotes, cells);
    if (!problem.empty()) return Error{"C317", fmt::format("the header is broken: {}", problem)};
    std::vector<std::string> result;
    for (const Cell& cell : cells) {
        std::string text(cell.text);
        if (cell.doubled) text.resize(undouble(cell.text, text.data()));
        result.push_back(std::move(text));
    }
    return result;
}

Result<std::unique_ptr<Decoder>> make_delimited_decoder(std::shared_ptr<const RecordSchema> schema,
                                                        const Layout& layout, const DelimitedOptions& delimited,
                                                        const DecoderOptions& options) {
    auto decoder = std::make_unique<DelimitedDecoder>(std::move(schema), delimited, options);
    if (Status status = decoder->plan(layout, delimited); !status) return status.error();
    return std::unique_ptr<Decoder>(std::move(decoder));
}

}  // namespace takt
