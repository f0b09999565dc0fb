#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace takt::expression {

inline void append_utf8(std::uint32_t code_point, std::string& out) {
    const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (code_point < 0x80) {
        put(code_point);
    } else if (code_point < 0x800) {
        put(0xC0 | (code_point >> 6));
        put(0x80 | (code_point & 0x3F));
    } else if (code_point < 0x10000) {
        put(0xE0 | (code_point >> 12));
        put(0x80 | ((code_point >> 6) & 0x3F));
        put(0x80 | (code_point & 0x3F));
    } else {
        put(0xF0 | (code_point >> 18));
        put(0x80 | ((code_point >> 12) & 0x3F));
        put(0x80 | ((code_point >> 6) & 0x3F));
        put(0x80 | (code_point & 0x3F));
    }
}

/// Bytes of the character that begins here; 1 for a byte that begins none.
inline std::size_t character_size(std::string_view text, std::size_t at) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t size = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    return at + size <= text.size() ? size : 1;
}

inline std::int64_t count_characters(std::string_view text) {
    std::int64_t count = 0;
    for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
    return count;
}

/// Byte offset of character `index`; text.size() for the one behind the last; npos beyond.
inline std::size_t offset_of_character(std::string_view text, std::int64_t index) {
    if (index < 0) return std::string_view::npos;
    std::size_t at = 0;
    for (; index > 0; --index) {
        if (at >= text.size()) return std::string_view::npos;
        at += character_size(text, at);
    }
    return at;
}

bool is_valid_utf8(std::string_view text);

}  // namespace takt::expression
