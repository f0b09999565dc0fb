// Runs cases of the CEL conformance suite, one JSON object a line (their form: the README beside the public cases).
// Each ends right, refused (outside takt's subset, said when the expression is loaded) or wrong. Closes with the three
// counts; exit status 1 when something is wrong.
//
//     conformance_cel FILE...
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "pipeline/base/time.h"
#include "pipeline/expression/expression.h"
#include "pipeline/expression/utf8.h"

namespace {

using namespace takt;
namespace dom = simdjson::dom;

enum class Verdict { right, refused, wrong };

struct Tally {
    int right = 0, refused = 0, wrong = 0;
    int repaired = 0;  ///< of the right ones: those whose expected value had escapes to undo
};

/// A typed value of the suite; nothing where takt has no such value.
struct Value {
    Type type;
    std::int64_t integer = 0;
    std::uint64_t natural = 0;
    double real = 0;
    std::string text;
    std::vector<Value> elements;
};

double read_double(std::string_view text) {
    if (text == "inf") return INFINITY;
    if (text == "-inf") return -INFINITY;
    if (text == "nan") return NAN;
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::optional<Value> read_value(dom::element element) {
    for (const auto [kind, content] : dom::object(element)) {
        Value value;
        if (kind == "int") {
            value.type = Type::of(TypeKind::int64);
            const std::string_view text = content;
            std::from_chars(text.data(), text.data() + text.size(), value.integer);
        } else if (kind == "uint") {
            value.type = Type::of(TypeKind::uint64);
            const std::string_view text = content;
            std::from_chars(text.data(), text.data() + text.size(), value.natural);
        } else if (kind == "double") {
            value.type = Type::of(TypeKind::float64);
            value.real = read_double(content);
        } else if (kind == "bool") {
            value.type = Type::of(TypeKind::boolean);
            value.integer = bool(content) ? 1 : 0;
        } else if (kind == "string") {
            value.type = Type::of(TypeKind::string);
            value.text = std::string_view(content);
        } else if (kind == "bytes") {
            value.type = Type::of(TypeKind::bytes);
            const std::string_view hex = content;
            for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
                unsigned byte = 0;
                std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
                value.text.push_back(static_cast<char>(byte));
            }
        } else if (kind == "timestamp" || kind == "duration") {
            value.type = Type::of(kind == "timestamp" ? TypeKind::timestamp : TypeKind::duration);
            dom::array parts = content;
            const std::int64_t seconds = parts.at(0);
            const std::int64_t nanoseconds = parts.at(1);
            if (__builtin_mul_overflow(seconds, kSecond, &value.integer)) return std::nullopt;
            value.integer += nanoseconds;
        } else if (kind == "null") {
            value.type = Type::of(TypeKind::null);
        } else if (kind == "list") {
            Type element_type = Type::of(TypeKind::null);
            for (dom::element one : dom::array(content)) {
                auto read = read_value(one);
                if (!read || read->type.is(TypeKind::list)) return std::nullopt;
                if (!value.elements.empty() && !(read->type == element_type)) return std::nullopt;
                element_type = read->type;
                value.elements.push_back(std::move(*read));
            }
            value.type = Type::list_of(element_type);
        } else {
            return std::nullopt;
        }
        return value;
    }
    return std::nullopt;
}

void store(const Value& value, Column& column, std::size_t row) {
    switch (value.type.kind) {
        case TypeKind::uint64:
            column.values<std::uint64_t>()[row] = value.natural;
            break;
        case TypeKind::float64:
            column.values<double>()[row] = value.real;
            break;
        case TypeKind::string:
        case TypeKind::bytes:
            column.values<std::string_view>()[row] = value.text;
            break;
        case TypeKind::boolean:
            column.values<std::uint8_t>()[row] = static_cast<std::uint8_t>(value.integer);
            break;
        case TypeKind::null:
            column.values<std::uint8_t>()[row] = 0;
            break;
        case TypeKind::list: {
            auto elements = std::make_unique<Column>(value.type.element_type());
            elements->reset(static_cast<std::uint32_t>(std::max<std::size_t>(value.elements.size(), 1)));
            for (std::size_t i = 0; i < value.elements.size(); ++i) store(value.elements[i], *elements, i);
            column.set_elements(std::move(elements));
            column.values<ListSpan>()[row] = {0, static_cast<std::uint32_t>(value.elements.size())};
            break;
        }
        default:
            column.values<std::int64_t>()[row] = value.integer;
            break;
    }
}

bool equals(const Value& value, const Column& column, std::size_t row) {
    const Type& type = column.type();
    if (value.type.kind != type.kind) return false;
    switch (type.kind) {
        case TypeKind::uint64:
            return column.values<std::uint64_t>()[row] == value.natural;
        case TypeKind::float64: {
            const double real = column.values<double>()[row];
            return (std::isnan(real) && std::isnan(value.real)) ||
                   (real == value.real && std::signbit(real) == std::signbit(value.real));
        }
        case TypeKind::string:
        case TypeKind::bytes:
            return column.values<std::string_view>()[row] == value.text;
        case TypeKind::boolean:
            return column.values<std::uint8_t>()[row] == value.integer;
        case TypeKind::null:
            return true;
        case TypeKind::list: {
            const ListSpan span = column.values<ListSpan>()[row];
            if (span.size != value.elements.size()) return false;
            for (std::size_t i = 0; i < value.elements.size(); ++i) {
                if (!equals(value.elements[i], *column.elements(), span.begin + i)) return false;
            }
            return true;
        }
        default:
            return column.values<std::int64_t>()[row] == value.integer;
    }
}

bool flag(dom::element item, const char* name) {
    bool value = false;
    return item[name].get(value) == simdjson::SUCCESS && value;
}

/// The suite's values were converted from protobuf text, and escapes that the conversion did not know (\\u, \\U, \\?)
/// still stand in some of them. The value with these undone, so that a case is judged by what the suite says.
Value undo_escapes(Value value) {
    std::string text;
    for (std::size_t at = 0; at < value.text.size();) {
        const std::string_view rest = std::string_view(value.text).substr(at);
        const std::size_t digits = rest.substr(0, 2) == "\\u" ? 4 : rest.substr(0, 2) == "\\U" ? 8 : 0;
        std::uint32_t code_point = 0;
        if (digits != 0 && rest.size() >= 2 + digits &&
            std::from_chars(rest.data() + 2, rest.data() + 2 + digits, code_point, 16).ptr ==
                rest.data() + 2 + digits) {
            expression::append_utf8(code_point, text);
            at += 2 + digits;
        } else if (rest.substr(0, 2) == "\\?") {
            text.push_back('?');
            at += 2;
        } else {
            text.push_back(value.text[at++]);
        }
    }
    value.text = std::move(text);
    return value;
}

/// Whether the checker found a mistake in the expression, as opposed to something that takt's subset leaves out (C205).
bool is_mistake_of_types(const std::vector<ExpressionMistake>& mistakes) {
    for (const ExpressionMistake& mistake : mistakes) {
        if (mistake.code == "C201" || mistake.code == "C205") return false;
    }
    return true;
}

/// Every row of three is the case: rows do not disturb each other. `repaired` is set where only the value without its
/// escapes is equal.
Verdict run_case(dom::element item, std::string& why, bool& repaired) {
    const std::string_view text = item["expr"];
    const bool error_expected = flag(item, "error");
    const bool unchecked = flag(item, "unchecked");

    Layout layout;
    Scope scope;
    std::vector<Value> bound;
    dom::object bindings;
    if (item["bindings"].get(bindings) == simdjson::SUCCESS) {
        for (const auto [name, content] : bindings) {
            auto value = read_value(content);
            if (!value) {
                why = "a variable of a type outside the subset";
                return Verdict::refused;
            }
            const Slot slot = layout.add({std::string(name), value->type, false});
            scope.add(std::string(name), value->type, slot);
            bound.push_back(std::move(*value));
        }
    }
    auto compiled = compile_expression(text, scope);
    if (const auto* mistakes = std::get_if<std::vector<ExpressionMistake>>(&compiled)) {
        why = fmt::format("{} {}", mistakes->front().code, mistakes->front().message);
        return error_expected && unchecked && is_mistake_of_types(*mistakes) ? Verdict::right : Verdict::refused;
    }
    const Program program = std::get<Program>(std::move(compiled));
    Batch batch;
    batch.reset(layout, 3);
    batch.rows = 3;
    for (std::size_t i = 0; i < bound.size(); ++i) {
        for (std::size_t row = 0; row < 3; ++row) {
            store(bound[i], batch.columns[i], row);
            batch.columns[i].valid().set(static_cast<std::uint32_t>(row));
        }
    }
    Selection rows;
    rows.assign_all(3);
    Column out;
    ExpressionErrors errors;
    const auto scratch = program.make_scratch();
    program.evaluate(batch, rows, *scratch, out, batch.arena, errors);
    if (!errors.rows.empty()) {
        why = fmt::format("ends in an error: {}", errors.rows[0].second);
        return error_expected && errors.rows.size() == 3 ? Verdict::right : Verdict::wrong;
    }
    if (error_expected) {
        why = "should end in an error";
        return Verdict::wrong;
    }
    auto expected = read_value(item["value"]);
    if (expected && !equals(*expected, out, 0)) {
        expected = undo_escapes(std::move(*expected));
        repaired = true;
    }
    if (!expected || !equals(*expected, out, 0) || !equals(*expected, out, 1) || !equals(*expected, out, 2)) {
        why = fmt::format("gives another value, a {}", to_string(out.type()));
        return Verdict::wrong;
    }
    return Verdict::right;
}

}  // namespace

int main(int argc, char** argv) {
    const bool verbose = std::getenv("VERBOSE") != nullptr;
    Tally total;
    for (int i = 1; i < argc; ++i) {
        Tally tally;
        dom::parser parser;
        dom::document_stream stream;
        const auto content = simdjson::padded_string::load(argv[i]);
        if (content.error() || parser.parse_many(content.value_unsafe(), 16 << 20).get(stream)) {
            fmt::print(stderr, "{}: cannot be read\n", argv[i]);
            return 2;
        }
        for (auto one : stream) {
            dom::element item;
            if (one.get(item)) {
                fmt::print(stderr, "{}: a line is no JSON\n", argv[i]);
                return 2;
            }
            std::string why;
            bool repaired = false;
            const Verdict verdict = run_case(item, why, repaired);
            (verdict == Verdict::right ? tally.right : verdict == Verdict::refused ? tally.refused : tally.wrong) += 1;
            if (verdict == Verdict::right && repaired) {
                ++tally.repaired;
                if (verbose)
                    fmt::print("escapes undone: {} / {}\n", std::string_view(item["section"]),
                               std::string_view(item["name"]));
            }
            if (verdict == Verdict::wrong || (verbose && verdict == Verdict::refused)) {
                fmt::print("{}: {} / {}: {}  --  {}\n", verdict == Verdict::wrong ? "WRONG" : "refused",
                           std::string_view(item["section"]), std::string_view(item["name"]),
                           std::string_view(item["expr"]), why);
            }
        }
        fmt::print("{}: right={} refused={} wrong={}\n", argv[i], tally.right, tally.refused, tally.wrong);
        total.right += tally.right;
        total.refused += tally.refused;
        total.wrong += tally.wrong;
        total.repaired += tally.repaired;
    }
    if (total.repaired > 0) {
        fmt::print(
            "{} of the right cases: the expected value in the file still has escapes of protobuf text (\\u0100), "
            "compared without them\n",
            total.repaired);
    }
    fmt::print("right={} refused={} wrong={}\n", total.right, total.refused, total.wrong);
    return total.wrong == 0 ? 0 : 1;
}
