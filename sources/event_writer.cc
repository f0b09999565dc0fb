#include "sources/event_writer.h"

#include <iterator>

#include "pipeline/base/decimal.h"
#include "schemas/event_generated.h"

namespace takt {

struct EventWriter::Builder {
    flatbuffers::FlatBufferBuilder flat{1024};
};

EventWriter::EventWriter() : builder_(std::make_unique<Builder>()) {}
EventWriter::~EventWriter() = default;

void EventWriter::append(const PlantEvent& event, EventEncoding encoding, std::string& bytes) {
    if (encoding == EventEncoding::json) {
        append_json(event, bytes);
    } else {
        append_flatbuffers(event, encoding == EventEncoding::flatbuffers_prefixed, bytes);
    }
}

void EventWriter::append_flatbuffers(const PlantEvent& event, bool prefixed, std::string& bytes) {
    flatbuffers::FlatBufferBuilder& flat = builder_->flat;
    flat.Clear();
    const auto text = [&](std::string_view view) -> flatbuffers::Offset<flatbuffers::String> {
        if (view.empty()) return 0;
        return flat.CreateString(view.data(), view.size());
    };
    const auto event_id = text(event.event_id);
    const auto plant = text(event.plant);
    const auto area = text(event.area);
    const auto work_center = text(event.work_center);
    const auto order_id = text(event.order_id);
    const auto operation = text(event.operation);
    const auto material = text(event.material);
    const auto revision = text(event.revision);
    const auto lot = text(event.lot);
    const auto unit = text(event.unit);
    const auto status = text(event.status);
    const auto reason = text(event.reason);
    const auto operator_id = text(event.operator_id);
    const auto corrects = text(event.corrects);
    EventBuilder to(flat);
    to.add_event_time(event.event_time);
    to.add_recorded_time(event.recorded_time);
    if (event.quantity) to.add_quantity(*event.quantity);
    if (event.value) to.add_value(*event.value);
    to.add_event_id(event_id);
    to.add_plant(plant);
    to.add_area(area);
    to.add_work_center(work_center);
    to.add_order_id(order_id);
    to.add_operation(operation);
    to.add_material(material);
    to.add_revision(revision);
    to.add_lot(lot);
    to.add_unit(unit);
    to.add_status(status);
    to.add_reason(reason);
    to.add_operator_id(operator_id);
    to.add_corrects(corrects);
    to.add_kind(event.kind);
    const auto root = to.Finish();
    if (prefixed) {
        flat.FinishSizePrefixed(root);
    } else {
        flat.Finish(root);
    }
    bytes.append(reinterpret_cast<const char*>(flat.GetBufferPointer()), flat.GetSize());
}

void EventWriter::append_json(const PlantEvent& event, std::string& bytes) {
    const auto out = std::back_inserter(bytes);
    // Names and ids of the simulator need no escapes.
    fmt::format_to(out, R"({{"event_id":"{}","kind":"{}","event_time":"{}","recorded_time":"{}")",
                   std::string_view(event.event_id), EnumNameEventKind(event.kind), format_timestamp(event.event_time),
                   format_timestamp(event.recorded_time));
    const auto text = [&](std::string_view name, std::string_view value) {
        if (!value.empty()) fmt::format_to(out, R"(,"{}":"{}")", name, value);
    };
    text("plant", event.plant);
    text("area", event.area);
    text("work_center", event.work_center);
    text("order_id", event.order_id);
    text("operation", event.operation);
    text("material", event.material);
    text("revision", event.revision);
    text("lot", event.lot);
    if (event.quantity) fmt::format_to(out, R"(,"quantity":{})", format_decimal_shortest(*event.quantity, 6));
    text("unit", event.unit);
    if (event.value) fmt::format_to(out, R"(,"value":{})", *event.value);
    text("status", event.status);
    text("reason", event.reason);
    text("operator_id", event.operator_id);
    text("corrects", event.corrects);
    bytes += '}';
}

}  // namespace takt
