// The reader of pipelines: whatever the text, its mistakes can be told.
#include "pipeline/base/check.h"
#include "pipeline/config/node.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    takt::Mistakes mistakes;
    const takt::ConfigNode root =
        takt::parse_config("pipeline.yaml", {reinterpret_cast<const char*>(data), size}, mistakes);
    CHECK(mistakes.render().empty() == mistakes.empty());
    CHECK(!root.written().empty());
    return 0;
}
