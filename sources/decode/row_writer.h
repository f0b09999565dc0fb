#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/plan/decoder.h"
#include "sources/decode/decoder_options.h"

namespace takt {

/// Fills batches row by row for a decoder: takes a fresh batch when one is full, keeps origin, times and outcome. One
/// thread owns it. A decoder numbers its fields; field i is written through target(i), whether the layout has a column
/// for it or not.
class RowWriter {
  public:
    /// Where field i of the row being written goes. Moves when `open_row` takes a fresh batch.
    struct Target {
        char* values = nullptr;
        std::uint64_t* valid = nullptr;
        std::uint32_t value_size = 0;

        /// Rows are marked valid from the start, so that the usual case writes one thing.
        template <typename T>
        void put(std::uint32_t row, T value) {
            std::memcpy(values + row * sizeof(T), &value, sizeof(T));
        }
        /// The default value, marked absent.
        void put_absent(std::uint32_t row) {
            std::memset(values + row * std::size_t{value_size}, 0, value_size);
            valid[row >> 6] &= ~(std::uint64_t{1} << (row & 63));
        }
    };

    struct FieldPlace {
        Type type;
        Slot slot = kNoSlot;  ///< kNoSlot: decoded and checked, but kept nowhere
    };

    RowWriter(std::vector<FieldPlace> fields, const DecoderOptions& options);

    void begin(const std::shared_ptr<const MessageBlock>& block, BatchAllocator& batches,
               std::vector<std::unique_ptr<Batch>>& out) {
        block_ = block;
        batches_ = &batches;
        out_ = &out;
    }

    /// The next row, undecided, its columns still unwritten.
    std::uint32_t open_row(const Message& message, std::uint32_t part, std::string_view bytes) {
        if (row_ == capacity_) take_batch();
        Origin& origin = origin_[row_];
        origin.sequence = message.sequence;
        origin.part = part;
        origin.size_bytes = static_cast<std::uint32_t>(bytes.size());
        origin.bytes = bytes.data();
        ingest_time_[row_] = message.ingest_time;
        return row_;
    }
    /// Ends a row whose fields are all written. Its outcome is undecided, as the allocator left it.
    void accept_row() {
        Timestamp time = ingest_time_[row_];
        if (time_column_ != nullptr && ((time_valid_[row_ >> 6] >> (row_ & 63)) & 1) != 0) time = time_column_[row_];
        event_time_[row_] = time;
        ++row_;
    }
    /// Ends the row as malformed: every field absent. The text is copied.
    void reject_row(std::string_view text);
    /// Hands the last batch over. After it, `begin` starts anew.
    void finish();

    Target& target(std::size_t field) { return targets_[field]; }
    Target* targets() { return targets_.data(); }
    /// Lives as long as the batch of the row being written.
    Arena& arena() { return batch_->arena; }

    /// Elements of list field i: append values of the element's storage type, then put the list into the row.
    template <typename T>
    void append_element(std::size_t field, T value) {
        std::vector<char>& bytes = lists_[field];
        const std::size_t at = bytes.size();
        bytes.resize(at + sizeof(T));
        std::memcpy(bytes.data() + at, &value, sizeof(T));
    }
    std::uint32_t element_count(std::size_t field) const {
        return static_cast<std::uint32_t>(lists_[field].size() / element_sizes_[field]);
    }
    /// The elements appended since there were `begin` of them.
    void put_list(std::size_t field, std::uint32_t row, std::uint32_t begin) {
        targets_[field].put(row, ListSpan{begin, element_count(field) - begin});
    }

  private:
    void take_batch();
    void hand_over();

    std::vector<FieldPlace> fields_;
    std::vector<Target> targets_;
    std::vector<Column> spare_;               ///< by field: columns of fields that the layout has no slot for
    std::vector<std::vector<char>> lists_;    ///< by field: elements of the batch's rows so far
    std::vector<std::size_t> element_sizes_;  ///< by field: bytes of one; 1 where there is no list
    std::uint32_t source_;
    Slot event_time_slot_;

    std::shared_ptr<const MessageBlock> block_;  ///< shared: every batch keeps it
    BatchAllocator* batches_ = nullptr;
    std::vector<std::unique_ptr<Batch>>* out_ = nullptr;
    std::unique_ptr<Batch> batch_;
    // Of the batch, hoisted.
    Origin* origin_ = nullptr;
    Timestamp* ingest_time_ = nullptr;
    Timestamp* event_time_ = nullptr;
    const Timestamp* time_column_ = nullptr;
    const std::uint64_t* time_valid_ = nullptr;
    std::uint32_t row_ = 0;
    std::uint32_t capacity_ = 0;
};

}  // namespace takt
