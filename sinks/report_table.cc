#include "sinks/report_table.h"

#include "pipeline/state/csv.h"
#include "sinks/posting_json.h"

namespace takt {
namespace {

/// For a terminal: nothing that moves its cursor.
std::string printable(std::string text) {
    for (char& c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
    return text;
}

std::size_t width_of(std::string_view text) {
    std::size_t width = 0;
    for (const char c : text) width += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    return width;
}

/// Digits after the point, the point too.
std::size_t fraction_of(std::string_view text) {
    const std::size_t point = text.find('.');
    return point == std::string_view::npos ? 0 : text.size() - point;
}

}  // namespace

std::string ReportTable::text() const {
    std::vector<std::vector<std::string>> cells;
    for (const auto& row : rows) {
        auto& shown = cells.emplace_back();
        for (const std::string& cell : row) shown.push_back(printable(cell));
    }
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        if (columns[i].align == Align::decimal) {
            std::size_t fraction = 0;
            for (const auto& row : cells) fraction = std::max(fraction, fraction_of(row[i]));
            for (auto& row : cells)
                if (!row[i].empty()) row[i].append(fraction - fraction_of(row[i]), ' ');
        }
        std::size_t width = width_of(columns[i].name);
        for (const auto& row : cells) width = std::max(width, width_of(row[i]));
        widths.push_back(width);
    }
    std::string out;
    const auto append_row = [&](const auto& cell_of) {
        std::string line;
        for (std::size_t i = 0; i < columns.size(); ++i) {
            const std::string& cell = cell_of(i);
            const std::string padding(widths[i] - width_of(cell), ' ');
            if (i > 0) line += "  ";
            line += columns[i].align == Align::left ? cell + padding : padding + cell;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + '\n';
    };
    append_row([&](std::size_t i) -> const std::string& { return columns[i].name; });
    std::vector<std::string> rules;
    for (const std::size_t width : widths) rules.emplace_back(width, '-');
    append_row([&](std::size_t i) -> const std::string& { return rules[i]; });
    for (const auto& row : cells) append_row([&](std::size_t i) -> const std::string& { return row[i]; });
    return out;
}

std::string ReportTable::csv() const {
    std::string out;
    const auto append_row = [&](const auto& cell_of) {
        for (std::size_t i = 0; i < columns.size(); ++i) {
            if (i > 0) out += ',';
            append_csv_field(out, cell_of(i));
        }
        out += '\n';
    };
    append_row([&](std::size_t i) -> const std::string& { return columns[i].name; });
    for (const auto& row : rows) append_row([&](std::size_t i) -> const std::string& { return row[i]; });
    return out;
}

std::string ReportTable::json() const {
    std::string out = "[";
    for (std::size_t r = 0; r < rows.size(); ++r) {
        out += r == 0 ? "\n{" : ",\n{";
        bool first = true;
        for (std::size_t i = 0; i < columns.size(); ++i) {
            if (rows[r][i].empty()) continue;
            if (!first) out += ',';
            first = false;
            append_json_string(out, columns[i].name);
            out += ':';
            append_json_string(out, rows[r][i]);
        }
        out += '}';
    }
    return out + (rows.empty() ? "]\n" : "\n]\n");
}

std::string ReportTable::in(std::string_view format) const {
    return format == "csv" ? csv() : format == "json" ? json() : text();
}

}  // namespace takt
