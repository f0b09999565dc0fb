#include "pipeline/expression/text_format.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "pipeline/base/decimal.h"
#include "pipeline/base/time.h"
#include "pipeline/expression/utf8.h"

namespace takt::expression {
namespace {

using K = TypeKind;

struct Clause {
    std::string before;  ///< text in front of it
    char kind = 0;       ///< 0: none, the text's end
    int precision = 6;
};

std::string magnitude_in_base(std::uint64_t value, unsigned base, bool upper) {
    std::string digits;
    do {
        const unsigned digit = static_cast<unsigned>(value % base);
        digits.insert(digits.begin(), static_cast<char>(digit < 10 ? '0' + digit : (upper ? 'A' : 'a') + digit - 10));
        value /= base;
    } while (value != 0);
    return digits;
}

std::string integer_in_base(const Column& column, std::size_t row, unsigned base, bool upper) {
    if (column.type().is(K::uint64)) return magnitude_in_base(column.values<std::uint64_t>()[row], base, upper);
    const std::int64_t value = column.values<std::int64_t>()[row];
    const auto magnitude = static_cast<std::uint64_t>(value);
    return value < 0 ? fmt::format("-{}", magnitude_in_base(std::uint64_t{0} - magnitude, base, upper))
                     : magnitude_in_base(magnitude, base, upper);
}

std::string real_text(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return {};
}

bool is_integer(K kind) {
    return kind == K::int64 || kind == K::uint64;
}

bool takes(char clause, const Type& type) {
    switch (clause) {
        case 's':
            return !type.is(K::error);
        case 'd':
            return is_integer(type.kind) || type.is(K::float64) || type.is(K::decimal);
        case 'f':
        case 'e':
            return type.is(K::float64) || is_integer(type.kind) || type.is(K::decimal);
        case 'b':
            return is_integer(type.kind) || type.is(K::boolean);
        case 'o':
            return is_integer(type.kind);
        default:
            return is_integer(type.kind) || type.is(K::string) || type.is(K::bytes);
    }
}

std::string as_text(const Column& column, std::size_t row);

std::string list_text(const Column& column, std::size_t row) {
    const ListSpan span = column.values<ListSpan>()[row];
    std::string out = "[";
    for (std::uint32_t i = 0; i < span.size; ++i) {
        if (i > 0) out += ", ";
        out += as_text(*column.elements(), span.begin + i);
    }
    return out + "]";
}

std::string as_text(const Column& column, std::size_t row) {
    switch (column.type().kind) {
        case K::boolean:
            return column.values<std::uint8_t>()[row] != 0 ? "true" : "false";
        case K::int64:
            return fmt::format("{}", column.values<std::int64_t>()[row]);
        case K::uint64:
            return fmt::format("{}", column.values<std::uint64_t>()[row]);
        case K::float64:
            return format_double(column.values<double>()[row]);
        case K::decimal:
            return format_decimal(column.values<Int128>()[row], column.type().scale);
        case K::string:
            return std::string(column.values<std::string_view>()[row]);
        case K::bytes:
            return std::string(column.values<std::string_view>()[row]);
        case K::timestamp:
            return format_timestamp(column.values<std::int64_t>()[row]);
        case K::duration:
            return format_seconds(column.values<std::int64_t>()[row]);
        case K::enumeration:
            return std::string(column.type().enumeration->name_of(column.values<std::int64_t>()[row]));
        case K::list:
            return list_text(column, row);
        case K::null:
            return "null";
        case K::error:
            break;
    }
    return {};
}

std::string as_real(const Clause& clause, const Column& column, std::size_t row) {
    double value = 0;
    switch (column.type().kind) {
        case K::float64:
            value = column.values<double>()[row];
            break;
        case K::int64:
            value = static_cast<double>(column.values<std::int64_t>()[row]);
            break;
        case K::uint64:
            value = static_cast<double>(column.values<std::uint64_t>()[row]);
            break;
        default: {
            // An exact number stays exact where its digits are asked for.
            const auto units = rescale(column.values<Int128>()[row], column.type().scale,
                                       std::min(clause.precision, kMaxDecimalScale));
            if (clause.kind == 'f' && units)
                return format_decimal(*units, std::min(clause.precision, kMaxDecimalScale));
            value = static_cast<double>(column.values<Int128>()[row]) / std::pow(10.0, column.type().scale);
        }
    }
    const std::string special = real_text(value);
    if (!special.empty()) return special;
    return clause.kind == 'f' ? fmt::format("{:.{}f}", value, clause.precision)
                              : fmt::format("{:.{}e}", value, clause.precision);
}

std::string write(const Clause& clause, const Column& column, std::size_t row) {
    const K kind = column.type().kind;
    const bool upper = clause.kind == 'X';
    switch (clause.kind) {
        case 's':
            return as_text(column, row);
        case 'd':
            return as_text(column, row);
        case 'f':
        case 'e':
            return as_real(clause, column, row);
        case 'b':
            if (kind == K::boolean) return column.values<std::uint8_t>()[row] != 0 ? "1" : "0";
            return integer_in_base(column, row, 2, false);
        case 'o':
            return integer_in_base(column, row, 8, false);
        default:
            break;
    }
    if (is_integer(kind)) return integer_in_base(column, row, 16, upper);
    std::string out;
    for (const char c : column.values<std::string_view>()[row]) {
        out += upper ? fmt::format("{:02X}", static_cast<unsigned char>(c))
                     : fmt::format("{:02x}", static_cast<unsigned char>(c));
    }
    return out;
}

/// Takes a format apart; the message of what is wrong with it, empty when nothing is.
std::string take_apart(std::string_view text, std::vector<Clause>& clauses) {
    Clause clause;
    for (std::size_t at = 0; at < text.size();) {
        if (text[at] != '%') {
            clause.before.push_back(text[at++]);
            continue;
        }
        ++at;
        if (at < text.size() && text[at] == '%') {
            clause.before.push_back('%');
            ++at;
            continue;
        }
        if (at < text.size() && text[at] == '.') {
            const std::size_t begin = ++at;
            clause.precision = 0;
            while (at < text.size() && text[at] >= '0' && text[at] <= '9' && at - begin < 4)
                clause.precision = clause.precision * 10 + (text[at++] - '0');
            if (at == begin || clause.precision > 1000) return "a precision is a number after '.'";
        }
        if (at >= text.size()) return "'%' at the end names no clause";
        clause.kind = text[at++];
        if (std::string_view("sdfeboxX").find(clause.kind) == std::string_view::npos)
            return fmt::format("'%{}' is no clause", clause.kind);
        clauses.push_back(std::move(clause));
        clause = Clause();
    }
    clauses.push_back(std::move(clause));
    return {};
}

/// What keeps clauses from being filled with values of these types; null when nothing does.
const char* misfit(const std::vector<Clause>& clauses, const std::vector<NodePointer>& arguments) {
    if (clauses.size() - 1 > arguments.size()) return "the format has more clauses than values";
    for (std::size_t i = 0; i + 1 < clauses.size(); ++i) {
        if (!takes(clauses[i].kind, arguments[i]->type())) return "a clause of the format does not take its value";
    }
    return nullptr;
}

class FormatNode final : public Program::Node {
  public:
    /// `text`: the format where it changes from row to row; null: `clauses` has it.
    FormatNode(NodePointer text, std::vector<Clause> clauses, std::vector<NodePointer> arguments)
        : Node(Type::of(K::string)),
          text_(std::move(text)),
          clauses_(std::move(clauses)),
          arguments_(std::move(arguments)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        NodeScratch& own = scratch(frame);
        own.errors.clear();
        Values format;
        if (text_ != nullptr) {
            format = text_->evaluate(frame, rows, nullptr);
            merge_errors(own.errors, format.errors);
        }
        std::vector<Values> values;
        for (const NodePointer& argument : arguments_) {
            values.push_back(argument->evaluate(frame, rows, nullptr));
            merge_errors(own.errors, values.back().errors);
        }
        Column& out = result_column(frame, target);
        Errors mine;
        std::vector<Clause> of_row;
        for (const Row row : rows) {
            out.values<std::string_view>()[row] = {};
            if (text_ != nullptr) {
                of_row.clear();
                const bool well_formed = take_apart(Reader<std::string_view>(format)[row], of_row).empty();
                const char* message = well_formed ? misfit(of_row, arguments_) : "this string is no format";
                if (message != nullptr) {
                    mine.push_back({row, message});
                    continue;
                }
            }
            out.values<std::string_view>()[row] =
                frame.strings->copy(fill(text_ != nullptr ? of_row : clauses_, values, row));
        }
        merge_errors(own.errors, &mine);
        return {&out, false, own.errors.empty() ? nullptr : &own.errors, true};
    }

  private:
    static std::string fill(const std::vector<Clause>& clauses, const std::vector<Values>& values, Row row) {
        std::string text;
        for (std::size_t i = 0; i < clauses.size(); ++i) {
            text += clauses[i].before;
            if (clauses[i].kind != 0) text += write(clauses[i], *values[i].column, values[i].constant ? 0 : row);
        }
        return text;
    }

    NodePointer text_;
    std::vector<Clause> clauses_;
    std::vector<NodePointer> arguments_;
};

}  // namespace

std::string format_double(double value) {
    const std::string special = real_text(value);
    if (!special.empty()) return special;
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
    return {buffer, end.ptr};
}

std::string format_seconds(std::int64_t nanoseconds) {
    return fmt::format("{}s", format_decimal_shortest(nanoseconds, 9));
}

Typed build_format(Builder& builder, Builder::Call& call) {
    if (!call.arguments[0].type().is(K::string) || call.syntax.arguments.size() != 1)
        return builder.fail(call.syntax, "C204", "format() is called on a string and takes a list");
    const auto text = constant_text(call.arguments[0]);
    const Syntax& written = *call.syntax.arguments[0];
    if (written.kind != Syntax::Kind::list)
        return builder.fail(written, "C205", "format() takes a list that is written out");
    std::vector<Clause> clauses;
    if (text) {
        const std::string wrong = take_apart(*text, clauses);
        if (!wrong.empty()) return builder.fail(*call.arguments[0].syntax, "C208", wrong);
        if (clauses.size() - 1 > written.arguments.size()) {
            return builder.fail(written, "C208",
                                fmt::format("the format has {} clauses, the list {} values", clauses.size() - 1,
                                            written.arguments.size()));
        }
    }
    std::vector<NodePointer> arguments;
    for (std::size_t i = 0; i < written.arguments.size(); ++i) {
        Typed argument = builder.build(*written.arguments[i]);
        if (!argument) return argument;
        if (i + 1 < clauses.size() && !takes(clauses[i].kind, argument.type())) {
            return builder.fail(*argument.syntax, "C204",
                                fmt::format("'%{}' does not take a {}", clauses[i].kind, to_string(argument.type())));
        }
        arguments.push_back(std::move(argument.node));
    }
    return builder.finish(call.syntax, std::make_unique<FormatNode>(text ? nullptr : std::move(call.arguments[0].node),
                                                                    std::move(clauses), std::move(arguments)));
}

}  // namespace takt::expression
