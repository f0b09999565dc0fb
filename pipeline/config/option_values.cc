#include "pipeline/config/option_values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ostream>

#include "pipeline/base/time.h"

namespace takt {
namespace {

struct SizeUnit {
    std::string_view name;
    std::uint64_t bytes;
};
constexpr SizeUnit kSizeUnits[] = {
    {"TiB", 1ull << 40},   {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"TB", 1'000'000'000'000},
    {"GB", 1'000'000'000}, {"MB", 1'000'000},   {"kB", 1'000},       {"KB", 1'000},       {"B", 1},
};
constexpr std::size_t kMaxSecretBytes = 64 * 1024;

bool report_kind(const ConfigNode& node, const OptionContext& context, std::string_view expected,
                 std::string hint = {}) {
    if (node.unresolved) return false;
    context.mistakes.add(
        node.place, "C191",
        fmt::format("'{}' in {}: expected {}, found {}", context.option, context.what, expected, node.written()),
        std::move(hint));
    return false;
}

template <typename Number>
bool parse_whole(std::string_view text, Number& out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc{} && end == text.data() + text.size();
}

/// A number without its unit: what people forget.
bool is_bare_number(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos;
}

bool read_text(const ConfigNode& node, const OptionContext& context, std::string_view expected, std::string& out) {
    if (node.unresolved) return false;
    if (!node.is_scalar()) return report_kind(node, context, expected);
    out = node.scalar;
    return true;
}

}  // namespace

std::optional<SizeBytes> parse_size(std::string_view text) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    std::uint64_t number = 0;
    if (digits == 0 || !parse_whole(text.substr(0, digits), number)) return std::nullopt;
    const std::string_view unit = text.substr(digits);
    if (unit.empty()) return SizeBytes{number};
    for (const SizeUnit& known : kSizeUnits) {
        if (unit != known.name) continue;
        if (number > UINT64_MAX / known.bytes) return std::nullopt;
        return SizeBytes{number * known.bytes};
    }
    return std::nullopt;
}

std::string format_size(SizeBytes size) {
    if (size.value == 0) return "0";
    for (const SizeUnit& unit : kSizeUnits) {
        if (size.value % unit.bytes == 0 && unit.bytes > 1)
            return fmt::format("{}{}", size.value / unit.bytes, unit.name);
    }
    return fmt::format("{}B", size.value);
}

std::ostream& operator<<(std::ostream& out, const Secret&) {
    return out << "***";
}

bool read_value(const ConfigNode& node, const OptionContext& context, bool& out) {
    if (!node.is_scalar() || (node.scalar != "true" && node.scalar != "false")) {
        return report_kind(node, context, "true or false");
    }
    out = node.scalar == "true";
    return true;
}

bool read_value(const ConfigNode& node, const OptionContext& context, std::int64_t& out) {
    if (!node.is_scalar() || !parse_whole(node.scalar, out))
        return report_kind(node, context, "a whole number such as 4");
    return true;
}

bool read_value(const ConfigNode& node, const OptionContext& context, double& out) {
    if (!node.is_scalar() || !parse_whole(node.scalar, out) || !std::isfinite(out)) {
        return report_kind(node, context, "a number such as 0.5");
    }
    return true;
}

bool read_value(const ConfigNode& node, const OptionContext& context, std::string& out) {
    return read_text(node, context, "a text", out);
}

bool read_value(const ConfigNode& node, const OptionContext& context, std::chrono::nanoseconds& out) {
    const auto parsed = node.is_scalar() ? parse_duration(node.scalar) : std::nullopt;
    if (parsed) {
        out = std::chrono::nanoseconds(*parsed);
        return true;
    }
    if (node.is_scalar() && !node.unresolved && is_bare_number(node.scalar)) {
        context.mistakes.add(
            node.place, "C194",
            fmt::format("'{}' in {}: missing unit in {}", context.option, context.what, node.written()),
            node.from_environment ? "for example 5s" : fmt::format("for example {}s", node.scalar));
        return false;
    }
    return report_kind(node, context, "a duration such as 5m");
}

bool read_value(const ConfigNode& node, const OptionContext& context, SizeBytes& out) {
    const auto parsed = node.is_scalar() ? parse_size(node.scalar) : std::nullopt;
    if (!parsed) return report_kind(node, context, "a size such as 64MiB");
    out = *parsed;
    return true;
}

bool read_value(const ConfigNode& node, const OptionContext& context, Decimal& out) {
    const auto parsed = node.is_scalar() ? parse_decimal(node.scalar) : std::nullopt;
    if (!parsed) return report_kind(node, context, "a decimal such as \"12.50\"");
    out = *parsed;
    return true;
}

namespace {

bool refuse_secret(const ConfigNode& node, const OptionContext& context, std::string_view why, bool show_line = true) {
    std::string message = fmt::format("'{}' in {}: {}", context.option, context.what, why);
    std::string hint = "write ${NAME}, { env: NAME } or { file: PATH }";
    if (show_line) {
        context.mistakes.add(node.place, "C195", std::move(message), std::move(hint));
    } else {
        context.mistakes.add_without_line(node.place, "C195", std::move(message), std::move(hint));
    }
    return false;
}

bool read_secret_file(const ConfigNode& node, const OptionContext& context, Secret& out) {
    namespace fs = std::filesystem;
    const fs::path folder = node.place.file ? fs::path(node.place.file->path).parent_path() : fs::path();
    const fs::path path = folder / node.scalar;
    std::error_code error;
    std::ifstream in(path, std::ios::binary);
    if (!in || fs::is_directory(path, error))
        return refuse_secret(node, context, fmt::format("the file {} cannot be read", node.written()));
    std::string text(kMaxSecretBytes + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxSecretBytes)
        return refuse_secret(node, context, fmt::format("the file {} is larger than 64 KiB", node.written()));
    if (!text.empty() && text.back() == '\n') text.pop_back();
    if (!text.empty() && text.back() == '\r') text.pop_back();
    out = Secret(std::move(text));
    return true;
}

}  // namespace

bool read_value(const ConfigNode& node, const OptionContext& context, Secret& out) {
    if (node.unresolved) return false;
    if (node.is_scalar()) {
        if (!node.substituted) return refuse_secret(node, context, "a secret does not stand in a config", false);
        out = Secret(node.scalar);
        return true;
    }
    if (!node.is_mapping() || node.entries.size() != 1)
        return refuse_secret(node, context, "expected where the secret is", false);
    const ConfigNode::Entry& way = node.entries[0];
    if (way.value.unresolved) return false;
    if ((way.key != "env" && way.key != "file") || !way.value.is_scalar()) {
        return refuse_secret(node, context, "expected where the secret is", false);
    }
    if (way.key == "file") return read_secret_file(way.value, context, out);
    const char* value = std::getenv(way.value.scalar.c_str());
    if (value == nullptr)
        return refuse_secret(way.value, context,
                             fmt::format("the environment variable {} is not set", way.value.written()));
    out = Secret(value);
    return true;
}

bool read_value(const ConfigNode& node, const OptionContext&, ConfigNode& out) {
    out = node;
    return true;
}

bool read_value(const ConfigNode& node, const OptionContext& context, ExpressionText& out) {
    if (!read_text(node, context, "an expression", out.text)) return false;
    if (out.text.find_first_not_of(" \t\n") == std::string::npos) return report_kind(node, context, "an expression");
    out.node = node;
    return true;
}

namespace {

/// One scalar, or a list of them.
template <typename Value>
bool read_list(const ConfigNode& node, const OptionContext& context, std::string_view expected,
               std::vector<Value>& out) {
    out.clear();
    if (!node.is_sequence()) {
        if (!node.is_scalar()) return report_kind(node, context, expected);
        return read_value(node, context, out.emplace_back());
    }
    bool good = true;
    for (const ConfigNode& item : node.items) good = read_value(item, context, out.emplace_back()) && good;
    return good;
}

}  // namespace

bool read_value(const ConfigNode& node, const OptionContext& context, std::vector<std::string>& out) {
    return read_list(node, context, "a text or a list of texts", out);
}

bool read_value(const ConfigNode& node, const OptionContext& context, std::vector<ExpressionText>& out) {
    return read_list(node, context, "an expression or a list of expressions", out);
}

bool read_value(const ConfigNode& node, const OptionContext& context, NamedExpressions& out) {
    out.clear();
    if (!node.is_mapping()) return report_kind(node, context, "a mapping of names to expressions");
    bool good = true;
    for (const ConfigNode::Entry& entry : node.entries) {
        NamedExpression& named = out.emplace_back();
        named.name = entry.key;
        named.name_place = entry.key_place;
        const std::string option = fmt::format("{}.{}", context.option, entry.key);
        good = read_value(entry.value, OptionContext{option, context.what, context.mistakes}, named.expression) && good;
    }
    return good;
}

namespace {

bool check_word(const ConfigNode& node, const OptionContext& context, const std::string& word,
                const std::vector<std::string>& choices) {
    if (std::find(choices.begin(), choices.end(), word) != choices.end()) return true;
    context.mistakes.add(node.place, "C193",
                         fmt::format("'{}' in {}: expected {}{}, found {}", context.option, context.what,
                                     choices.size() == 1 ? "" : "one of ", fmt::join(choices, ", "), node.written()),
                         did_you_mean(word, choices));
    return false;
}

}  // namespace

bool check_words(const ConfigNode& node, const OptionContext& context, const std::string& value,
                 const std::vector<std::string>& choices) {
    return check_word(node, context, value, choices);
}

bool check_words(const ConfigNode& node, const OptionContext& context, const std::vector<std::string>& values,
                 const std::vector<std::string>& choices) {
    bool good = true;
    for (std::size_t i = 0; i < values.size(); ++i) {
        good = check_word(node.is_sequence() ? node.items[i] : node, context, values[i], choices) && good;
    }
    return good;
}

std::optional<std::size_t> read_choice(const ConfigNode& node, const OptionContext& context,
                                       const std::vector<std::string>& choices) {
    std::string word;
    if (!read_text(node, context, fmt::format("one of {}", fmt::join(choices, ", ")), word)) return std::nullopt;
    if (!check_word(node, context, word, choices)) return std::nullopt;
    return static_cast<std::size_t>(std::find(choices.begin(), choices.end(), word) - choices.begin());
}

bool report_bounds(const ConfigNode& node, const OptionContext& context, const std::string& bounds) {
    context.mistakes.add(
        node.place, "C192",
        fmt::format("'{}' in {} must be {}, found {}", context.option, context.what, bounds, node.written()));
    return false;
}

std::string show_value(bool value) {
    return value ? "true" : "false";
}
std::string show_value(std::int64_t value) {
    return fmt::format("{}", value);
}
std::string show_value(double value) {
    return fmt::format("{}", value);
}
std::string show_value(const std::string& value) {
    return value;
}
std::string show_value(std::chrono::nanoseconds value) {
    return value.count() == 0 ? "0s" : format_duration(value.count());
}
std::string show_value(SizeBytes value) {
    return format_size(value);
}
std::string show_value(const Decimal& value) {
    return format_decimal_shortest(value.units, value.scale);
}
std::string show_value(const Secret&) {
    return "";
}
std::string show_value(const ConfigNode&) {
    return "";
}
std::string show_value(const ExpressionText& value) {
    return value.text;
}
std::string show_value(const std::vector<std::string>& value) {
    return value.empty() ? "" : fmt::format("[{}]", fmt::join(value, ", "));
}
std::string show_value(const std::vector<ExpressionText>&) {
    return "";
}
std::string show_value(const NamedExpressions&) {
    return "";
}

}  // namespace takt
