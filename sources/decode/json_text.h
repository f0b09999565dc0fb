#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace takt {

/// RFC 8259 by the letter, over bytes that are known to be valid UTF-8. Every function takes [at, end) and gives the
/// place behind what it read, or null where the text is none. Nothing is read at or behind `end`.
namespace json {

inline bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

inline const char* skip_blanks(const char* at, const char* end) {
    while (at != end && is_blank(*at)) ++at;
    return at;
}

/// Scans a string from behind its opening quote to behind its closing one; checks its escapes.
struct ScannedString {
    const char* after = nullptr;  ///< null: no string
    std::string_view raw;         ///< between the quotes
    bool escaped = false;         ///< raw has a backslash
};
ScannedString scan_string(const char* at, const char* end);

enum class Unescaped : std::uint8_t {
    text,
    zero,            ///< holds U+0000
    lone_surrogate,  ///< written as its three bytes, which are no UTF-8
};

/// Writes what a scanned raw string means to `to` (raw.size() bytes suffice); `size` is set to the bytes written. The
/// first oddity found is the answer.
Unescaped unescape(std::string_view raw, char* to, std::size_t& size);

/// One number.
const char* scan_number(const char* at, const char* end);

/// One value of any kind. `open` is memory for the brackets not yet closed: nesting is limited by the text only.
const char* skip_value(const char* at, const char* end, std::vector<char>& open);

/// What kind of value begins here, for messages: "a string", "a number", "an object", "nothing".
std::string_view kind_of(const char* at, const char* end);

/// Base64 of RFC 4648 section 4, padded. False where it is not. `to` is replaced.
bool decode_base64(std::string_view text, std::string& to);

}  // namespace json
}  // namespace takt
