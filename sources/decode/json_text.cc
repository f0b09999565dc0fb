#include "sources/decode/json_text.h"

#include <bit>
#include <cstring>

#include "sources/decode/text.h"

namespace takt::json {
namespace {

constexpr std::uint64_t kOnes = 0x0101010101010101u;
constexpr std::uint64_t kHighs = 0x8080808080808080u;

/// High bits of the bytes that are a quote, a backslash or below 0x20. Bits above the lowest one set may be wrong.
inline std::uint64_t find_special(std::uint64_t bytes) {
    const std::uint64_t quote = bytes ^ (kOnes * '"');
    const std::uint64_t backslash = bytes ^ (kOnes * '\\');
    const std::uint64_t is_quote = (quote - kOnes) & ~quote;
    const std::uint64_t is_backslash = (backslash - kOnes) & ~backslash;
    const std::uint64_t is_control = (bytes - kOnes * 0x20) & ~bytes;
    return (is_quote | is_backslash | is_control) & kHighs;
}

inline const char* find_special(const char* at, const char* end) {
    while (end - at >= 8) {
        const std::uint64_t found = find_special(load<std::uint64_t>(at));
        if (found != 0) return at + std::countr_zero(found) / 8;
        at += 8;
    }
    while (at != end && *at != '"' && *at != '\\' && static_cast<unsigned char>(*at) >= 0x20) ++at;
    return at;
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// Behind the escape whose backslash is at `at`.
const char* scan_escape(const char* at, const char* end) {
    if (end - at < 2) return nullptr;
    if (at[1] != 'u') return std::memchr("\"\\/bfnrt", at[1], 8) != nullptr ? at + 2 : nullptr;
    if (end - at < 6) return nullptr;
    for (int i = 2; i < 6; ++i) {
        if (hex_digit(at[i]) < 0) return nullptr;
    }
    return at + 6;
}

std::uint32_t code_unit(const char* digits) {
    std::uint32_t unit = 0;
    for (int i = 0; i < 4; ++i) unit = unit * 16 + static_cast<std::uint32_t>(hex_digit(digits[i]));
    return unit;
}

char* put_utf8(std::uint32_t point, char* to) {
    const auto put = [&to](std::uint32_t byte) { *to++ = static_cast<char>(byte); };
    if (point < 0x80) {
        put(point);
    } else if (point < 0x800) {
        put(0xc0 | point >> 6);
        put(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        put(0xe0 | point >> 12);
        put(0x80 | (point >> 6 & 0x3f));
        put(0x80 | (point & 0x3f));
    } else {
        put(0xf0 | point >> 18);
        put(0x80 | (point >> 12 & 0x3f));
        put(0x80 | (point >> 6 & 0x3f));
        put(0x80 | (point & 0x3f));
    }
    return to;
}

char simple_escape(char letter) {
    switch (letter) {
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        default:
            return letter;
    }
}

const char* scan_word(const char* at, const char* end, std::string_view word) {
    if (static_cast<std::size_t>(end - at) < word.size() || std::memcmp(at, word.data(), word.size()) != 0)
        return nullptr;
    return at + word.size();
}

const char* scan_scalar(const char* at, const char* end) {
    if (at == end) return nullptr;
    switch (*at) {
        case '"':
            return scan_string(at + 1, end).after;
        case 't':
            return scan_word(at, end, "true");
        case 'f':
            return scan_word(at, end, "false");
        case 'n':
            return scan_word(at, end, "null");
        default:
            return scan_number(at, end);
    }
}

/// Behind a member's key and colon, at its value.
const char* scan_key(const char* at, const char* end) {
    if (at == end || *at != '"') return nullptr;
    at = scan_string(at + 1, end).after;
    if (at == nullptr) return nullptr;
    at = skip_blanks(at, end);
    if (at == end || *at != ':') return nullptr;
    return skip_blanks(at + 1, end);
}

}  // namespace

ScannedString scan_string(const char* at, const char* end) {
    ScannedString result;
    const char* const begin = at;
    while (true) {
        at = find_special(at, end);
        if (at == end) return {};
        if (*at == '"') break;
        if (*at != '\\') return {};
        result.escaped = true;
        at = scan_escape(at, end);
        if (at == nullptr) return {};
    }
    result.raw = {begin, static_cast<std::size_t>(at - begin)};
    result.after = at + 1;
    return result;
}

Unescaped unescape(std::string_view raw, char* to, std::size_t& size) {
    Unescaped found = Unescaped::text;
    const auto note = [&found](Unescaped oddity) {
        if (found == Unescaped::text) found = oddity;
    };
    char* const begin = to;
    const char* at = raw.data();
    const char* const end = at + raw.size();
    while (at != end) {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        if (at[1] != 'u') {
            *to++ = simple_escape(at[1]);
            at += 2;
            continue;
        }
        std::uint32_t point = code_unit(at + 2);
        at += 6;
        if (point == 0) note(Unescaped::zero);
        if (point >= 0xd800 && point < 0xe000) {
            const bool pair = point < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' &&
                              code_unit(at + 2) >= 0xdc00 && code_unit(at + 2) < 0xe000;
            if (pair) {
                point = 0x10000 + ((point - 0xd800) << 10) + (code_unit(at + 2) - 0xdc00);
                at += 6;
            } else {
                note(Unescaped::lone_surrogate);
            }
        }
        to = put_utf8(point, to);
    }
    size = static_cast<std::size_t>(to - begin);
    return found;
}

const char* scan_number(const char* at, const char* end) {
    const auto digits = [&at, end] {
        const char* const begin = at;
        while (at != end && is_digit(*at)) ++at;
        return at != begin;
    };
    if (at != end && *at == '-') ++at;
    if (at == end) return nullptr;
    if (*at == '0') {
        ++at;
    } else if (!digits()) {
        return nullptr;
    }
    if (at != end && *at == '.') {
        ++at;
        if (!digits()) return nullptr;
    }
    if (at != end && (*at == 'e' || *at == 'E')) {
        ++at;
        if (at != end && (*at == '+' || *at == '-')) ++at;
        if (!digits()) return nullptr;
    }
    return at;
}

const char* skip_value(const char* at, const char* end, std::vector<char>& open) {
    open.clear();
    while (true) {
        // At a value.
        if (at == end) return nullptr;
        if (*at == '{' || *at == '[') {
            const char closing = *at == '{' ? '}' : ']';
            at = skip_blanks(at + 1, end);
            if (at == end) return nullptr;
            if (*at != closing) {
                open.push_back(closing);
                if (closing == '}') at = scan_key(at, end);
                if (at == nullptr) return nullptr;
                continue;
            }
            ++at;
        } else {
            at = scan_scalar(at, end);
            if (at == nullptr) return nullptr;
        }
        // Behind a value: close what it ends, up to the next value.
        while (true) {
            if (open.empty()) return at;
            at = skip_blanks(at, end);
            if (at == end) return nullptr;
            if (*at == open.back()) {
                open.pop_back();
                ++at;
                continue;
            }
            if (*at != ',') return nullptr;
            at = skip_blanks(at + 1, end);
            if (open.back() == '}') at = scan_key(at, end);
            if (at == nullptr) return nullptr;
            break;
        }
    }
}

std::string_view kind_of(const char* at, const char* end) {
    if (at == end) return "nothing";
    switch (*at) {
        case '"':
            return "a string";
        case '{':
            return "an object";
        case '[':
            return "a list";
        case 't':
        case 'f':
            return "a boolean";
        case 'n':
            return "null";
        default:
            return *at == '-' || is_digit(*at) ? "a number" : "no JSON value";
    }
}

bool decode_base64(std::string_view text, std::string& to) {
    constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    to.clear();
    if (text.size() % 4 != 0) return false;
    for (std::size_t at = 0; at < text.size(); at += 4) {
        std::uint32_t bits = 0;
        std::size_t padding = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            const char c = text[at + i];
            const std::size_t digit = kAlphabet.find(c);
            if (c == '=' && i >= 2 && at + 4 == text.size()) {
                ++padding;
            } else if (digit == std::string_view::npos || padding > 0) {
                return false;
            }
            bits = bits << 6 | (c == '=' ? 0u : static_cast<std::uint32_t>(digit));
        }
        for (std::size_t i = 0; i < 3 - padding; ++i) to.push_back(static_cast<char>(bits >> (16 - 8 * i) & 0xff));
    }
    return true;
}

}  // namespace takt::json
