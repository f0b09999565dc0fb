#pragma once

#include <memory>

#include "pipeline/base/result.h"
#include "pipeline/batch/record_schema.h"
#include "pipeline/plan/decoder.h"
#include "sources/decode/decoder_options.h"

namespace takt {

/// Longer lines are malformed.
constexpr std::size_t kMaxJsonBytes = std::size_t{1} << 20;

/// Reads messages that are one JSON object each (RFC 8259, valid UTF-8) into the columns of the layout that the schema
/// names. A message of blanks only is no row.
///
/// By type: string, bytes (base64), timestamp (RFC 3339), duration ("1h30m") and enumerations (by name) are JSON
/// strings; decimals numbers or strings with a number, exact; int, uint, double numbers; bool a boolean; lists are
/// lists of such. `null` and "" are absent; an absent field of a schema with defaults has its default. Every field of
/// the schema is checked, whether the layout has it or not, and may stand there once; others are ignored whatever they
/// hold. Errors: C313 a column of the layout has another type than the schema's field of that name.
Result<std::unique_ptr<Decoder>> make_json_decoder(std::shared_ptr<const RecordSchema> schema, const Layout& layout,
                                                   const DecoderOptions& options);

}  // namespace takt
