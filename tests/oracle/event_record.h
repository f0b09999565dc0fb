// Events of a file of FlatBuffers records (u32 length, then the table of schemas/event.fbs), read by hand: nothing here
// knows flatc's code, and nothing is read outside a record.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace oracle {

constexpr std::array<std::string_view, 18> kKinds = {
    "unknown",        "reading",        "machine_state",  "cycle",        "produced",       "scrapped",
    "consumed",       "returned",       "machine_time",   "labor_time",   "energy",         "lot_status",
    "quality_result", "nonconformance", "order_released", "order_closed", "shipment_ready", "revision_released"};

/// Field numbers of the schema.
enum Field : unsigned {
    kEventId,
    kKind,
    kEventTime,
    kRecordedTime,
    kPlant,
    kArea,
    kWorkCenter,
    kOrderId,
    kOperation,
    kMaterial,
    kRevision,
    kLot,
    kQuantity,
    kUnit,
    kValue,
    kStatus,
    kReason,
    kOperatorId,
    kCorrects,
    kFields
};

/// What a record says; texts point into it, an absent text is empty.
struct Event {
    std::array<std::string_view, kFields> text;
    std::string_view kind;
    std::int64_t event_time = 0;
    std::optional<std::int64_t> recorded_time, quantity;
};

inline bool valid_text(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(at < text.size() ? text[at] : 0); };
        const unsigned lead = byte(i);
        if (lead == 0) return false;
        if (lead < 0x80) {
            ++i;
            continue;
        }
        const unsigned length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
        unsigned point = lead & (0x7Fu >> length);
        for (unsigned k = 1; k < length; ++k) {
            if ((byte(i + k) & 0xC0u) != 0x80) return false;
            point = point << 6 | (byte(i + k) & 0x3Fu);
        }
        constexpr std::array<unsigned, 5> kLowest = {0, 0, 0x80, 0x800, 0x10000};
        if (lead < 0xC0 || lead > 0xF4 || point < kLowest[length] || point > 0x10FFFF ||
            (point >= 0xD800 && point < 0xE000))
            return false;
        i += length;
    }
    return true;
}

/// The event of a record, or nothing where it is malformed.
inline std::optional<Event> read_event(std::string_view record) {
    bool inside = true;
    const auto read = [&]<typename T>(std::int64_t at, T) {
        T value{};
        if (at < 0 || static_cast<std::uint64_t>(at) + sizeof(T) > record.size()) {
            inside = false;
        } else {
            std::memcpy(&value, record.data() + at, sizeof(T));
        }
        return value;
    };
    const std::int64_t table = read(0, std::uint32_t{});
    const std::int64_t vtable = table - read(table, std::int32_t{});
    const std::int64_t vtable_bytes = read(vtable, std::uint16_t{});
    Event event;
    bool timed = false;
    for (unsigned field = 0; field < kFields && inside; ++field) {
        const std::int64_t slot = 4 + 2 * static_cast<std::int64_t>(field);
        const std::int64_t offset = slot + 2 <= vtable_bytes ? read(vtable + slot, std::uint16_t{}) : 0;
        if (offset == 0 || field == kValue) continue;
        const std::int64_t at = table + offset;
        if (field == kKind) {
            const unsigned kind = read(at, std::uint8_t{});
            if (kind >= kKinds.size()) return std::nullopt;
            if (kind != 0) event.kind = kKinds[kind];
        } else if (field == kEventTime) {
            event.event_time = read(at, std::int64_t{});
            timed = true;
        } else if (field == kRecordedTime) {
            event.recorded_time = read(at, std::int64_t{});
        } else if (field == kQuantity) {
            event.quantity = read(at, std::int64_t{});
        } else {
            const std::int64_t start = at + read(at, std::uint32_t{});
            const std::uint64_t length = read(start, std::uint32_t{});
            if (!inside || static_cast<std::uint64_t>(start) + 4 + length > record.size()) return std::nullopt;
            event.text[field] = record.substr(static_cast<std::size_t>(start) + 4, length);
            if (!valid_text(event.text[field])) return std::nullopt;
        }
    }
    if (!inside || !timed || event.kind.empty() || event.text[kEventId].empty()) return std::nullopt;
    return event;
}

}  // namespace oracle
