#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/batch/type.h"

namespace takt {

/// How a value lies in a FlatBuffers message.
enum class Storage : std::uint8_t {
    none,  ///< the field is in no FlatBuffers message
    boolean,
    int8,
    uint8,
    int16,
    uint16,
    int32,
    uint32,
    int64,
    uint64,
    float32,
    float64,
    string,
    vector,  ///< of RecordField::element
};

/// Bytes of a scalar; 4 (the offset) for strings and vectors.
std::uint32_t storage_size_bytes(Storage storage);
/// "ushort", "string": the word of the FlatBuffers schema language.
std::string_view to_string(Storage storage);
/// The least and greatest value of an integer storage; int64's for all others, and uint64's maximum is cut to int64's.
std::int64_t storage_minimum(Storage storage);
std::int64_t storage_maximum(Storage storage);

/// One field of a record: what the engine sees of it, and what decoders need.
struct RecordField {
    Field field;
    Storage storage = Storage::none;
    Storage element = Storage::none;   ///< of vectors
    std::uint16_t vtable_offset = 0;   ///< bytes from the vtable's start, 4 + 2 * id; 0: in no FlatBuffers message
    bool has_default = false;          ///< a scalar without `= null`: where it is not written, it has the default
    std::int64_t default_integer = 0;  ///< of integers, booleans and enumerations, as stored
    double default_real = 0;
    /// A required enumeration whose 0 is named `unknown`: that value says that the field is not there.
    bool zero_is_absent = false;
};

/// A record type as the engine sees it: fields in the order of the schema, names unique. Immutable once it is shared.
struct RecordSchema {
    std::string name;
    std::vector<RecordField> fields;
    std::vector<std::string> notes;  ///< fields that cannot be columns, and why; for `takt check`

    /// Null when there is none.
    const RecordField* find(std::string_view field_name) const;
};

/// A schema without any FlatBuffers form, for files whose columns are declared in the config. Names must be unique
/// (CHECK).
RecordSchema make_schema(std::vector<Field> fields, std::string name = "record");

/// One way in which a new version of a schema breaks what was written with the old one.
struct SchemaBreak {
    std::string code;  ///< C320 type, C321 id, C322 field removed, C323 new required field, C324 enumeration
    std::string field;
    std::string message;
};

/// What `fresh` breaks of the contract that `old` made: a type, scale or default changed, an id used again, a required
/// field removed or made required, an enumeration's value renumbered or removed. Added fields and added enumeration
/// values are fine. In the order of old's fields, then fresh's.
std::vector<SchemaBreak> check_evolution(const RecordSchema& old, const RecordSchema& fresh);

}  // namespace takt
