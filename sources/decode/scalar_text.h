#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "pipeline/base/arena.h"
#include "pipeline/base/int128.h"
#include "pipeline/batch/record_schema.h"
#include "sources/decode/name_table.h"

namespace takt {

/// Reads a scalar of one type from text, exactly: decimals and integers count by value ("1e3", "1.50") and never pass
/// through a double. Immutable.
class ScalarReader {
  public:
    /// `zero_is_absent`: see RecordField.
    ScalarReader(Type type, Storage storage, bool zero_is_absent);
    ScalarReader() = default;

    TypeKind kind() const { return type_.kind; }
    bool takes_text() const { return takes_text_; }      ///< as a JSON string
    bool takes_number() const { return takes_number_; }  ///< as a JSON number
    /// "a string", for messages.
    std::string_view expects() const;

    /// Gives the value to `put` in the storage type of `kind()`; text points into `text` or the arena. Else a static
    /// text says why not. Booleans are read as "true" and "false", or "1" and "0".
    template <typename Put>
    std::string_view read(std::string_view text, Arena& arena, Put put) const {
        switch (type_.kind) {
            case TypeKind::string:
                put(text);
                return {};
            case TypeKind::decimal: {
                const std::optional<std::int64_t> units = read_integer(text);
                if (!units) return "is no number, has too many decimals, or is out of range";
                put(Int128{*units});
                return {};
            }
            case TypeKind::int64: {
                const std::optional<std::int64_t> value = read_integer(text);
                if (!value) return "is no integer, or out of range";
                put(*value);
                return {};
            }
            case TypeKind::uint64: {
                const std::optional<std::uint64_t> value = read_unsigned(text);
                if (!value) return "is no integer, or out of range";
                put(*value);
                return {};
            }
            case TypeKind::float64: {
                const std::optional<double> value = read_real(text);
                if (!value) return "is no number";
                put(*value);
                return {};
            }
            case TypeKind::timestamp: {
                const std::optional<std::int64_t> time = read_timestamp(text);
                if (!time) return "is no RFC 3339 time with zone, or out of range";
                put(*time);
                return {};
            }
            case TypeKind::duration: {
                const std::optional<std::int64_t> duration = read_duration(text);
                if (!duration) return "is no duration such as 1h30m";
                put(*duration);
                return {};
            }
            case TypeKind::enumeration: {
                const std::int32_t index = names_.find(text);
                if (index == NameTable::kNone) return "is no name of its enumeration";
                const std::int64_t value = type_.enumeration->values[static_cast<std::size_t>(index)].value;
                if (zero_is_absent_ && value == 0) return "is 'unknown', which says that it is missing";
                put(value);
                return {};
            }
            case TypeKind::boolean: {
                const bool yes = text == "true" || text == "1";
                if (!yes && text != "false" && text != "0") return "is neither true nor false";
                put(static_cast<std::uint8_t>(yes));
                return {};
            }
            case TypeKind::bytes: {
                const std::optional<std::string_view> bytes = read_base64(text, arena);
                if (!bytes) return "is no base64";
                put(*bytes);
                return {};
            }
            default:
                return "has a type that is no scalar";
        }
    }

    /// Gives the field's default to `put` in the storage type of `kind()`.
    template <typename Put>
    void put_default(const RecordField& field, Put put) const {
        switch (type_.kind) {
            case TypeKind::boolean:
                put(static_cast<std::uint8_t>(field.default_integer != 0));
                break;
            case TypeKind::float64:
                put(field.default_real);
                break;
            case TypeKind::decimal:
                put(field.storage == Storage::uint64
                        ? static_cast<Int128>(static_cast<std::uint64_t>(field.default_integer))
                        : Int128{field.default_integer});
                break;
            default:
                put(field.default_integer);
                break;
        }
    }

  private:
    std::optional<std::int64_t> read_integer(
        std::string_view text) const;  ///< at the type's scale, in the storage's range
    std::optional<std::uint64_t> read_unsigned(std::string_view text) const;
    std::optional<double> read_real(std::string_view text) const;
    static std::optional<std::int64_t> read_timestamp(std::string_view text);
    static std::optional<std::int64_t> read_duration(std::string_view text);
    static std::optional<std::string_view> read_base64(std::string_view text, Arena& arena);

    Type type_;
    std::int64_t minimum_ = 0;
    std::int64_t maximum_ = 0;
    bool takes_text_ = false;
    bool takes_number_ = false;
    bool zero_is_absent_ = false;
    bool single_ = false;  ///< the storage is a float
    NameTable names_;      ///< of an enumeration
};

}  // namespace takt
