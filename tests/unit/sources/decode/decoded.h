#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/decimal.h"
#include "pipeline/plan/decoder.h"
#include "sources/decode/flatbuffers_decoder.h"
#include "sources/decode/flatbuffers_schema.h"

namespace takt {

inline std::shared_ptr<const RecordSchema> event_schema() {
    static const auto schema = load_bfbs(TAKT_SOURCE_DIR "/schemas/event.bfbs");
    return schema.ok() ? schema.value() : nullptr;
}

/// A layout with the named fields of the schema, all when there are no names.
inline Layout layout_of(const RecordSchema& schema, const std::vector<std::string>& names = {}) {
    Layout layout;
    if (names.empty()) {
        for (const RecordField& field : schema.fields) layout.add(field.field);
    }
    for (const std::string& name : names) layout.add(schema.find(name)->field);
    return layout;
}

class LayoutAllocator final : public BatchAllocator {
  public:
    explicit LayoutAllocator(const Layout& layout) : layout_(layout) {}
    std::unique_ptr<Batch> allocate() override {
        auto batch = std::make_unique<Batch>();
        batch->reset(layout_, kBatchRows);
        return batch;
    }

  private:
    const Layout& layout_;
};

/// Messages of owned bytes, each in an allocation of exactly its size: a read beyond it is AddressSanitizer's to see.
inline std::shared_ptr<const MessageBlock> block_of(const std::vector<std::string>& messages) {
    auto block = std::make_shared<MessageBlock>();
    auto bytes = std::make_shared<std::vector<std::unique_ptr<char[]>>>();
    for (const std::string& message : messages) {
        bytes->push_back(std::make_unique<char[]>(message.size()));
        if (!message.empty()) std::memcpy(bytes->back().get(), message.data(), message.size());
        const std::uint64_t sequence = block->messages.size() + 1;
        block->messages.push_back({{bytes->back().get(), message.size()},
                                   "plant",
                                   sequence,
                                   Timestamp{1000} + static_cast<Timestamp>(sequence)});
        block->size_bytes += message.size();
    }
    block->keep = bytes;
    return block;
}

/// What a decoder makes of messages.
struct Decoded {
    Layout layout;
    std::vector<std::unique_ptr<Batch>> batches;

    std::size_t rows() const {
        std::size_t sum = 0;
        for (const auto& batch : batches) sum += batch->rows;
        return sum;
    }
    struct Place {
        const Batch& batch;
        std::uint32_t row;
    };
    Place place(std::size_t row) const {
        std::size_t at = 0;
        while (row >= batches[at]->rows) row -= batches[at++]->rows;
        return {*batches[at], static_cast<std::uint32_t>(row)};
    }
    bool malformed(std::size_t row) const {
        const Place at = place(row);
        return at.batch.outcome[at.row] == kMalformed;
    }
    std::string reject_text(std::size_t row) const {
        const Place at = place(row);
        for (const RejectText& text : at.batch.reject_texts) {
            if (text.row == at.row) return std::string(text.text);
        }
        return "";
    }
    const Origin& origin(std::size_t row) const {
        const Place at = place(row);
        return at.batch.origin[at.row];
    }
    bool has(std::string_view field, std::size_t row) const {
        const Place at = place(row);
        return at.batch.column(layout.find(field)).valid().test(at.row);
    }
    template <typename T>
    T value(std::string_view field, std::size_t row) const {
        const Place at = place(row);
        return at.batch.column(layout.find(field)).values<T>()[at.row];
    }
    std::string text(std::string_view field, std::size_t row) const {
        return std::string(value<std::string_view>(field, row));
    }
    /// One line with every value of a row, "-" where absent; "malformed" for such a row.
    std::string show(std::size_t row) const;
};

inline std::string show_scalar(const Column& column, std::uint32_t row) {
    switch (column.type().kind) {
        case TypeKind::boolean:
            return column.values<std::uint8_t>()[row] != 0 ? "true" : "false";
        case TypeKind::float64:
            return fmt::format("{}", column.values<double>()[row]);
        case TypeKind::decimal:
            return fmt::format("{}d{}", static_cast<std::int64_t>(column.values<Int128>()[row]), column.type().scale);
        case TypeKind::string:
        case TypeKind::bytes:
            return fmt::format("'{}'", column.values<std::string_view>()[row]);
        case TypeKind::uint64:
            return fmt::format("{}u", column.values<std::uint64_t>()[row]);
        default:
            return fmt::format("{}", column.values<std::int64_t>()[row]);
    }
}

inline std::string Decoded::show(std::size_t row) const {
    if (malformed(row)) return "malformed";
    const Place at = place(row);
    std::string result;
    for (std::size_t i = 0; i < layout.size(); ++i) {
        const Column& column = at.batch.columns[i];
        if (i > 0) result += ' ';
        result += layout.fields()[i].name;
        result += '=';
        if (!column.valid().test(at.row)) {
            result += "-";
        } else if (column.type().is(TypeKind::list)) {
            const ListSpan span = column.values<ListSpan>()[at.row];
            result += "[";
            for (std::uint32_t k = 0; k < span.size; ++k) {
                if (k > 0) result += ',';
                result += show_scalar(*column.elements(), span.begin + k);
            }
            result += "]";
        } else {
            result += show_scalar(column, at.row);
        }
    }
    return result;
}

inline Decoded decode_all(const Decoder& decoder, const Layout& layout,
                          const std::shared_ptr<const MessageBlock>& block) {
    Decoded result;
    result.layout = layout;
    LayoutAllocator allocator(layout);
    const auto scratch = decoder.make_scratch();
    decoder.decode(block, 0, block->messages.size(), *scratch, allocator, result.batches);
    return result;
}

}  // namespace takt
