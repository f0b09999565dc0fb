#include "pipeline/base/hash.h"

// The functions themselves, so that short inputs, most ids and keys, cost no call into the library.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <charconv>

namespace takt {

std::uint64_t hash64(std::string_view bytes, std::uint64_t seed) {
    return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

Hash128 hash128(std::string_view bytes, std::uint64_t seed) {
    const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed);
    return {hash.low64, hash.high64};
}

std::string to_hex(const Hash128& hash) {
    static constexpr char kNibbles[] = "0123456789abcdef";
    std::string hex(32, '0');
    for (int nibble = 0; nibble < 16; ++nibble) {
        const auto at = static_cast<std::size_t>(15 - nibble);
        hex[at] = kNibbles[hash.high >> (4 * nibble) & 0xf];
        hex[16 + at] = kNibbles[hash.low >> (4 * nibble) & 0xf];
    }
    return hex;
}

std::optional<Hash128> from_hex(std::string_view hex) {
    Hash128 hash;
    if (hex.size() != 32) return std::nullopt;
    const auto parse = [&](std::size_t at, std::uint64_t& half) {
        const char* const end = hex.data() + at + 16;
        const auto [stop, error] = std::from_chars(hex.data() + at, end, half, 16);
        return error == std::errc{} && stop == end;
    };
    if (!parse(0, hash.high) || !parse(16, hash.low)) return std::nullopt;
    return hash;
}

}  // namespace takt
