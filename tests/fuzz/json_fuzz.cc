// The decoder of JSON lines on one line.
#include "sources/decode/json_decoder.h"
#include "tests/fuzz/decoded_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const takt::Layout layout = takt::layout_of(*takt::event_schema());
    static const auto decoder = takt::make_json_decoder(takt::event_schema(), layout, {});
    const std::string line(reinterpret_cast<const char*>(data), size);
    takt::check_message(**decoder, layout, line, line.find_first_not_of(" \t\r\n") == std::string::npos);
    return 0;
}
