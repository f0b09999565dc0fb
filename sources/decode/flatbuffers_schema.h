#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "pipeline/base/result.h"
#include "pipeline/batch/record_schema.h"

namespace takt {

/// The root table of a binary FlatBuffers schema (`flatc --binary --schema`) as a record type.
///
/// Integers become int or uint, floats double; `bool`, `string`, enums as they are called; `[ubyte]` bytes; other
/// vectors of scalars or strings lists. An enum with `bit_flags` is a number (only `--bfbs-builtins` keeps that word).
/// Attributes: `decimal: n` (0 to 18, integers), `timestamp` and `duration` (long, nanoseconds), `mandatory` as
/// FlatBuffers' own `required`. A scalar with `= null` may be absent.
/// Deprecated fields are left out; tables, structs, unions and arrays are left out with a note.
///
/// Errors: C310 cannot be read; C311 not a binary schema, or one without root_type; C312 an attribute on a type that it
/// does not fit.
Result<std::shared_ptr<const RecordSchema>> load_bfbs(const std::string& path);

/// The same from bytes; `name` stands for them in errors.
Result<std::shared_ptr<const RecordSchema>> parse_bfbs(std::string_view bytes, std::string_view name);

}  // namespace takt
