#include "pipeline/batch/record_schema.h"

#include <fmt/format.h>

#include <limits>

#include "pipeline/base/check.h"

namespace takt {

std::uint32_t storage_size_bytes(Storage storage) {
    switch (storage) {
        case Storage::none:
            return 0;
        case Storage::boolean:
        case Storage::int8:
        case Storage::uint8:
            return 1;
        case Storage::int16:
        case Storage::uint16:
            return 2;
        case Storage::int32:
        case Storage::uint32:
        case Storage::float32:
        case Storage::string:
        case Storage::vector:
            return 4;
        case Storage::int64:
        case Storage::uint64:
        case Storage::float64:
            return 8;
    }
    return 0;
}

std::string_view to_string(Storage storage) {
    switch (storage) {
        case Storage::none:
            return "none";
        case Storage::boolean:
            return "bool";
        case Storage::int8:
            return "byte";
        case Storage::uint8:
            return "ubyte";
        case Storage::int16:
            return "short";
        case Storage::uint16:
            return "ushort";
        case Storage::int32:
            return "int";
        case Storage::uint32:
            return "uint";
        case Storage::int64:
            return "long";
        case Storage::uint64:
            return "ulong";
        case Storage::float32:
            return "float";
        case Storage::float64:
            return "double";
        case Storage::string:
            return "string";
        case Storage::vector:
            return "vector";
    }
    return "none";
}

std::int64_t storage_minimum(Storage storage) {
    switch (storage) {
        case Storage::boolean:
        case Storage::uint8:
        case Storage::uint16:
        case Storage::uint32:
        case Storage::uint64:
            return 0;
        case Storage::int8:
            return std::numeric_limits<std::int8_t>::min();
        case Storage::int16:
            return std::numeric_limits<std::int16_t>::min();
        case Storage::int32:
            return std::numeric_limits<std::int32_t>::min();
        default:
            return std::numeric_limits<std::int64_t>::min();
    }
}

std::int64_t storage_maximum(Storage storage) {
    switch (storage) {
        case Storage::boolean:
            return 1;
        case Storage::int8:
            return std::numeric_limits<std::int8_t>::max();
        case Storage::uint8:
            return std::numeric_limits<std::uint8_t>::max();
        case Storage::int16:
            return std::numeric_limits<std::int16_t>::max();
        case Storage::uint16:
            return std::numeric_limits<std::uint16_t>::max();
        case Storage::int32:
            return std::numeric_limits<std::int32_t>::max();
        case Storage::uint32:
            return std::numeric_limits<std::uint32_t>::max();
        default:
            return std::numeric_limits<std::int64_t>::max();
    }
}

const RecordField* RecordSchema::find(std::string_view field_name) const {
    for (const RecordField& candidate : fields) {
        if (candidate.field.name == field_name) return &candidate;
    }
    return nullptr;
}

RecordSchema make_schema(std::vector<Field> fields, std::string name) {
    RecordSchema schema;
    schema.name = std::move(name);
    for (Field& field : fields) {
        CHECK(schema.find(field.name) == nullptr);
        RecordField record_field;
        record_field.field = std::move(field);
        schema.fields.push_back(std::move(record_field));
    }
    return schema;
}

namespace {

/// The stored type in the words of the schema language; what must not change between versions.
std::string stored_type(const RecordField& field) {
    const std::string stored = field.storage == Storage::vector ? fmt::format("[{}]", to_string(field.element))
                                                                : std::string(to_string(field.storage));
    const Type& type = field.field.type;
    const TypeKind kind = type.kind == TypeKind::list ? type.element : type.kind;
    if (kind == TypeKind::decimal) return fmt::format("{} (decimal: {})", stored, type.scale);
    if (kind == TypeKind::timestamp) return stored + " (timestamp)";
    if (kind == TypeKind::duration) return stored + " (duration)";
    if (kind == TypeKind::enumeration && type.enumeration) return fmt::format("{} {}", stored, type.enumeration->name);
    if (field.storage == Storage::none) return to_string(type);
    return stored;
}

std::string default_text(const RecordField& field) {
    if (!field.has_default) return "null";
    if (field.storage == Storage::float32 || field.storage == Storage::float64) {
        return fmt::format("{}", field.default_real);
    }
    return fmt::format("{}", field.default_integer);
}

void check_enumeration(const RecordField& old, const RecordField& fresh, std::vector<SchemaBreak>& breaks) {
    const EnumType* before = old.field.type.enumeration.get();
    const EnumType* after = fresh.field.type.enumeration.get();
    if (before == nullptr || after == nullptr) return;
    for (const EnumType::Value& value : before->values) {
        const EnumType::Value* now = after->find(value.name);
        const std::string_view taken = after->name_of(value.value);
        if (now == nullptr && taken.empty()) {
            breaks.push_back(
                {"C324", old.field.name,
                 fmt::format("value '{}' ({}) of enum {} is removed", value.name, value.value, before->name)});
        } else if (now == nullptr) {
            breaks.push_back({"C324", old.field.name,
                              fmt::format("value {} of enum {} was '{}' and is now '{}'", value.value, before->name,
                                          value.name, taken)});
        } else if (now->value != value.value) {
            breaks.push_back({"C324", old.field.name,
                              fmt::format("value '{}' of enum {} was {} and is now {}", value.name, before->name,
                                          value.value, now->value)});
        }
    }
}

void check_field(const RecordField& old, const RecordField& fresh, std::vector<SchemaBreak>& breaks) {
    const std::string& name = old.field.name;
    const std::string before = stored_type(old);
    const std::string after = stored_type(fresh);
    if (before != after) {
        breaks.push_back({"C320", name, fmt::format("type was '{}' and is now '{}'", before, after)});
    } else if (default_text(old) != default_text(fresh)) {
        breaks.push_back(
            {"C320", name,
             fmt::format("default was '{}' and is now '{}': messages that leave it out change their meaning",
                         default_text(old), default_text(fresh))});
    }
    if (old.vtable_offset != fresh.vtable_offset) {
        breaks.push_back(
            {"C321", name,
             fmt::format("id was {} and is now {}", (old.vtable_offset - 4) / 2, (fresh.vtable_offset - 4) / 2)});
    }
    if (old.field.required && !fresh.field.required) {
        breaks.push_back({"C322", name, "was mandatory and no longer is: old readers call such messages malformed"});
    }
    if (!old.field.required && fresh.field.required) {
        breaks.push_back({"C323", name, "is now mandatory: messages without it, good until now, become malformed"});
    }
    if (before == after) check_enumeration(old, fresh, breaks);
}

}  // namespace

std::vector<SchemaBreak> check_evolution(const RecordSchema& old, const RecordSchema& fresh) {
    std::vector<SchemaBreak> breaks;
    for (const RecordField& before : old.fields) {
        const RecordField* after = fresh.find(before.field.name);
        if (after != nullptr) {
            check_field(before, *after, breaks);
            continue;
        }
        if (before.field.required) {
            breaks.push_back({"C322", before.field.name, "is mandatory and was removed"});
        }
        if (before.vtable_offset == 0) continue;
        for (const RecordField& candidate : fresh.fields) {
            if (candidate.vtable_offset == before.vtable_offset && old.find(candidate.field.name) == nullptr) {
                breaks.push_back(
                    {"C321", before.field.name,
                     fmt::format("id {} was '{}' and is used again by '{}'; mark the old field deprecated instead",
                                 (before.vtable_offset - 4) / 2, before.field.name, candidate.field.name)});
            }
        }
    }
    for (const RecordField& added : fresh.fields) {
        if (added.field.required && old.find(added.field.name) == nullptr) {
            breaks.push_back({"C323", added.field.name, "is new and mandatory: every older message lacks it"});
        }
    }
    return breaks;
}

}  // namespace takt
