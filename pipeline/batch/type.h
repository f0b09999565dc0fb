#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace takt {

enum class TypeKind : std::uint8_t {
    boolean,      ///< uint8_t, 0 or 1
    int64,        ///< int64_t
    uint64,       ///< uint64_t
    float64,      ///< double; may never enter a posting
    decimal,      ///< Int128 units at the type's scale
    timestamp,    ///< int64_t nanoseconds since 1970
    duration,     ///< int64_t nanoseconds
    string,       ///< std::string_view, UTF-8
    bytes,        ///< std::string_view
    enumeration,  ///< int64_t, a value of the type's EnumType
    list,         ///< ListSpan into a child column of scalars
    null,         ///< nothing but null; CEL's `null`
    error,        ///< the type of what could not be typed; never reaches a batch
};

/// The names of an enumeration, as the schema gives them. Compared with strings by name in expressions.
struct EnumType {
    struct Value {
        std::string name;
        std::int64_t value;
        bool operator==(const Value&) const = default;
    };
    std::string name;
    std::vector<Value> values;  ///< ascending by value

    bool operator==(const EnumType&) const = default;

    /// The name of a value, empty when there is none.
    std::string_view name_of(std::int64_t value) const;
    const Value* find(std::string_view name) const;
};

/// The static type of a column or expression. A value type; cheap to copy.
struct Type {
    TypeKind kind = TypeKind::null;
    std::uint8_t scale = 0;                            ///< decimal only: digits after the point
    TypeKind element = TypeKind::null;                 ///< list only: the kind of its elements (a scalar)
    std::shared_ptr<const EnumType> enumeration = {};  ///< enumeration only; shared by all columns of one schema

    static Type of(TypeKind kind) { return Type{.kind = kind}; }
    static Type decimal(int scale) {
        return Type{.kind = TypeKind::decimal, .scale = static_cast<std::uint8_t>(scale)};
    }
    static Type list_of(Type element_type) {
        return Type{.kind = TypeKind::list,
                    .scale = element_type.scale,
                    .element = element_type.kind,
                    .enumeration = element_type.enumeration};
    }
    static Type enum_of(std::shared_ptr<const EnumType> names) {
        return Type{.kind = TypeKind::enumeration, .enumeration = std::move(names)};
    }
    Type element_type() const { return Type{.kind = element, .scale = scale, .enumeration = enumeration}; }
    bool is(TypeKind other) const { return kind == other; }
    /// Enumerations are the same when their names are: each source reads its schema by itself.
    bool operator==(const Type& other) const {
        return kind == other.kind && scale == other.scale && element == other.element &&
               (enumeration == other.enumeration ||
                (enumeration != nullptr && other.enumeration != nullptr && *enumeration == *other.enumeration));
    }
};

/// As people and our config write it: "string", "decimal(6)", "list(int)", "enum EventKind".
std::string to_string(const Type& type);

/// Bytes of one value in a column.
std::size_t value_size_bytes(TypeKind kind);

/// One name and type of a row.
struct Field {
    std::string name;
    Type type;
    bool required = false;  ///< a row without it is malformed
};

}  // namespace takt
