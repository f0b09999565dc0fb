#include "pipeline/expression/values.h"

#include "pipeline/expression/utf8.h"

namespace takt::expression {
namespace {

std::partial_ordering order_number(const Column& a, std::size_t a_row, const Column& b, std::size_t b_row) {
    const auto against = [&](auto left) -> std::partial_ordering {
        switch (b.type().kind) {
            case TypeKind::int64:
                return order(left, b.values<std::int64_t>()[b_row]);
            case TypeKind::uint64:
                return order(left, b.values<std::uint64_t>()[b_row]);
            default:
                return order(left, b.values<double>()[b_row]);
        }
    };
    switch (a.type().kind) {
        case TypeKind::int64:
            return against(a.values<std::int64_t>()[a_row]);
        case TypeKind::uint64:
            return against(a.values<std::uint64_t>()[a_row]);
        default:
            return against(a.values<double>()[a_row]);
    }
}

}  // namespace

// As CEL's reference implementations have it: out of the integer's range the double decides, inside it the integer
// becomes a double.
std::partial_ordering order(double a, std::int64_t b) {
    if (a < -9223372036854775808.0) return std::partial_ordering::less;
    if (a > 9223372036854775808.0) return std::partial_ordering::greater;
    return a <=> static_cast<double>(b);
}

std::partial_ordering order(double a, std::uint64_t b) {
    if (a < 0) return std::partial_ordering::less;
    if (a > 18446744073709551616.0) return std::partial_ordering::greater;
    return a <=> static_cast<double>(b);
}

bool equal_values(const Column& a, std::size_t a_row, const Column& b, std::size_t b_row) {
    const TypeKind left = a.type().kind;
    const TypeKind right = b.type().kind;
    if (is_number(left) && is_number(right)) return order_number(a, a_row, b, b_row) == 0;
    if (left != right) return false;
    switch (left) {
        case TypeKind::boolean:
            return a.values<std::uint8_t>()[a_row] == b.values<std::uint8_t>()[b_row];
        case TypeKind::decimal:
            return compare({a.values<Int128>()[a_row], a.type().scale}, {b.values<Int128>()[b_row], b.type().scale}) ==
                   0;
        case TypeKind::string:
        case TypeKind::bytes:
            return a.values<std::string_view>()[a_row] == b.values<std::string_view>()[b_row];
        case TypeKind::timestamp:
        case TypeKind::duration:
        case TypeKind::enumeration:
            return a.values<std::int64_t>()[a_row] == b.values<std::int64_t>()[b_row];
        case TypeKind::null:
            return true;
        default:
            return false;
    }
}

bool is_valid_utf8(std::string_view text) {
    std::size_t at = 0;
    while (at < text.size()) {
        const auto lead = static_cast<unsigned char>(text[at]);
        if (lead < 0x80) {
            ++at;
            continue;
        }
        const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
        if (size == 0 || lead > 0xF4 || at + size > text.size()) return false;
        std::uint32_t value = lead & (size == 2 ? 0x1Fu : size == 3 ? 0x0Fu : 0x07u);
        for (std::size_t i = 1; i < size; ++i) {
            const auto next = static_cast<unsigned char>(text[at + i]);
            if ((next & 0xC0) != 0x80) return false;
            value = (value << 6) | (next & 0x3Fu);
        }
        const bool shortest = size == 2 || (size == 3 && value >= 0x800) || (size == 4 && value >= 0x10000);
        if (!shortest || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return false;
        at += size;
    }
    return true;
}

}  // namespace takt::expression
