#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace takt {

/// How the cells of a column stand; decimal: the points below each other.
enum class Align : std::uint8_t { left, right, decimal };

/// A table of texts for people and programs: what `takt ledger` shows.
struct ReportTable {
    struct ColumnHead {
        std::string name;
        Align align = Align::left;
    };
    std::vector<ColumnHead> columns;
    std::vector<std::vector<std::string>> rows;  ///< as many cells as columns; empty: absent

    /// Aligned, with a header and a line below it; widths in characters, line ends and controls shown as '?'. Ends with
    /// a newline.
    std::string text() const;
    /// RFC 4180 with header.
    std::string csv() const;
    /// An array of objects, one a line; every value is a string, absent ones are left out. Ends with a newline.
    std::string json() const;
    /// In the format of that name: "csv", "json"; any other: text.
    std::string in(std::string_view format) const;
};

}  // namespace takt
