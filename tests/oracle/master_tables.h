// The master data of a plant and the list of its windows (windows.py), for the batch oracle.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oracle {

[[noreturn]] inline void fail(const std::string& what) {
    std::fprintf(stderr, "batch_oracle: %s\n", what.c_str());
    std::exit(2);
}

/// The rows of a CSV file below its header.
inline std::vector<std::vector<std::string>> read_csv(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail("cannot read " + path);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    std::vector<std::vector<std::string>> rows;
    std::vector<std::string> row(1);
    bool quoted = false;
    for (std::size_t i = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
            row.back() += text[++i];
        } else if (c == '"') {
            quoted = !quoted;
        } else if (quoted) {
            row.back() += c;
        } else if (c == ',') {
            row.emplace_back();
        } else if (c == '\n') {
            rows.push_back(std::exchange(row, std::vector<std::string>(1)));
        } else if (c != '\r') {
            row.back() += c;
        }
    }
    if (row.size() > 1) rows.push_back(row);
    if (!rows.empty()) rows.erase(rows.begin());
    return rows;
}

inline std::int64_t integer(std::string_view text) {
    return std::strtoll(std::string(text).c_str(), nullptr, 10);
}

/// A decimal in plain notation, in millionths.
inline std::int64_t millionths(const std::string& text) {
    const std::size_t point = std::min(text.find('.'), text.size());
    std::string digits = text.substr(0, point) + (point < text.size() ? text.substr(point + 1) : "");
    digits.append(6 - (point < text.size() ? text.size() - point - 1 : 0), '0');
    return integer(digits);
}

inline std::int64_t days_since_1970(std::int64_t year, std::int64_t month, std::int64_t day) {
    // Days before a year that begins in March: a leap day is the last of its year.
    if (month < 3) {
        --year;
        month += 12;
    }
    return 365 * year + year / 4 - year / 100 + year / 400 + (153 * (month - 3) + 2) / 5 + day - 1 - 719468;
}

/// RFC 3339 in nanoseconds since 1970.
inline std::int64_t instant(const std::string& text) {
    const auto part = [&](std::size_t at, std::size_t size) { return integer(text.substr(at, size)); };
    std::int64_t seconds = days_since_1970(part(0, 4), part(5, 2), part(8, 2)) * 86400 + part(11, 2) * 3600 +
                           part(14, 2) * 60 + part(17, 2);
    std::size_t at = 19;
    std::string fraction;
    if (text[at] == '.') {
        while (text[++at] >= '0' && text[at] <= '9') fraction += text[at];
    }
    fraction.resize(9, '0');
    if (text[at] == '+' || text[at] == '-') {
        const std::int64_t offset = part(at + 1, 2) * 3600 + part(at + 4, 2) * 60;
        seconds -= text[at] == '-' ? -offset : offset;
    }
    return seconds * 1'000'000'000 + integer(fraction);
}

using Row = std::vector<std::string>;

/// Rows by key, each from an instant on.
class Versions {
  public:
    void add(const std::string& key, std::int64_t valid_from, Row row) { by_key_[key][valid_from] = std::move(row); }
    /// The row as of an instant, or null.
    const Row* at(std::string_view key, std::int64_t as_of) const {
        const auto found = by_key_.find(key);
        if (found == by_key_.end()) return nullptr;
        const auto after = found->second.upper_bound(as_of);
        return after == found->second.begin() ? nullptr : &std::prev(after)->second;
    }

  private:
    std::map<std::string, std::map<std::int64_t, Row>, std::less<>> by_key_;
};

/// [start, end) in seconds.
struct Window {
    std::int64_t start = 0, end = 0;
    std::string posting_date;
};

struct MasterTables {
    std::map<std::string, Row, std::less<>> plants;  // plant -> its row
    std::map<std::pair<std::string, std::string>, std::pair<std::int64_t, std::int64_t>>
        units;  // -> numerator, denominator
    std::map<std::pair<std::string, std::string>, std::pair<std::string, std::string>> accounts;  // -> debit, credit
    Versions materials, work_centers, tariffs;
    std::map<std::pair<std::string, std::string>, std::vector<Window>> windows;  // (plant, kind) -> sorted by start

    MasterTables(const std::string& folder, const std::string& windows_path) {
        for (Row& row : read_csv(folder + "/plants.csv")) plants[row[0]] = row;
        for (Row& row : read_csv(folder + "/units.csv")) units[{row[0], row[1]}] = {integer(row[2]), integer(row[3])};
        for (Row& row : read_csv(folder + "/accounts.csv")) accounts[{row[0], row[1]}] = {row[2], row[3]};
        for (Row& row : read_csv(folder + "/materials.csv")) materials.add(row[0], instant(row[1]), row);
        for (Row& row : read_csv(folder + "/work_centers.csv")) work_centers.add(row[0], instant(row[1]), row);
        for (Row& row : read_csv(folder + "/tariffs.csv")) tariffs.add(row[0], instant(row[1]), row);
        for (Row& row : read_csv(windows_path)) {
            windows[{row[0], row[1]}].push_back({integer(row[2]), integer(row[3]), row[4]});
        }
        for (auto& [key, list] : windows) {
            std::sort(list.begin(), list.end(), [](const Window& a, const Window& b) { return a.start < b.start; });
        }
    }

    const Window& window(std::string_view plant, const char* kind, std::int64_t second) const {
        const auto list = windows.find({std::string(plant), kind});
        if (list != windows.end()) {
            const auto after = std::upper_bound(list->second.begin(), list->second.end(), second,
                                                [](std::int64_t value, const Window& w) { return value < w.start; });
            if (after != list->second.begin() && second < std::prev(after)->end) return *std::prev(after);
        }
        fail("no " + std::string(kind) + " of plant " + std::string(plant) + " holds the second " +
             std::to_string(second));
    }
};

}  // namespace oracle
