#include "pipeline/base/hash.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace takt {
namespace {

TEST(Hash, StaysAsItIsOnDisk) {
    // Vectors of XXH3 with seed 0 (xxHash's own sanity checks): the empty input.
    EXPECT_EQ(hash64(""), 0x2D06800538D394C2u);
    EXPECT_EQ(to_hex(hash128("")), "99aa06d3014798d86001c324468d497f");
    EXPECT_NE(hash64("takt", 0), hash64("takt", 1));
    EXPECT_NE(hash128("takt", 0), hash128("takt", 1));
}

TEST(Hash, WritesTheMostSignificantDigitFirst) {
    EXPECT_EQ(to_hex({.low = 0xAB, .high = 1}), "000000000000000100000000000000ab");
}

TEST(Hash, IsReadBackFromItsDigitsAndFromNothingElse) {
    const Hash128 hash = hash128("takt");
    EXPECT_EQ(from_hex(to_hex(hash)), hash);
    EXPECT_EQ(from_hex("0000000000000001000000000000ABCD"), (Hash128{.low = 0xABCD, .high = 1}));
    for (const char* other : {"", "1", "000000000000000100000000000000a", "000000000000000100000000000000abc",
                              "g0000000000000010000000000000abc", "0000000000000001 00000000000000a",
                              "0000000000000001-00000000000000a", "0x000000000000010000000000000abc"})
        EXPECT_EQ(from_hex(other), std::nullopt) << other;
}

TEST(Hash, OfASetDoesNotDependOnTheOrderButOnEachMember) {
    const Hash128 a = hash128("a"), b = hash128("b"), c = hash128("c");
    Hash128 one, other, third;
    for (const Hash128& member : {a, b, c}) one += member;
    for (const Hash128& member : {c, a, b}) other += member;
    for (const Hash128& member : {a, b, b}) third += member;
    EXPECT_EQ(one, other);
    EXPECT_NE(one, third);
}

TEST(Hash, CarriesIntoTheHighHalf) {
    Hash128 sum{~std::uint64_t{0}, 5};
    sum += Hash128{1, 0};
    EXPECT_EQ(sum, (Hash128{0, 6}));
}

TEST(KeyGroup, BelongsToOneLaneAndLanesToNeighbouringGroups) {
    for (const std::uint32_t lanes : {1u, 2u, 3u, 4u, 7u, 128u}) {
        std::uint32_t last = 0;
        std::set<std::uint32_t> used;
        for (std::uint64_t group = 0; group < kKeyGroups; ++group) {
            const std::uint64_t hash = group << 57 | 12345;
            EXPECT_EQ(key_group(hash), group);
            const std::uint32_t lane = lane_of(hash, lanes);
            EXPECT_LT(lane, lanes);
            EXPECT_GE(lane, last);
            last = lane;
            used.insert(lane);
        }
        EXPECT_EQ(used.size(), lanes);
    }
}

}  // namespace
}  // namespace takt
