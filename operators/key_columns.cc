#include "operators/key_columns.h"

#include <fmt/format.h>

#include <cstring>

namespace takt {
namespace {

bool is_text(TypeKind kind) {
    return kind == TypeKind::string || kind == TypeKind::bytes;
}

/// Folds a 64-bit value into a hash (the multiply-fold of wyhash and XXH3).
std::uint64_t fold(std::uint64_t hash, std::uint64_t value) {
    const UInt128 product =
        static_cast<UInt128>(hash ^ 0x9E3779B97F4A7C15u) * static_cast<UInt128>(value ^ 0xE7037ED1A0B428DBu);
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::size_t encoded_size(const Batch& batch, Row row, const KeyColumn& column) {
    if (!is_text(column.type.kind)) return value_size_bytes(column.type.kind);
    return sizeof(std::uint32_t) + batch.column(column.slot).values<std::string_view>()[row].size();
}

char* encode_value(const Batch& batch, Row row, const KeyColumn& column, char* to) {
    if (is_text(column.type.kind)) {
        const std::string_view text = batch.column(column.slot).values<std::string_view>()[row];
        const auto size = static_cast<std::uint32_t>(text.size());
        std::memcpy(to, &size, sizeof size);
        if (size != 0) std::memcpy(to + sizeof size, text.data(), size);
        return to + sizeof size + size;
    }
    const std::size_t size = value_size_bytes(column.type.kind);
    std::memcpy(to, batch.column(column.slot).values<char>() + row * size, size);
    return to + size;
}

template <typename T>
T read(const char*& from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    from += sizeof value;
    return value;
}

std::string decode_value(const char*& from, const Type& type) {
    switch (type.kind) {
        case TypeKind::string:
        case TypeKind::bytes: {
            const auto size = read<std::uint32_t>(from);
            std::string text(from, size);
            from += size;
            return text;
        }
        case TypeKind::boolean:
            return read<std::uint8_t>(from) != 0 ? "true" : "false";
        case TypeKind::uint64:
            return fmt::format("{}", read<std::uint64_t>(from));
        case TypeKind::int64:
            return fmt::format("{}", read<std::int64_t>(from));
        case TypeKind::timestamp:
            return format_timestamp(read<Timestamp>(from));
        case TypeKind::duration:
            return format_duration(read<Duration>(from));
        case TypeKind::enumeration:
            return std::string(type.enumeration->name_of(read<std::int64_t>(from)));
        case TypeKind::decimal:
            return format_decimal_shortest(read<Int128>(from), type.scale);
        case TypeKind::float64:
        case TypeKind::list:
        case TypeKind::null:
        case TypeKind::error:
            break;
    }
    check_failed("a column that cannot be part of a key", __FILE__, __LINE__);
}

}  // namespace

bool can_be_key(const Type& type) {
    return !type.is(TypeKind::float64) && !type.is(TypeKind::list) && !type.is(TypeKind::null) &&
           !type.is(TypeKind::error);
}

void encode_keys(const Batch& batch, const Selection& rows, std::span<const KeyColumn> columns, Arena& arena,
                 std::string_view* keys, std::uint64_t* hashes) {
    for (const Row row : rows) {
        std::size_t size = 0;
        for (const KeyColumn& column : columns) size += encoded_size(batch, row, column);
        char* const begin = arena.allocate(size);
        char* to = begin;
        for (const KeyColumn& column : columns) to = encode_value(batch, row, column, to);
        keys[row] = {begin, size};
        hashes[row] = hash64(keys[row]);
    }
}

std::string key_definition(std::span<const KeyColumn> columns) {
    std::string text;
    for (const KeyColumn& column : columns)
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", column.name, to_string(column.type));
    return text;
}

std::vector<Posting::KeyField> decode_key(std::string_view key, std::span<const KeyColumn> columns) {
    std::vector<Posting::KeyField> fields;
    fields.reserve(columns.size());
    const char* from = key.data();
    for (const KeyColumn& column : columns) fields.push_back({column.name, decode_value(from, column.type)});
    return fields;
}

std::string key_value_text(std::string_view key, std::span<const KeyColumn> columns, std::size_t wanted) {
    const char* from = key.data();
    for (std::size_t i = 0;; ++i) {
        std::string text = decode_value(from, columns[i].type);
        if (i == wanted) return text;
    }
}

std::string encode_key(const Batch& batch, Row row, std::span<const KeyColumn> columns) {
    std::size_t size = 0;
    for (const KeyColumn& column : columns) size += encoded_size(batch, row, column);
    std::string key(size, '\0');
    char* to = key.data();
    for (const KeyColumn& column : columns) to = encode_value(batch, row, column, to);
    return key;
}

std::string value_text(const Batch& batch, Row row, const KeyColumn& column) {
    if (!batch.column(column.slot).valid().test(row)) return {};
    return key_value_text(encode_key(batch, row, std::span(&column, 1)), std::span(&column, 1), 0);
}

void hash_ids(const Batch& batch, const Selection& rows, std::span<const KeyColumn> columns, Arena& arena,
              Hash128* hashes) {
    if (columns.size() == 1 && is_text(columns[0].type.kind)) {
        const std::string_view* ids = batch.column(columns[0].slot).values<std::string_view>();
        for (const Row row : rows) hashes[row] = hash128(ids[row]);
        return;
    }
    for (const Row row : rows) {
        std::size_t size = 0;
        for (const KeyColumn& column : columns) size += encoded_size(batch, row, column);
        char* const begin = arena.allocate(size);
        char* to = begin;
        for (const KeyColumn& column : columns) to = encode_value(batch, row, column, to);
        hashes[row] = hash128({begin, size});
    }
}

void hash_content(const Batch& batch, const Selection& rows, std::span<const KeyColumn> columns,
                  std::uint64_t* hashes) {
    for (const Row row : rows) hashes[row] = 0;
    for (const KeyColumn& key : columns) {
        const Column& column = batch.column(key.slot);
        if (is_text(key.type.kind)) {
            const std::string_view* texts = column.values<std::string_view>();
            for (const Row row : rows) hashes[row] = hash64(texts[row], hashes[row] + 1);
            continue;
        }
        const std::size_t size = value_size_bytes(key.type.kind);
        if (size == sizeof(std::uint64_t)) {
            const std::uint64_t* values = column.values<std::uint64_t>();
            for (const Row row : rows) hashes[row] = fold(hashes[row], values[row]);
        } else if (size == sizeof(Int128)) {
            const Int128* values = column.values<Int128>();
            for (const Row row : rows) {
                const Int128 value = values[row];
                hashes[row] =
                    fold(fold(hashes[row], static_cast<std::uint64_t>(value)), static_cast<std::uint64_t>(value >> 64));
            }
        } else {
            const std::uint8_t* values = column.values<std::uint8_t>();
            for (const Row row : rows) hashes[row] = fold(hashes[row], values[row]);
        }
        // An absent value differs from its default only where the schema can tell them apart.
        for (const Row row : rows) {
            if (!column.valid().test(row)) hashes[row] = fold(hashes[row], 0x5bd1e995u);
        }
    }
}

}  // namespace takt
