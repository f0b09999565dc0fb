#include "sources/key_value_rows.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <optional>

#include "sources/decode/json_text.h"

namespace takt {
namespace {

bool stands_for_itself(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '/' ||
           c == '_';
}

/// -1: none. Lower case is none: a key has one spelling.
int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/// A part of a key in plain text; nothing where it is not spelt as we spell it.
std::optional<std::string> plain_text(std::string_view part) {
    std::string text;
    for (std::size_t at = 0; at < part.size(); ++at) {
        if (part[at] != '=') {
            if (!stands_for_itself(part[at])) return std::nullopt;
            text += part[at];
            continue;
        }
        if (at + 2 >= part.size()) return std::nullopt;
        const int high = hex_digit(part[at + 1]);
        const int low = hex_digit(part[at + 2]);
        if (high < 0 || low < 0) return std::nullopt;
        const char c = static_cast<char>(high * 16 + low);
        if (stands_for_itself(c)) return std::nullopt;
        text += c;
        at += 2;
    }
    if (text.empty() || !simdjson::validate_utf8(text.data(), text.size())) return std::nullopt;
    return text;
}

/// A walk over one value. What goes wrong first stands in `error`.
class ValueReader {
  public:
    ValueReader(const TableSpec& spec, const std::vector<std::string>& key, std::string place, std::string_view text)
        : spec_(spec), key_(key), place_(std::move(place)), begin_(text.data()), end_(text.data() + text.size()) {
        for (const std::string& name : spec.key) columns_.push_back({name, TypeKind::string});
        if (!spec.valid_from.empty()) columns_.push_back({spec.valid_from, TypeKind::timestamp});
        for (const Field& field : spec.fields) columns_.push_back({field.name, field.type.kind});
    }

    /// False after a mistake.
    bool read(std::vector<TableUpdate>& rows) {
        if (!simdjson::validate_utf8(begin_, static_cast<std::size_t>(end_ - begin_)))
            return fail("D406", "the value is no UTF-8");
        const char* at = json::skip_blanks(begin_, end_);
        at = at != end_ && *at == '[' ? read_list(at, rows) : read_row(at, rows);
        if (at == nullptr) return false;
        if (json::skip_blanks(at, end_) != end_) return fail("D406", "there is something after the value");
        return differ(rows);
    }

    Error error;

  private:
    struct Column {
        std::string_view name;
        TypeKind kind;
    };

    bool fail(const char* code, std::string_view what) {
        error = {code, fmt::format("{}: {}", place_, what)};
        return false;
    }
    const char* stop(const char* code, std::string_view what) {
        fail(code, what);
        return nullptr;
    }
    const char* broken(const char* at) {
        return stop("D406", fmt::format("the value is no JSON at byte {}", at - begin_ + 1));
    }

    const char* read_list(const char* at, std::vector<TableUpdate>& rows) {
        at = json::skip_blanks(at + 1, end_);
        if (at != end_ && *at == ']') return at + 1;
        while (true) {
            at = read_row(at, rows);
            if (at == nullptr) return nullptr;
            at = json::skip_blanks(at, end_);
            if (at != end_ && *at == ']') return at + 1;
            if (at == end_ || *at != ',') return broken(at);
            at = json::skip_blanks(at + 1, end_);
        }
    }

    const char* read_row(const char* at, std::vector<TableUpdate>& rows) {
        if (at == end_ || *at != '{') {
            return stop("D406",
                        fmt::format("expected a JSON object or a list of such, found {}", json::kind_of(at, end_)));
        }
        seen_.assign(columns_.size(), false);
        TableUpdate row{.key = key_, .place = place_};
        at = json::skip_blanks(at + 1, end_);
        if (at != end_ && *at == '}') {
            ++at;
        } else {
            at = read_members(at, row);
        }
        if (at == nullptr) return nullptr;
        for (std::size_t i = spec_.key.size(); i < columns_.size(); ++i) {
            if (seen_[i]) continue;
            return stop("D404",
                        fmt::format("column '{}' is missing: write null where it has no value", columns_[i].name));
        }
        rows.push_back(std::move(row));
        return at;
    }

    /// From the first member's name to behind the closing bracket.
    const char* read_members(const char* at, TableUpdate& row) {
        while (true) {
            if (at == end_ || *at != '"') return broken(at);
            const json::ScannedString name = json::scan_string(at + 1, end_);
            if (name.after == nullptr) return broken(at);
            const std::optional<std::string> text = unescaped(name);
            if (!text) return nullptr;
            at = json::skip_blanks(name.after, end_);
            if (at == end_ || *at != ':') return broken(at);
            at = read_member(*text, json::skip_blanks(at + 1, end_), row);
            if (at == nullptr) return nullptr;
            at = json::skip_blanks(at, end_);
            if (at != end_ && *at == '}') return at + 1;
            if (at == end_ || *at != ',') return broken(at);
            at = json::skip_blanks(at + 1, end_);
        }
    }

    const char* read_member(const std::string& name, const char* at, TableUpdate& row) {
        const char* after = json::skip_value(at, end_, open_);
        if (after == nullptr) return broken(at);
        const auto known =
            std::find_if(columns_.begin(), columns_.end(), [&](const Column& column) { return column.name == name; });
        if (known == columns_.end()) return after;
        const auto index = static_cast<std::size_t>(known - columns_.begin());
        if (seen_[index]) return stop("D406", fmt::format("'{}' stands twice in one object", name));
        seen_[index] = true;
        std::string text;
        if (!cell_text(*known, at, after, text)) return nullptr;
        return keep(index, std::move(text), row) ? after : nullptr;
    }

    /// The value as a CSV cell would have it; empty: absent.
    bool cell_text(const Column& column, const char* at, const char* after, std::string& text) {
        const std::string_view raw(at, static_cast<std::size_t>(after - at));
        if (raw == "null") return true;
        const bool is_string = *at == '"';
        const bool is_number = *at == '-' || (*at >= '0' && *at <= '9');
        const bool takes_number = column.kind == TypeKind::int64 || column.kind == TypeKind::decimal;
        const bool takes_string = column.kind != TypeKind::boolean;
        if (is_string && takes_string) {
            const std::optional<std::string> plain = unescaped(json::scan_string(at + 1, end_));
            if (plain) text = *plain;
            return plain.has_value();
        }
        if ((is_number && takes_number) || (column.kind == TypeKind::boolean && (raw == "true" || raw == "false"))) {
            text = raw;
            return true;
        }
        return fail("D404", fmt::format("'{}' is {}: expected {}", column.name, json::kind_of(at, end_),
                                        !takes_string  ? "true or false"
                                        : takes_number ? "a number"
                                                       : "a text in quotes"));
    }

    bool keep(std::size_t index, std::string text, TableUpdate& row) {
        const Column& column = columns_[index];
        if (index < spec_.key.size()) {
            if (text == key_[index]) return true;
            return fail("D406",
                        fmt::format("'{}' is '{}', but the entry's key says '{}'", column.name, text, key_[index]));
        }
        if (index == spec_.key.size() && !spec_.valid_from.empty()) {
            row.valid_from = parse_timestamp(text);
            if (row.valid_from) return true;
            return fail("D404", fmt::format("'{}' is '{}': expected a time with zone such as 2026-05-12T06:00:00Z",
                                            column.name, text));
        }
        row.values.emplace_back(column.name, std::move(text));
        return true;
    }

    /// Nothing after a mistake.
    std::optional<std::string> unescaped(const json::ScannedString& scanned) {
        std::string text(scanned.raw);
        if (scanned.escaped) {
            std::size_t size = 0;
            if (json::unescape(scanned.raw, text.data(), size) != json::Unescaped::text) {
                fail("D406", "a text holds U+0000 or half a surrogate pair");
                return std::nullopt;
            }
            text.resize(size);
        }
        return text;
    }

    /// Whether all rows are of different times.
    bool differ(const std::vector<TableUpdate>& rows) {
        if (spec_.valid_from.empty() && rows.size() > 1)
            return fail("D406", fmt::format("{} rows for one key, but the table has no 'valid_from'", rows.size()));
        std::vector<Timestamp> times;
        for (const TableUpdate& row : rows) times.push_back(row.valid_from.value_or(0));
        std::sort(times.begin(), times.end());
        const auto twice = std::adjacent_find(times.begin(), times.end());
        if (twice == times.end()) return true;
        return fail("D406", fmt::format("two rows with '{}' {}", spec_.valid_from, format_timestamp(*twice)));
    }

    const TableSpec& spec_;
    const std::vector<std::string>& key_;
    const std::string place_;
    const char* begin_;
    const char* end_;
    std::vector<Column> columns_;
    std::vector<bool> seen_;
    std::vector<char> open_;
};

}  // namespace

KeyValueRows::KeyValueRows(TableSpec spec, std::string prefix, std::string place)
    : spec_(std::move(spec)), prefix_(std::move(prefix)), place_(std::move(place)) {}

std::string KeyValueRows::entry_key(const std::vector<std::string>& key) const {
    std::string text = prefix_;
    for (std::size_t part = 0; part < key.size(); ++part) {
        if (part > 0) text += '.';
        for (const char c : key[part]) {
            if (stands_for_itself(c)) {
                text += c;
            } else {
                text += fmt::format("={:02X}", static_cast<unsigned char>(c));
            }
        }
    }
    return text;
}

Result<std::vector<std::string>> KeyValueRows::table_key(std::string_view entry_key) const {
    if (!entry_key.starts_with(prefix_)) return Error{"D406", fmt::format("the key does not begin with '{}'", prefix_)};
    std::string_view rest = entry_key.substr(prefix_.size());
    std::vector<std::string> key;
    while (true) {
        const std::size_t dot = rest.find('.');
        std::optional<std::string> part = plain_text(rest.substr(0, dot));
        if (!part) {
            return Error{"D406", fmt::format("part {} of the key, '{}', is not spelt as a key is: letters, digits, - / "
                                             "_ as they are, anything else as = and two upper-case hex digits a byte",
                                             key.size() + 1, rest.substr(0, dot))};
        }
        key.push_back(std::move(*part));
        if (dot == std::string_view::npos) break;
        rest.remove_prefix(dot + 1);
    }
    if (key.size() != spec_.key.size()) {
        return Error{"D406",
                     fmt::format("the key has {} part{} after '{}', but the table's key is [{}]; a dot within a "
                                 "part is written =2E",
                                 key.size(), key.size() == 1 ? "" : "s", prefix_, fmt::join(spec_.key, ", "))};
    }
    return key;
}

Result<std::vector<TableUpdate>> KeyValueRows::read(const TableChange& change) const {
    const bool is_put = change.operation == TableChange::Operation::put;
    const std::string place = fmt::format("{}, key {}, revision {}", place_, change.key, change.revision);
    Result<std::vector<std::string>> key = table_key(change.key);
    if (!key) {
        // What never was a row can go.
        if (!is_put) return std::vector<TableUpdate>{};
        return Error{key.error().code, fmt::format("{}: {}", place, key.error().message)};
    }
    std::vector<TableUpdate> updates;
    updates.push_back({.key = *key, .erase = true, .place = place});
    if (!is_put) return updates;
    std::vector<TableUpdate> rows;
    ValueReader reader(spec_, *key, place, change.value);
    if (!reader.read(rows)) return reader.error;
    std::move(rows.begin(), rows.end(), std::back_inserter(updates));
    return updates;
}

}  // namespace takt
