#pragma once

#include <compare>
#include <optional>

#include "pipeline/base/decimal.h"
#include "pipeline/batch/column.h"

namespace takt::expression {

/// CEL's order of numbers of different types. Unordered only with NaN.
inline std::partial_ordering order(std::int64_t a, std::int64_t b) {
    return a <=> b;
}
inline std::partial_ordering order(std::uint64_t a, std::uint64_t b) {
    return a <=> b;
}
inline std::partial_ordering order(double a, double b) {
    return a <=> b;
}
inline std::partial_ordering order(std::int64_t a, std::uint64_t b) {
    return a < 0 ? std::partial_ordering::less : static_cast<std::uint64_t>(a) <=> b;
}
inline std::partial_ordering order(std::uint64_t a, std::int64_t b) {
    return 0 <=> order(b, a);
}
std::partial_ordering order(double a, std::int64_t b);
std::partial_ordering order(double a, std::uint64_t b);
inline std::partial_ordering order(std::int64_t a, double b) {
    return 0 <=> order(b, a);
}
inline std::partial_ordering order(std::uint64_t a, double b) {
    return 0 <=> order(b, a);
}

inline bool is_number(TypeKind kind) {
    return kind == TypeKind::int64 || kind == TypeKind::uint64 || kind == TypeKind::float64;
}
inline bool is_text(TypeKind kind) {
    return kind == TypeKind::string || kind == TypeKind::bytes;
}

/// Whether two values are equal as CEL's == has it; values of types that cannot be equal are not. Scalars only.
bool equal_values(const Column& a, std::size_t a_row, const Column& b, std::size_t b_row);

}  // namespace takt::expression
