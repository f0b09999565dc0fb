#pragma once

#include "pipeline/base/result.h"
#include "pipeline/batch/batch.h"
#include "pipeline/batch/record_schema.h"

namespace takt {

/// The column for a field of the schema: kNoSlot when the layout has none of that name.
/// C313 when it has one of another type.
inline Result<Slot> place_of(const RecordField& field, const Layout& layout) {
    const Slot slot = layout.find(field.field.name);
    if (slot == kNoSlot || layout.field(slot).type == field.field.type) return slot;
    return Error{"C313", "column '" + field.field.name + "' is " + to_string(layout.field(slot).type) +
                             ", but the schema's field of that name is " + to_string(field.field.type)};
}

}  // namespace takt
