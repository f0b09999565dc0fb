#include "pipeline/batch/batch.h"

namespace takt {

Slot Layout::add(Field field) {
    CHECK(find(field.name) == kNoSlot);
    fields_.push_back(std::move(field));
    return static_cast<Slot>(fields_.size() - 1);
}

Slot Layout::find(std::string_view name) const {
    for (std::size_t i = 0; i < fields_.size(); ++i) {
        if (fields_[i].name == name) return static_cast<Slot>(i);
    }
    return kNoSlot;
}

void Batch::reset(const Layout& layout, std::uint32_t rows_max) {
    rows = 0;
    source = 0;
    columns.resize(layout.size());
    for (std::size_t i = 0; i < columns.size(); ++i) {
        columns[i].set_type(layout.fields()[i].type);
        columns[i].reset(rows_max);
    }
    origin.resize(rows_max);
    event_time.resize(rows_max);
    ingest_time.resize(rows_max);
    outcome.assign(rows_max, kUndecided);
    reject_texts.clear();
    block.reset();
    arena.clear();
}

}  // namespace takt
