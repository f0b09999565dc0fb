#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/arena.h"
#include "pipeline/base/result.h"

namespace takt {

/// As many of a file are reported at once.
constexpr std::size_t kMaxCsvMistakes = 20;

/// One field of a record, without its quotes, and where it begins.
struct CsvCell {
    std::string_view text;
    std::uint32_t line = 0;    ///< from 1
    std::uint32_t column = 0;  ///< from 1, in UTF-8 characters
};

/// A CSV file by RFC 4180 in UTF-8 with a header line: LF or CRLF ends a record, the last one needs none; a byte order
/// mark at the start is skipped, an empty line is no record. Every record has as many fields as the header. Holds the
/// bytes that its cells point into; movable.
class CsvTable {
  public:
    const std::string& path() const { return path_; }
    const std::vector<std::string>& header() const { return header_; }
    std::size_t rows() const { return header_.empty() ? 0 : cells_.size() / header_.size(); }
    std::span<const CsvCell> row(std::size_t index) const {
        return std::span(cells_).subspan(index * header_.size(), header_.size());
    }
    /// Index of a column; -1 when there is none.
    int find(std::string_view column) const;
    /// "path:line:column", for messages.
    std::string place(const CsvCell& cell) const;

  private:
    friend class CsvReader;
    std::string path_;
    std::unique_ptr<std::string> text_;
    Arena unquoted_;
    std::vector<std::string> header_;
    std::vector<CsvCell> cells_;
};

/// Files beyond this size are refused (F401).
constexpr std::size_t kMaxCsvBytes = std::size_t{1} << 30;

/// Errors: C401 the file cannot be read; D402 it is no such CSV, with every mistake's file:line:column (the first 20);
/// C403 no header, a column without name or twice; F401 larger than kMaxCsvBytes.
Result<CsvTable> read_csv(const std::string& path);
/// The same from memory; `path` for messages.
Result<CsvTable> parse_csv(std::string path, std::string text);

/// Appends a field: quoted where it holds a comma, a quote, CR or LF.
void append_csv_field(std::string& to, std::string_view text);

/// Bytes of the UTF-8 sequence at the start of `text` (RFC 3629: shortest forms, no surrogates); 0 when there is none.
std::size_t utf8_sequence_size(std::string_view text);

}  // namespace takt
