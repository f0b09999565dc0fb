// The reader of frames on bytes of strangers whose checksums are all right. The first byte of an input says what the
// rest is: a section of that kind, or, from 0x80 on, the whole FlatBuffer of a frame. corpus/frame has each section of
// full_frame(7) of tests/unit/pipeline/journal/sample_frame.h, and that frame.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/check.h"
#include "pipeline/journal/crc32c.h"
#include "pipeline/journal/disk.h"
#include "pipeline/journal/frame.h"
#include "pipeline/journal/frame_sections.h"

namespace takt {
namespace {

void read_section(std::uint8_t kind, std::string_view data) {
    // In a block of exactly its size, so that a byte read behind it is seen; and aligned, as in a frame.
    data.remove_suffix(data.size() % 8);
    const auto words = std::make_unique<std::uint64_t[]>(data.size() / 8);
    std::memcpy(words.get(), data.data(), data.size());
    StoredFrame frame;
    frame.sources.resize(3);
    (void)decode_section(kind, {reinterpret_cast<const char*>(words.get()), data.size()}, frame);
}

void read_frame(std::string_view body) {
    std::string bytes(kFrameHeaderBytes, '\0');
    bytes.append(body);
    bytes.resize((bytes.size() + kSectorBytes - 1) / kSectorBytes * kSectorBytes);
    const auto put = [&](std::size_t at, auto value) { std::memcpy(bytes.data() + at, &value, sizeof value); };
    std::memcpy(bytes.data(), "TAKTFRME", 8);
    put(8, std::uint32_t{1});
    put(12, static_cast<std::uint32_t>(body.size()));
    put(16, std::uint64_t{3});
    put(24, std::uint64_t{7});
    put(48, crc32c(body));
    put(52, count_zero_sectors(std::string_view(bytes)));
    put(60, crc32c(std::string_view(bytes).substr(0, 60)));
    const auto stored = decode_frame(bytes);
    CHECK(stored.ok() || stored.error().code == "F708" || body.empty());
}

}  // namespace
}  // namespace takt

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
    if (data[0] < 0x80) {
        takt::read_section(data[0], rest);
    } else {
        takt::read_frame(rest);
    }
    return 0;
}
