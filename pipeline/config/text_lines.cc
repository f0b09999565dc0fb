#include "pipeline/config/text_lines.h"

#include <algorithm>

namespace takt {
namespace {

/// Length of the UTF-8 character at the front of `text`; 0 when it is none (RFC 3629).
std::size_t character_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    if (first < 0xC2 || first > 0xF4) return 0;
    const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0u) != 0x80u) return 0;
    }
    const unsigned second = byte(1);
    const bool overlong_or_surrogate = (first == 0xE0 && second < 0xA0) || (first == 0xED && second >= 0xA0) ||
                                       (first == 0xF0 && second < 0x90) || (first == 0xF4 && second >= 0x90);
    return overlong_or_surrogate ? 0 : length;
}

}  // namespace

std::size_t count_characters(std::string_view text) {
    std::size_t count = 0;
    while (!text.empty()) {
        text.remove_prefix(std::max<std::size_t>(character_length(text), 1));
        ++count;
    }
    return count;
}

std::size_t find_invalid_utf8(std::string_view text) {
    std::size_t at = 0;
    while (at < text.size()) {
        const std::size_t length = character_length(text.substr(at));
        if (length == 0) return at;
        at += length;
    }
    return at;
}

TextLines::TextLines(std::shared_ptr<const ConfigFile> file) : file_(std::move(file)), starts_{0} {
    for (std::size_t i = 0; i < file_->text.size(); ++i) {
        if (file_->text[i] == '\n') starts_.push_back(static_cast<std::uint32_t>(i + 1));
    }
}

Place TextLines::place(std::size_t begin, std::size_t end) const {
    const std::string_view all = text();
    begin = std::min(begin, all.size());
    if (begin == all.size()) {
        const std::size_t last = all.find_last_not_of(" \t\n");
        begin = last == std::string_view::npos ? 0 : last + 1;
    }
    const auto inside_character = [all](std::size_t at) {
        return at < all.size() && (static_cast<unsigned char>(all[at]) & 0xC0u) == 0x80u;
    };
    while (begin > 0 && inside_character(begin)) --begin;
    while (inside_character(end)) ++end;
    const auto next = std::upper_bound(starts_.begin(), starts_.end(), begin);
    const std::size_t line = static_cast<std::size_t>(next - starts_.begin());
    const std::size_t start = starts_[line - 1];
    const std::size_t line_end = next == starts_.end() ? all.size() : *next - 1;
    end = std::min(std::max(end, begin), std::max(line_end, begin));
    Place place;
    place.file = file_;
    place.line = static_cast<std::uint32_t>(line);
    place.column = static_cast<std::uint32_t>(count_characters(all.substr(start, begin - start)) + 1);
    place.length = static_cast<std::uint32_t>(count_characters(all.substr(begin, end - begin)));
    return place;
}

}  // namespace takt
