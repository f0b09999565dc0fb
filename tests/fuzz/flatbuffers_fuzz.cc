// The decoder of FlatBuffers events on one message. corpus/flatbuffers has an event as it is, and two of them each
// after its length.
#include "sources/decode/flatbuffers_decoder.h"
#include "tests/fuzz/decoded_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const takt::Layout layout = takt::layout_of(*takt::event_schema());
    static const auto decoder = takt::make_flatbuffers_decoder(takt::event_schema(), layout, {});
    takt::check_message(**decoder, layout, {reinterpret_cast<const char*>(data), size}, size == 0);
    return 0;
}
