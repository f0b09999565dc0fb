#include "sources/decode/scalar_text.h"

#include <charconv>
#include <cstdlib>
#include <string>

#include "pipeline/base/decimal.h"
#include "pipeline/base/time.h"
#include "sources/decode/json_text.h"

namespace takt {

ScalarReader::ScalarReader(Type type, Storage storage, bool zero_is_absent)
    : type_(std::move(type)),
      minimum_(storage_minimum(storage)),
      maximum_(storage_maximum(storage)),
      zero_is_absent_(zero_is_absent),
      single_(storage == Storage::float32) {
    switch (type_.kind) {
        case TypeKind::decimal:
            takes_text_ = takes_number_ = true;
            break;
        case TypeKind::int64:
        case TypeKind::uint64:
        case TypeKind::float64:
            takes_number_ = true;
            break;
        case TypeKind::boolean:
            break;
        default:
            takes_text_ = true;
            break;
    }
    if (!type_.is(TypeKind::enumeration)) return;
    const std::vector<EnumType::Value>& values = type_.enumeration->values;
    for (std::size_t i = 0; i < values.size(); ++i) names_.add(values[i].name, static_cast<std::int32_t>(i));
}

std::string_view ScalarReader::expects() const {
    if (type_.is(TypeKind::boolean)) return "a boolean";
    if (takes_text_ && takes_number_) return "a number or a string";
    return takes_number_ ? "a number" : "a string";
}

std::optional<std::int64_t> ScalarReader::read_integer(std::string_view text) const {
    const std::optional<std::int64_t> units = parse_decimal_int64(text, type_.scale);
    if (!units || *units < minimum_ || *units > maximum_) return std::nullopt;
    return units;
}

std::optional<std::uint64_t> ScalarReader::read_unsigned(std::string_view text) const {
    const std::optional<Decimal> value = parse_decimal(text);
    if (!value) return std::nullopt;
    const std::optional<Int128> units = rescale_exact(value->units, value->scale, 0);
    if (!units || *units < 0 || *units > Int128{UINT64_MAX}) return std::nullopt;
    const auto result = static_cast<std::uint64_t>(*units);
    // A storage below ulong has a maximum that int64 holds.
    if (maximum_ != INT64_MAX && result > static_cast<std::uint64_t>(maximum_)) return std::nullopt;
    return result;
}

std::optional<double> ScalarReader::read_real(std::string_view text) const {
    const char* const end = text.data() + text.size();
    if (json::scan_number(text.data(), end) != end || text.empty()) return std::nullopt;
    double value = 0;
    if (std::from_chars(text.data(), end, value).ec != std::errc()) {
        // Beyond a double's range: the nearest double, which is 0 or infinite.
        value = std::strtod(std::string(text).c_str(), nullptr);
    }
    return single_ ? static_cast<double>(static_cast<float>(value)) : value;
}

std::optional<std::int64_t> ScalarReader::read_timestamp(std::string_view text) {
    return parse_timestamp(text);
}

std::optional<std::int64_t> ScalarReader::read_duration(std::string_view text) {
    return parse_duration(text);
}

std::optional<std::string_view> ScalarReader::read_base64(std::string_view text, Arena& arena) {
    std::string bytes;
    if (!json::decode_base64(text, bytes)) return std::nullopt;
    return arena.copy(bytes);
}

}  // namespace takt
