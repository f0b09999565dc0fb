#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pipeline/base/int128.h"

namespace takt {

// XXH3 with fixed seeds. Hashes of keys are part of the on-disk format: they never change.

struct Hash128 {
    std::uint64_t low = 0;
    std::uint64_t high = 0;

    bool operator==(const Hash128&) const = default;
    /// Multiset hash: the sum modulo 2^128 of the members' hashes (RELIABILITY: catches a swap that plain counts miss).
    Hash128& operator+=(const Hash128& other) {
        const std::uint64_t before = low;
        low += other.low;
        high += other.high + (low < before ? 1 : 0);
        return *this;
    }
};

std::uint64_t hash64(std::string_view bytes, std::uint64_t seed = 0);
Hash128 hash128(std::string_view bytes, std::uint64_t seed = 0);

/// Lower-case hex, 32 digits, most significant first.
std::string to_hex(const Hash128& hash);
/// And back, also from upper-case digits; nothing where the text is anything but 32 of them.
std::optional<Hash128> from_hex(std::string_view hex);

/// Key groups are the unit of ownership, snapshots and rescaling; their number is fixed for life.
constexpr std::uint32_t kKeyGroups = 128;
inline std::uint32_t key_group(std::uint64_t key_hash) {
    return static_cast<std::uint32_t>(key_hash >> 57);
}
/// The lane that owns a key group, and a key, when there are `lanes` lanes.
inline std::uint32_t lane_of_group(std::uint32_t group, std::uint32_t lanes) {
    return group * lanes / kKeyGroups;
}
inline std::uint32_t lane_of(std::uint64_t key_hash, std::uint32_t lanes) {
    return lane_of_group(key_group(key_hash), lanes);
}

}  // namespace takt
