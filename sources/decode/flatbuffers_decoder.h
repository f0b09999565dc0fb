#pragma once

#include <memory>

#include "pipeline/base/result.h"
#include "pipeline/batch/record_schema.h"
#include "pipeline/plan/decoder.h"
#include "sources/decode/decoder_options.h"

namespace takt {

/// Reads FlatBuffers events in one bounds-checked pass over the fields in use: those of the schema that the layout
/// names, and those that are required. Other columns of the layout are left alone. Every offset is checked against the
/// message, nothing needs to be aligned; strings are UTF-8 without U+0000, an empty one is absent. Fields that a newer
/// writer added are not seen, fields that an older one did not know are absent. Errors: C313 a column of the layout has
/// another type than the schema's field of that name; C314 a schema without FlatBuffers form.
Result<std::unique_ptr<Decoder>> make_flatbuffers_decoder(std::shared_ptr<const RecordSchema> schema,
                                                          const Layout& layout, const DecoderOptions& options);

}  // namespace takt
