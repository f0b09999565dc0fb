#include "pipeline/config/mistakes.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "pipeline/config/text_lines.h"

namespace takt {
namespace {

constexpr std::size_t kShownCharacters = 120;

/// Byte offset of character `index` of `line`, or its end.
std::size_t character_offset(std::string_view line, std::size_t index) {
    std::size_t at = 0;
    for (; index > 0 && at < line.size(); --index) {
        ++at;
        while (at < line.size() && (static_cast<unsigned char>(line[at]) & 0xC0u) == 0x80u) ++at;
    }
    return at;
}

std::string_view line_of(const ConfigFile& file, std::uint32_t line) {
    std::string_view text = file.text;
    for (std::uint32_t i = 1; i < line; ++i) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos) return {};
        text.remove_prefix(end + 1);
    }
    return text.substr(0, text.find('\n'));
}

/// Puts a star for each character of [begin, end).
void hide(std::string& line, std::size_t begin, std::size_t end) {
    line.replace(begin, end - begin, std::string(count_characters(line.substr(begin, end - begin)), '*'));
}

/// The password of `scheme://user:password@host`, as far as the line's first blank or quote.
void hide_in_urls(std::string& line) {
    for (std::size_t at = line.find("://"); at != std::string::npos; at = line.find("://", at + 3)) {
        const std::size_t begin = at + 3;
        const std::size_t end = std::min(line.find_first_of(" \"',]}", begin), line.size());
        const std::size_t host = line.rfind('@', end);
        if (host != std::string::npos && host > begin) hide(line, begin, host);
    }
}

/// The text behind `name:`, unless it says where the secret is.
void hide_values_of(std::string& line, std::string_view name) {
    for (std::size_t at = line.find(name); at != std::string::npos; at = line.find(name, at + 1)) {
        std::size_t begin = at + name.size();
        if (begin < line.size() && (line[begin] == '"' || line[begin] == '\'')) ++begin;
        begin = line.find_first_not_of(' ', begin);
        if (begin == std::string::npos || line[begin] != ':') continue;
        begin = line.find_first_not_of(' ', begin + 1);
        if (begin == std::string::npos || line[begin] == '{') continue;
        const bool quoted = line[begin] == '"' || line[begin] == '\'';
        const char quote = line[begin];
        if (quoted) ++begin;
        if (line.compare(begin, 2, "${") == 0) continue;
        const std::size_t end = quoted ? line.find(quote, begin) : line.find_first_of(",}", begin);
        hide(line, begin, std::min(end, line.size()));
    }
}

/// The line, the caret and the hint below it. A tab is shown as one space, so that the caret stands where it belongs.
std::string show_line(const Mistake& mistake) {
    const Place& place = mistake.place;
    std::string line(line_of(*place.file, place.line));
    std::replace(line.begin(), line.end(), '\t', ' ');
    hide_in_urls(line);
    for (const std::string_view name : {"password", "token", "secret"}) hide_values_of(line, name);
    const std::size_t characters = count_characters(line);
    std::size_t column = std::min<std::size_t>(place.column == 0 ? 0 : place.column - 1, characters);
    std::size_t length = std::max<std::size_t>(1, std::min<std::size_t>(place.length, characters - column));
    if (characters > kShownCharacters) {
        const std::size_t begin =
            column + 20 > kShownCharacters ? std::min(column - 60, characters - kShownCharacters) : 0;
        const std::size_t end = std::min(begin + kShownCharacters, characters);
        std::string cut = begin > 0 ? "…" : "";
        cut += line.substr(character_offset(line, begin), character_offset(line, end) - character_offset(line, begin));
        if (end < characters) cut += "…";
        column -= begin - (begin > 0 ? 1 : 0);
        length = std::min(length, count_characters(cut) - std::min(column, count_characters(cut) - 1));
        line = std::move(cut);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    const std::string number = fmt::format("{:>5}", place.line);
    std::string shown = fmt::format("{} |{}{}\n", number, line.empty() ? "" : " ", line);
    shown += fmt::format("{:>{}} | {:>{}}{}", "", number.size(), "", column, std::string(length, '^'));
    if (!mistake.hint.empty()) shown += " " + mistake.hint;
    return shown + "\n";
}

std::string one_line(std::string text) {
    for (char& c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
    }
    return text;
}

}  // namespace

void Mistakes::add(Place place, std::string code, std::string message, std::string hint) {
    keep({std::move(place), std::move(code), one_line(std::move(message)), one_line(std::move(hint)), true});
}

void Mistakes::add_without_line(Place place, std::string code, std::string message, std::string hint) {
    keep({std::move(place), std::move(code), one_line(std::move(message)), one_line(std::move(hint)), false});
}

void Mistakes::keep(Mistake mistake) {
    const auto same = [&](const Mistake& known) {
        return known.place.line == mistake.place.line && known.place.column == mistake.place.column &&
               known.code == mistake.code && known.message == mistake.message &&
               (known.place.file == mistake.place.file ||
                (known.place.file && mistake.place.file && known.place.file->path == mistake.place.file->path));
    };
    if (std::none_of(list_.begin(), list_.end(), same)) list_.push_back(std::move(mistake));
}

std::string Mistakes::render() const {
    std::vector<const Mistake*> sorted;
    for (const Mistake& mistake : list_) sorted.push_back(&mistake);
    const auto key = [](const Mistake& mistake) {
        const Place& place = mistake.place;
        return std::make_tuple(place.file ? place.file->order : 0, place.file ? std::string_view(place.file->path) : "",
                               place.line, place.column);
    };
    std::stable_sort(sorted.begin(), sorted.end(),
                     [&](const Mistake* a, const Mistake* b) { return key(*a) < key(*b); });
    const auto holds_secret = [&](const Place& place) {
        return std::any_of(list_.begin(), list_.end(), [&](const Mistake& other) {
            return !other.show_line && other.place.line == place.line && other.place.file != nullptr &&
                   other.place.file->path == place.file->path;
        });
    };
    std::string text;
    for (const Mistake* mistake : sorted) {
        const Place& place = mistake->place;
        if (place.file != nullptr) text += place.file->path + ":";
        if (place.file != nullptr && place.line != 0) text += fmt::format("{}:{}:", place.line, place.column);
        text += fmt::format("{}error {}: {}\n", text.empty() || text.back() == '\n' ? "" : " ", mistake->code,
                            mistake->message);
        if (place.file != nullptr && place.line != 0 && !holds_secret(place)) {
            text += show_line(*mistake);
        } else if (!mistake->hint.empty()) {
            text += fmt::format("{:>5} | {}\n", "", mistake->hint);
        }
    }
    return text;
}

namespace {

/// Optimal string alignment: inserts, deletes, replacements and swaps of neighbours.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], before_last[j - 2] + 1);
        }
        std::swap(before_last, last);
        std::swap(last, row);
    }
    return last[b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view written, std::span<const std::string> candidates) {
    constexpr std::size_t kLongest = 200;
    if (written.size() > kLongest) return "";
    const std::string* nearest = nullptr;
    std::size_t nearest_distance = 0;
    for (const std::string& candidate : candidates) {
        const std::size_t allowed = std::max(written.size(), candidate.size()) / 3;
        if (candidate == written || candidate.size() > kLongest) continue;
        const std::size_t found = distance(written, candidate);
        if (found <= allowed && (nearest == nullptr || found < nearest_distance)) {
            nearest = &candidate;
            nearest_distance = found;
        }
    }
    return nearest == nullptr ? "" : fmt::format("did you mean '{}'?", *nearest);
}

}  // namespace takt
