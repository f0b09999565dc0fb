#include "pipeline/journal/crc32c.h"

#include <gtest/gtest.h>

namespace takt {
namespace {

TEST(Crc32c, GivesThePublishedValues) {
    // RFC 3720, appendix B.4.
    std::string rising;
    for (char value = 0; value < 32; ++value) rising += value;
    for (const auto function : {&crc32c, &crc32c_portable}) {
        EXPECT_EQ(function("123456789", 0), 0xe3069283u);
        EXPECT_EQ(function(std::string(32, '\0'), 0), 0x8a9136aau);
        EXPECT_EQ(function(std::string(32, '\xff'), 0), 0x62a8ab43u);
        EXPECT_EQ(function(rising, 0), 0x46dd794eu);
        EXPECT_EQ(function("", 0), 0u);
    }
}

TEST(Crc32c, PartsAddUpAtEveryCutAndAlignment) {
    std::string bytes;
    for (int i = 0; i < 67; ++i) bytes += static_cast<char>(i * 37);
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
        const std::string_view whole = bytes;
        EXPECT_EQ(crc32c(whole.substr(cut), crc32c(whole.substr(0, cut))), crc32c_portable(whole)) << cut;
        EXPECT_EQ(crc32c(whole.substr(cut)), crc32c_portable(whole.substr(cut))) << cut;
    }
}

}  // namespace
}  // namespace takt
