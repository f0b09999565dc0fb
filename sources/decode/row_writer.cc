#include "sources/decode/row_writer.h"

#include <algorithm>

namespace takt {

RowWriter::RowWriter(std::vector<FieldPlace> fields, const DecoderOptions& options)
    : fields_(std::move(fields)),
      targets_(fields_.size()),
      spare_(fields_.size()),
      lists_(fields_.size()),
      element_sizes_(fields_.size(), 1),
      source_(options.source),
      event_time_slot_(options.event_time) {
    for (std::size_t i = 0; i < fields_.size(); ++i) {
        const Type& type = fields_[i].type;
        targets_[i].value_size = static_cast<std::uint32_t>(value_size_bytes(type.kind));
        if (type.is(TypeKind::list)) element_sizes_[i] = value_size_bytes(type.element);
        spare_[i].set_type(type);
    }
}

void RowWriter::take_batch() {
    hand_over();
    batch_ = batches_->allocate();
    batch_->source = source_;
    batch_->block = block_;
    // A short batch of the allocator's is its right; rows are numbered by Row, so a long one is used only in part.
    capacity_ = static_cast<std::uint32_t>(std::min<std::size_t>(batch_->origin.size(), kBatchRows));
    CHECK(capacity_ > 0);
    row_ = 0;
    for (std::size_t i = 0; i < fields_.size(); ++i) {
        Column* column = &spare_[i];
        if (fields_[i].slot != kNoSlot) {
            column = &batch_->column(fields_[i].slot);
        } else {
            column->reset(capacity_);
        }
        targets_[i].values = column->values<char>();
        targets_[i].valid = column->valid().words();
        std::memset(targets_[i].valid, 0xff, (std::size_t{capacity_} + 63) / 64 * sizeof(std::uint64_t));
        lists_[i].clear();
    }
    if (event_time_slot_ != kNoSlot) {
        const Column& column = batch_->column(event_time_slot_);
        time_column_ = column.values<Timestamp>();
        time_valid_ = column.valid().words();
    }
    origin_ = batch_->origin.data();
    ingest_time_ = batch_->ingest_time.data();
    event_time_ = batch_->event_time.data();
}

void RowWriter::reject_row(std::string_view text) {
    for (Target& target : targets_) target.put_absent(row_);
    event_time_[row_] = ingest_time_[row_];
    batch_->outcome[row_] = kMalformed;
    batch_->reject_texts.push_back({static_cast<Row>(row_), batch_->arena.copy(text)});
    ++row_;
}

void RowWriter::hand_over() {
    if (batch_ == nullptr) return;
    for (std::size_t i = 0; i < fields_.size(); ++i) {
        if (!fields_[i].type.is(TypeKind::list) || fields_[i].slot == kNoSlot) continue;
        Column& column = batch_->column(fields_[i].slot);
        if (column.elements() == nullptr) column.set_elements(std::make_unique<Column>());
        Column& elements = *column.elements();
        const std::uint32_t count = element_count(i);
        elements.set_type(fields_[i].type.element_type());
        elements.reset(count);
        if (count == 0) continue;
        std::memcpy(elements.values<char>(), lists_[i].data(), lists_[i].size());
        std::memset(elements.valid().words(), 0xff, (std::size_t{count} + 63) / 64 * 8);
    }
    batch_->rows = row_;
    out_->push_back(std::move(batch_));
}

void RowWriter::finish() {
    hand_over();
    block_.reset();
    row_ = 0;
    capacity_ = 0;
}

}  // namespace takt
