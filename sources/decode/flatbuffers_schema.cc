#include "sources/decode/flatbuffers_schema.h"

#include <flatbuffers/reflection_generated.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>

namespace takt {
namespace {

constexpr int kMaxStoredScale = 18;  ///< 10^18 fits int64

std::string text(const flatbuffers::String* string) {
    return string == nullptr ? std::string() : string->str();
}

std::string last_part(const std::string& qualified_name) {
    const std::size_t dot = qualified_name.rfind('.');
    return dot == std::string::npos ? qualified_name : qualified_name.substr(dot + 1);
}

/// The verifier takes any number for an enumeration of the schema's schema, the accessors that flatc makes do not.
reflection::BaseType read_base_type(const reflection::Type& type, flatbuffers::voffset_t place) {
    const auto number = reinterpret_cast<const flatbuffers::Table&>(type).GetField<std::int8_t>(place, 0);
    return number >= 0 && number < reflection::MaxBaseType ? static_cast<reflection::BaseType>(number)
                                                           : reflection::None;
}
reflection::BaseType base_type_of(const reflection::Field& field) {
    return read_base_type(*field.type(), reflection::Type::VT_BASE_TYPE);
}
reflection::BaseType element_of(const reflection::Field& field) {
    return read_base_type(*field.type(), reflection::Type::VT_ELEMENT);
}

Storage storage_of(reflection::BaseType type) {
    switch (type) {
        case reflection::Bool:
            return Storage::boolean;
        case reflection::Byte:
            return Storage::int8;
        case reflection::UByte:
            return Storage::uint8;
        case reflection::Short:
            return Storage::int16;
        case reflection::UShort:
            return Storage::uint16;
        case reflection::Int:
            return Storage::int32;
        case reflection::UInt:
            return Storage::uint32;
        case reflection::Long:
            return Storage::int64;
        case reflection::ULong:
            return Storage::uint64;
        case reflection::Float:
            return Storage::float32;
        case reflection::Double:
            return Storage::float64;
        case reflection::String:
            return Storage::string;
        case reflection::Vector:
            return Storage::vector;
        default:
            return Storage::none;
    }
}

bool is_integer(Storage storage) {
    return storage >= Storage::int8 && storage <= Storage::uint64;
}

TypeKind plain_kind(Storage storage) {
    switch (storage) {
        case Storage::boolean:
            return TypeKind::boolean;
        case Storage::int8:
        case Storage::int16:
        case Storage::int32:
        case Storage::int64:
            return TypeKind::int64;
        case Storage::uint8:
        case Storage::uint16:
        case Storage::uint32:
        case Storage::uint64:
            return TypeKind::uint64;
        case Storage::float32:
        case Storage::float64:
            return TypeKind::float64;
        case Storage::string:
            return TypeKind::string;
        default:
            return TypeKind::error;
    }
}

std::optional<std::string> attribute(const reflection::Field& field, const char* name) {
    if (field.attributes() == nullptr) return std::nullopt;
    for (const reflection::KeyValue* pair : *field.attributes()) {
        if (text(pair->key()) == name) return text(pair->value());
    }
    return std::nullopt;
}

/// Reads one schema; enumerations are shared by all fields that have them.
class Reader {
  public:
    Reader(const reflection::Schema& schema, std::string_view name) : schema_(schema), name_(name) {}

    Result<std::shared_ptr<const RecordSchema>> read() {
        const reflection::Object* root = schema_.root_table();
        if (root == nullptr) return Error{"C311", fmt::format("{}: the schema names no root_type", name_)};
        auto result = std::make_shared<RecordSchema>();
        result->name = last_part(text(root->name()));
        std::vector<const reflection::Field*> fields(root->fields()->begin(), root->fields()->end());
        std::sort(fields.begin(), fields.end(), [](const auto* a, const auto* b) { return a->id() < b->id(); });
        for (const reflection::Field* field : fields) {
            if (field->deprecated()) continue;
            if (Status status = read_field(*field, *result); !status) return status.error();
        }
        return std::shared_ptr<const RecordSchema>(std::move(result));
    }

  private:
    Error misfit(const std::string& field, std::string_view what) const {
        return Error{"C312", fmt::format("{}: field '{}': {}", name_, field, what)};
    }

    Status read_field(const reflection::Field& field, RecordSchema& result) {
        RecordField record;
        record.field.name = text(field.name());
        record.field.required = field.required() || attribute(field, "mandatory").has_value();
        record.vtable_offset = field.offset();
        record.storage = storage_of(base_type_of(field));
        record.element = record.storage == Storage::vector ? storage_of(element_of(field)) : Storage::none;
        const Storage scalar = record.storage == Storage::vector ? record.element : record.storage;
        if (scalar == Storage::none || scalar == Storage::vector || is_union_tag(field)) {
            result.notes.push_back(fmt::format("field '{}' is a {}: it is not read", record.field.name, shape(field)));
            return {};
        }
        Result<Type> type = scalar_type(field, record.field.name, scalar);
        if (!type) return type.error();
        if (record.storage != Storage::vector) {
            record.field.type = *type;
        } else if (record.element == Storage::uint8 && type->is(TypeKind::uint64)) {
            record.field.type = Type::of(TypeKind::bytes);
        } else {
            record.field.type = Type::list_of(*type);
        }
        record.has_default = scalar != Storage::string && record.storage != Storage::vector && !field.optional();
        record.default_integer = field.default_integer();
        record.default_real = field.default_real();
        if (record.field.type.is(TypeKind::enumeration)) {
            record.zero_is_absent = record.field.required && record.field.type.enumeration->name_of(0) == "unknown";
            const bool default_is_member = !record.field.type.enumeration->name_of(record.default_integer).empty();
            if (record.has_default && !default_is_member) record.has_default = false;
        }
        result.fields.push_back(std::move(record));
        return {};
    }

    bool is_union_tag(const reflection::Field& field) const {
        const auto is_tag = [](reflection::BaseType type) { return type == reflection::UType; };
        return is_tag(base_type_of(field)) || is_tag(element_of(field));
    }

    std::string_view shape(const reflection::Field& field) const {
        switch (base_type_of(field)) {
            case reflection::Obj:
                return "table or struct";
            case reflection::Union:
                return "union";
            case reflection::UType:
                return "union's tag";
            case reflection::Vector:
                return "vector of tables, structs or unions";
            default:
                return "fixed-length array";
        }
    }

    Result<Type> scalar_type(const reflection::Field& field, const std::string& name, Storage scalar) {
        if (std::optional<std::string> decimal = attribute(field, "decimal")) {
            int scale = -1;
            const char* end = decimal->data() + decimal->size();
            const auto parsed = std::from_chars(decimal->data(), end, scale);
            if (!is_integer(scalar)) return misfit(name, "'decimal' goes with integers only");
            if (parsed.ec != std::errc() || parsed.ptr != end || scale < 0 || scale > kMaxStoredScale) {
                return misfit(
                    name, fmt::format("'decimal' needs a number from 0 to {}, not '{}'", kMaxStoredScale, *decimal));
            }
            return Type::decimal(scale);
        }
        for (const auto& [word, kind] :
             {std::pair{"timestamp", TypeKind::timestamp}, {"duration", TypeKind::duration}}) {
            if (!attribute(field, word)) continue;
            if (scalar != Storage::int64) return misfit(name, fmt::format("'{}' goes with long only", word));
            return Type::of(kind);
        }
        const int enum_index = field.type()->index();
        if (is_integer(scalar) && enum_index >= 0) return enum_type(enum_index, scalar, name);
        return Type::of(plain_kind(scalar));
    }

    Result<Type> enum_type(int index, Storage scalar, const std::string& field) {
        const auto known = enums_.find(index);
        if (known != enums_.end()) return Type::enum_of(known->second);
        if (schema_.enums() == nullptr || static_cast<std::uint32_t>(index) >= schema_.enums()->size()) {
            return misfit(field, "its enum is not in the schema");
        }
        const reflection::Enum& declared = *schema_.enums()->Get(static_cast<std::uint32_t>(index));
        if (declared.attributes() != nullptr) {
            for (const reflection::KeyValue* pair : *declared.attributes()) {
                // A set of flags is no member of the enumeration: it stays a number.
                if (text(pair->key()) == "bit_flags") return Type::of(plain_kind(scalar));
            }
        }
        auto names = std::make_shared<EnumType>();
        names->name = last_part(text(declared.name()));
        for (const reflection::EnumVal* value : *declared.values()) {
            names->values.push_back({text(value->name()), value->value()});
        }
        std::sort(names->values.begin(), names->values.end(),
                  [](const auto& a, const auto& b) { return a.value < b.value; });
        enums_[index] = names;
        return Type::enum_of(std::move(names));
    }

    const reflection::Schema& schema_;
    std::string_view name_;
    std::map<int, std::shared_ptr<const EnumType>> enums_;
};

}  // namespace

Result<std::shared_ptr<const RecordSchema>> parse_bfbs(std::string_view bytes, std::string_view name) {
    // The verifier and accessors want aligned bytes.
    const std::vector<std::uint64_t> aligned = [&] {
        std::vector<std::uint64_t> words((bytes.size() + 7) / 8 + 1);
        if (!bytes.empty()) std::memcpy(words.data(), bytes.data(), bytes.size());
        return words;
    }();
    const auto* start = reinterpret_cast<const std::uint8_t*>(aligned.data());
    flatbuffers::Verifier verifier(start, bytes.size());
    if (bytes.size() < 8 || !reflection::SchemaBufferHasIdentifier(start) ||
        !reflection::VerifySchemaBuffer(verifier)) {
        return Error{"C311",
                     fmt::format("{} is no binary FlatBuffers schema; make one with `flatc --binary --schema`", name)};
    }
    return Reader(*reflection::GetSchema(start), name).read();
}

Result<std::shared_ptr<const RecordSchema>> load_bfbs(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return Error{"C310", fmt::format("cannot read schema '{}': {}", path, std::strerror(errno))};
    const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (file.bad()) return Error{"C310", fmt::format("cannot read schema '{}'", path)};
    return parse_bfbs(bytes, path);
}

}  // namespace takt
