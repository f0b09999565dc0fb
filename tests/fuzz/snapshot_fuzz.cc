// The reader of an engine's saved state: what it takes is written as the same bytes.
#include <cstring>
#include <memory>

#include "pipeline/base/check.h"
#include "pipeline/journal/snapshot_store.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::make_unique<char[]>(size);
    if (size != 0) std::memcpy(bytes.get(), data, size);
    const std::string_view text(bytes.get(), size);
    const auto state = takt::decode_state(text);
    if (!state) return 0;
    const std::string again = takt::encode_state(*state);
    CHECK(takt::decode_state(again).has_value());
    CHECK(takt::encode_state(*takt::decode_state(again)) == again);
    return 0;
}
