// The reader of binary FlatBuffers schemas that users bring.
#include <cstring>
#include <memory>

#include "pipeline/base/check.h"
#include "sources/decode/flatbuffers_schema.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // In a block of exactly its size, so that a byte read behind it is seen.
    const auto bytes = std::make_unique<char[]>(size);
    if (size != 0) std::memcpy(bytes.get(), data, size);
    const auto schema = takt::parse_bfbs({bytes.get(), size}, "user.bfbs");
    if (!schema.ok()) {
        CHECK(schema.error().code == "C311" || schema.error().code == "C312");
        return 0;
    }
    for (const takt::RecordField& field : (*schema)->fields) CHECK((*schema)->find(field.field.name) != nullptr);
    return 0;
}
