#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace takt {

static_assert(std::endian::native == std::endian::little, "messages are read as they lie in memory");

/// An unaligned load.
template <typename T>
inline T load(const char* from) {
    T value;
    std::memcpy(&value, from, sizeof(T));
    return value;
}

/// Not 0 when one of the 8 bytes is 0 or not ASCII. May flag a byte above a 0 too; never misses one.
inline std::uint64_t suspicious(std::uint64_t bytes) {
    return ((bytes - 0x0101010101010101u) | bytes) & 0x8080808080808080u;
}

enum class TextFault : std::uint8_t { none, not_utf8, zero };

/// The whole answer for text with a suspicious byte: valid UTF-8 without U+0000?
TextFault examine_text(const char* text, std::size_t size);

/// Valid UTF-8 without U+0000? Reads the text only, except that for less than 8 bytes it also reads the 8 - size bytes
/// before `text`: the caller must own them (in a FlatBuffers message the length and the root offset lie there).
inline TextFault check_text_after_header(const char* text, std::size_t size) {
    if (size < 8) {
        const std::uint64_t last = load<std::uint64_t>(text + size - 8);
        // The bytes before the text become 0x7f; shifting by 64 (size 0) is the caller's to avoid.
        const std::uint64_t before = ~std::uint64_t{0} >> (8 * size);
        const std::uint64_t bytes = (last & ~before) | (before & 0x7f7f7f7f7f7f7f7fu);
        return suspicious(bytes) == 0 ? TextFault::none : examine_text(text, size);
    }
    std::uint64_t found = suspicious(load<std::uint64_t>(text)) | suspicious(load<std::uint64_t>(text + size - 8));
    for (std::size_t at = 8; at + 8 < size; at += 8) found |= suspicious(load<std::uint64_t>(text + at));
    return found == 0 ? TextFault::none : examine_text(text, size);
}

}  // namespace takt
