#include "pipeline/base/hash.h"

#include <fmt/format.h>
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
    return fmt::format("{:016x}{:016x}", hash.high, hash.low);
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
