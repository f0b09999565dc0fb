#include "pipeline/batch/type.h"

#include <fmt/format.h>

#include "pipeline/base/check.h"
#include "pipeline/base/int128.h"
#include "pipeline/batch/column.h"

namespace takt {

std::string_view EnumType::name_of(std::int64_t value) const {
    for (const Value& candidate : values) {
        if (candidate.value == value) return candidate.name;
    }
    return {};
}

const EnumType::Value* EnumType::find(std::string_view wanted) const {
    for (const Value& candidate : values) {
        if (candidate.name == wanted) return &candidate;
    }
    return nullptr;
}

std::string to_string(const Type& type) {
    switch (type.kind) {
        case TypeKind::boolean:
            return "bool";
        case TypeKind::int64:
            return "int";
        case TypeKind::uint64:
            return "uint";
        case TypeKind::float64:
            return "double";
        case TypeKind::decimal:
            return fmt::format("decimal({})", type.scale);
        case TypeKind::timestamp:
            return "timestamp";
        case TypeKind::duration:
            return "duration";
        case TypeKind::string:
            return "string";
        case TypeKind::bytes:
            return "bytes";
        case TypeKind::enumeration:
            return fmt::format("enum {}", type.enumeration ? type.enumeration->name : "");
        case TypeKind::list:
            return fmt::format("list({})", to_string(type.element_type()));
        case TypeKind::null:
            return "null";
        case TypeKind::error:
            return "error";
    }
    check_failed("unknown type", __FILE__, __LINE__);
}

std::size_t value_size_bytes(TypeKind kind) {
    switch (kind) {
        case TypeKind::boolean:
        case TypeKind::null:
            return sizeof(std::uint8_t);
        case TypeKind::int64:
        case TypeKind::uint64:
        case TypeKind::timestamp:
        case TypeKind::duration:
        case TypeKind::enumeration:
            return sizeof(std::int64_t);
        case TypeKind::float64:
            return sizeof(double);
        case TypeKind::decimal:
            return sizeof(Int128);
        case TypeKind::string:
        case TypeKind::bytes:
            return sizeof(std::string_view);
        case TypeKind::list:
            return sizeof(ListSpan);
        case TypeKind::error:
            break;
    }
    check_failed("type without storage", __FILE__, __LINE__);
}

}  // namespace takt
