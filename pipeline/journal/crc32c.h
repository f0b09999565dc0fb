#pragma once

#include <cstdint>
#include <string_view>

namespace takt {

/// CRC-32C (Castagnoli; RFC 3720 appendix B.4): of "123456789" it is 0xe3069283. `before` is the checksum of the bytes
/// before, so that parts add up: crc32c(b, crc32c(a)) = crc32c(ab). By the processor's own instruction where there is
/// one.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t before = 0);

/// The same on any processor, by table.
std::uint32_t crc32c_portable(std::string_view bytes, std::uint32_t before = 0);

}  // namespace takt
