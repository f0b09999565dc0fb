#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/batch/record_schema.h"
#include "pipeline/plan/decoder.h"
#include "sources/decode/decoder_options.h"
#include "sources/decode/time_pattern.h"

namespace takt {

/// Where one field of the schema comes from: exactly one of `column`, `index`, `constant`.
struct DelimitedColumn {
    std::string field;
    std::string column = {};                   ///< its name in the header
    std::size_t index = 0;                     ///< its place, from 1
    std::optional<std::string> constant = {};  ///< the same text in every row
    TimeForm time = {};                        ///< of timestamp fields
};

struct DelimitedOptions {
    char delimiter = ',';
    /// RFC 4180: a cell that begins with '"' ends at its closing one, "" is one quote. Off: quotes are text like any
    /// other.
    bool quotes = true;
    /// The file's first record. Without one, columns are named by index only, and records may differ in length.
    std::optional<std::string> header = {};
    std::vector<DelimitedColumn> columns =
        {};  ///< a field that is not here comes from the header's column of its own name
};

/// The cells of one record, unquoted. For who checks a header before the file is read. C317 when its quotes are broken.
Result<std::vector<std::string>> split_record(std::string_view record, const DelimitedOptions& options);

/// Reads messages that are one record of a CSV or TSV file each; a line break at its end does not count, an empty
/// record is no row.
///
/// An empty cell is absent. Numbers as in JSON, but leading zeros may stand there ("0071"); decimals exactly as
/// written; enumerations by name; booleans true, false, 1, 0; durations "1h30m"; bytes base64. A record is valid UTF-8
/// without U+0000 and has as many cells as the header. As in JSON, every field that has a column is checked, whether
/// the layout has it or not. Errors: C313 a column of the layout has another type than the schema's field of that name;
/// C315 a field whose column is not there, or that no column can hold; C317 a broken header.
Result<std::unique_ptr<Decoder>> make_delimited_decoder(std::shared_ptr<const RecordSchema> schema,
                                                        const Layout& layout, const DelimitedOptions& delimited,
                                                        const DecoderOptions& options);

}  // namespace takt
