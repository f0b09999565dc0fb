// The decoder of CSV records: the first line of an input is the file's header, the rest one record.
#include "sources/decode/delimited_decoder.h"
#include "tests/fuzz/decoded_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const takt::Layout layout =
        takt::layout_of(*takt::event_schema(), {"event_id", "kind", "event_time", "quantity", "value"});
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    takt::DelimitedOptions options;
    options.header = text.substr(0, text.find('\n'));
    options.columns = {{.field = "kind", .index = 1}, {.field = "event_id", .constant = "e-1"}};
    for (const takt::RecordField& field : takt::event_schema()->fields) {
        const std::string& name = field.field.name;
        if (name == "kind" || name == "event_id" || layout.find(name) != takt::kNoSlot) continue;
        options.columns.push_back({.field = name, .constant = ""});
    }
    const auto decoder = takt::make_delimited_decoder(takt::event_schema(), layout, options, {});
    if (!decoder.ok()) return 0;
    const std::string record(text.substr(std::min(text.size(), options.header->size() + 1)));
    takt::check_message(**decoder, layout, record, record.find_first_not_of("\r\n") == std::string::npos);
    return 0;
}
