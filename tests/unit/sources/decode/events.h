#pragma once

#include <flatbuffers/flatbuffers.h>

#include <optional>
#include <string>

#include "schemas/event_generated.h"

namespace takt {

/// What an event of the built-in schema says; empty strings and nothing are not written.
struct EventFields {
    std::string event_id = "e-1";
    EventKind kind = EventKind::produced;
    std::optional<std::int64_t> event_time = 1'000'000'000;
    std::optional<std::int64_t> recorded_time = {};
    std::string plant = "P100";
    std::string order_id = "1000001";
    std::string material = "FG-PUMP";
    std::string lot = "L-2026-05-12";
    std::optional<std::int64_t> quantity = 1'500'000;
    std::string unit = "pcs";
    std::optional<double> value = {};
    std::string area = {}, work_center = {}, operation = {}, revision = {}, status = {}, reason = {}, operator_id = {},
                corrects = {};
};

/// The message that the generated code makes of it.
inline std::string event_message(const EventFields& event, bool size_prefixed = false) {
    flatbuffers::FlatBufferBuilder builder;
    const auto text = [&](const std::string& value) {
        return value.empty() ? flatbuffers::Offset<flatbuffers::String>() : builder.CreateString(value);
    };
    const auto optional = [](const auto& value) {
        using Value = typename std::decay_t<decltype(value)>::value_type;
        return value ? flatbuffers::Optional<Value>(*value) : flatbuffers::Optional<Value>();
    };
    const auto made = CreateEvent(
        builder, text(event.event_id), event.kind, optional(event.event_time), optional(event.recorded_time),
        text(event.plant), text(event.area), text(event.work_center), text(event.order_id), text(event.operation),
        text(event.material), text(event.revision), text(event.lot), optional(event.quantity), text(event.unit),
        optional(event.value), text(event.status), text(event.reason), text(event.operator_id), text(event.corrects));
    if (size_prefixed) {
        builder.FinishSizePrefixed(made);
    } else {
        builder.Finish(made);
    }
    return std::string(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
}

}  // namespace takt
