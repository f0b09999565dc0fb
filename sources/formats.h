#pragma once

#include <memory>
#include <optional>
#include <string>

#include "pipeline/batch/record_schema.h"
#include "pipeline/config/node.h"
#include "pipeline/config/option_table.h"
#include "pipeline/plan/decoder.h"
#include "sources/decode/decoder_options.h"
#include "sources/decode/delimited_decoder.h"

namespace takt {

/// How the events of a source are written, and what fields they have: the `schema` and `format` of its section.
struct EventFormat {
    enum class Kind : std::uint8_t { flatbuffers, json, delimited };
    Kind kind = Kind::flatbuffers;
    std::shared_ptr<const RecordSchema> schema;  ///< shared with the decoder
    DecoderOptions::Framing framing = DecoderOptions::Framing::automatic;
    DelimitedOptions delimited;  ///< without the text of the header, which stands in the file
    bool header = false;         ///< delimited: the first record of each file names the columns
};

/// Reads both from the section of a source; `fallback` is meant where no `format` is written. Nothing after a mistake.
///
///     schema: schemas/event.bfbs
///     format: json                       # flatbuffers, json, csv, tsv; or with options:
///     format: { flatbuffers: { framing: single } }
///     format: { delimited: { delimiter: ";", header: true, fields: { ... } } }
///
/// `fields` of delimited text say where a field comes from (`column`, by name or by place from 1, or `constant`) and,
/// without a `schema`, its `type`. Codes C330 to C339: docs/reference/config-errors.md; those of the schema (C310 to
/// C312), of time forms (C316) and zones (C410) as well.
std::optional<EventFormat> read_format(const std::string& what, const ConfigNode& section, EventFormat::Kind fallback,
                                       Mistakes& mistakes);

/// A decoder for the columns of the layout. Errors: those of the decoders.
Result<std::shared_ptr<const Decoder>> make_decoder(const EventFormat& format, const Layout& layout,
                                                    std::uint32_t source);

/// What is wrong with the format before any layout is known: nothing when a decoder for every field can be made.
Status check_format(const EventFormat& format);

/// `schema` and `format`, and the options of FlatBuffers, of delimited text and of each of its fields, for `takt list`
/// and the JSON Schema.
OptionDocs format_docs();
OptionDocs flatbuffers_docs();
OptionDocs delimited_docs();
OptionDocs delimited_field_docs();

/// "string", "int", "decimal(6)" as written in `fields`; nothing when there is no such type.
std::optional<Type> parse_column_type(std::string_view text);

}  // namespace takt
