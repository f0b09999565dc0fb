#include "pipeline/config/node.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/config/text_lines.h"

namespace takt {

const ConfigNode::Entry* ConfigNode::find_entry(std::string_view key) const {
    for (const Entry& entry : entries) {
        if (entry.key == key) return &entry;
    }
    return nullptr;
}

const ConfigNode* ConfigNode::find(std::string_view key) const {
    const Entry* entry = find_entry(key);
    return entry == nullptr ? nullptr : &entry->value;
}

std::string ConfigNode::written() const {
    switch (kind) {
        case Kind::null:
            return "nothing";
        case Kind::sequence:
            return "a list";
        case Kind::mapping:
            return "a mapping";
        case Kind::scalar:
            break;
    }
    std::string_view shown = scalar;
    if (from_environment && place.file != nullptr) {
        shown = std::string_view(place.file->text).substr(text_offset, text_end - text_offset);
    }
    constexpr std::size_t kShown = 60;
    const std::size_t line_end = std::min(shown.find('\n'), shown.size());
    if (line_end == shown.size() && shown.size() <= kShown) return fmt::format("'{}'", shown);
    std::size_t cut = std::min(line_end, kShown);
    while (cut > 0 && cut < shown.size() && (static_cast<unsigned char>(shown[cut]) & 0xC0u) == 0x80u) --cut;
    return fmt::format("'{}…'", shown.substr(0, cut));
}

Place ConfigNode::place_of(std::size_t offset, std::size_t length) const {
    if (kind != Kind::scalar || place.file == nullptr) return place;
    const auto source_of = [this](std::size_t i) -> std::size_t {
        if (i >= scalar.size()) return text_end;
        return offsets.empty() ? text_offset + i : offsets[i];
    };
    const std::size_t begin = source_of(offset);
    std::size_t end = begin;
    if (length != 0 && offset < scalar.size()) {
        // Up to where the next byte comes from: so an escape or a ${...} is underlined as a whole.
        const std::size_t last = std::min(length, scalar.size() - offset) + offset - 1;
        std::size_t next = last + 1;
        while (next < scalar.size() && source_of(next) == source_of(last)) ++next;
        end = std::max(source_of(next), begin + 1);
        const std::string_view text = place.file->text;
        const auto blank = [&](char c) { return c == ' ' || c == '\t' || c == '\n'; };
        while (!blank(scalar[last]) && end > begin + 1 && end <= text.size() && blank(text[end - 1])) --end;
    }
    return TextLines(place.file).place(begin, end);
}

}  // namespace takt
