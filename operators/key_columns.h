#pragma once

#include <span>
#include <string>
#include <vector>

#include "pipeline/base/hash.h"
#include "pipeline/batch/batch.h"
#include "pipeline/plan/posting.h"

namespace takt {

/// One column of a key.
struct KeyColumn {
    std::string name;
    Slot slot = kNoSlot;
    Type type;
};

// The encoding of keys is part of the on-disk format (docs/formats/keys.md): per column, strings and bytes as a 32-bit
// little-endian length and the bytes, everything else as its value's bytes. An absent value is its type's default.

/// Whether a column of this type can be part of a key: all but double and lists.
bool can_be_key(const Type& type);

/// Writes for each row the encoded key (in `arena`) into `keys` and its hash into `hashes`, by row.
void encode_keys(const Batch& batch, const Selection& rows, std::span<const KeyColumn> columns, Arena& arena,
                 std::string_view* keys, std::uint64_t* hashes);

/// "material string, plant string": what decides the bytes of keys.
std::string key_definition(std::span<const KeyColumn> columns);

/// The columns of an encoded key as text.
std::vector<Posting::KeyField> decode_key(std::string_view key, std::span<const KeyColumn> columns);

/// Value `column` of an encoded key, without its name.
std::string key_value_text(std::string_view key, std::span<const KeyColumn> columns, std::size_t column);

/// The encoded key of one row.
std::string encode_key(const Batch& batch, Row row, std::span<const KeyColumn> columns);

/// The value of a column that can be part of a key, as text; empty where it is absent.
std::string value_text(const Batch& batch, Row row, const KeyColumn& column);

/// 128-bit hash of each row's id: of the text alone when the id is one string, else of the encoded key.
void hash_ids(const Batch& batch, const Selection& rows, std::span<const KeyColumn> columns, Arena& arena,
              Hash128* hashes);

/// 64-bit hash of the decoded values of each row, by row: equal values hash equally however they were written.
void hash_content(const Batch& batch, const Selection& rows, std::span<const KeyColumn> columns, std::uint64_t* hashes);

}  // namespace takt
