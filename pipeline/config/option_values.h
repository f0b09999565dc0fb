#pragma once

#include <fmt/format.h>

#include <chrono>
#include <compare>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/base/decimal.h"
#include "pipeline/config/node.h"

namespace takt {

/// A size as people write it: "64MiB" (1024s: KiB MiB GiB TiB), "10MB" (1000s: kB MB GB TB), "512B", or plain digits.
struct SizeBytes {
    std::uint64_t value = 0;

    auto operator<=>(const SizeBytes&) const = default;
};
std::optional<SizeBytes> parse_size(std::string_view text);
/// The shortest form that parse_size reads back.
std::string format_size(SizeBytes size);

/// A value that is never printed: streams and fmt show "***". In a config it comes from outside: `${NAME}`, `{ env:
/// NAME }` or `{ file: PATH }` (one trailing newline is cut; relative paths start at the folder of the config).
class Secret {
  public:
    Secret() = default;
    explicit Secret(std::string value) : value_(std::move(value)) {}

    bool empty() const { return value_.empty(); }
    const std::string& reveal() const { return value_; }

  private:
    std::string value_;
};
std::ostream& operator<<(std::ostream& out, const Secret& secret);

/// A CEL expression as written, and its node for places: `node.place_of(offset, length)`. `text` is `node.scalar`.
struct ExpressionText {
    std::string text;
    ConfigNode node;

    bool empty() const { return text.empty(); }
};

/// One entry of a mapping of expressions, in the order of the file.
struct NamedExpression {
    std::string name;
    Place name_place;
    ExpressionText expression;
};
using NamedExpressions = std::vector<NamedExpression>;

/// Whose value is read, for messages.
struct OptionContext {
    std::string_view option;  ///< "max_silence"
    std::string_view what;    ///< "step 'trim' (deadband)"
    Mistakes& mistakes;
};

// Reads one value; false after a mistake, which is reported.
bool read_value(const ConfigNode& node, const OptionContext& context, bool& out);
bool read_value(const ConfigNode& node, const OptionContext& context, std::int64_t& out);
bool read_value(const ConfigNode& node, const OptionContext& context, double& out);
bool read_value(const ConfigNode& node, const OptionContext& context, std::string& out);
bool read_value(const ConfigNode& node, const OptionContext& context, std::chrono::nanoseconds& out);
bool read_value(const ConfigNode& node, const OptionContext& context, SizeBytes& out);
bool read_value(const ConfigNode& node, const OptionContext& context, Decimal& out);
bool read_value(const ConfigNode& node, const OptionContext& context, Secret& out);
bool read_value(const ConfigNode& node, const OptionContext& context, ConfigNode& out);
bool read_value(const ConfigNode& node, const OptionContext& context, ExpressionText& out);
bool read_value(const ConfigNode& node, const OptionContext& context, std::vector<std::string>& out);
bool read_value(const ConfigNode& node, const OptionContext& context, std::vector<ExpressionText>& out);
bool read_value(const ConfigNode& node, const OptionContext& context, NamedExpressions& out);
/// Index of the choice.
std::optional<std::size_t> read_choice(const ConfigNode& node, const OptionContext& context,
                                       const std::vector<std::string>& choices);
bool check_words(const ConfigNode& node, const OptionContext& context, const std::string& value,
                 const std::vector<std::string>& choices);
bool check_words(const ConfigNode& node, const OptionContext& context, const std::vector<std::string>& values,
                 const std::vector<std::string>& choices);
/// Reports that the value must be `bounds`; returns false.
bool report_bounds(const ConfigNode& node, const OptionContext& context, const std::string& bounds);

// As a config would write it; empty where there is nothing to show.
std::string show_value(bool value);
std::string show_value(std::int64_t value);
std::string show_value(double value);
std::string show_value(const std::string& value);
std::string show_value(std::chrono::nanoseconds value);
std::string show_value(SizeBytes value);
std::string show_value(const Decimal& value);
std::string show_value(const Secret& value);
std::string show_value(const ConfigNode& value);
std::string show_value(const ExpressionText& value);
std::string show_value(const std::vector<std::string>& value);
std::string show_value(const std::vector<ExpressionText>& value);
std::string show_value(const NamedExpressions& value);

inline bool option_less(std::int64_t a, std::int64_t b) {
    return a < b;
}
inline bool option_less(double a, double b) {
    return a < b;
}
inline bool option_less(std::chrono::nanoseconds a, std::chrono::nanoseconds b) {
    return a < b;
}
inline bool option_less(SizeBytes a, SizeBytes b) {
    return a < b;
}
inline bool option_less(const Decimal& a, const Decimal& b) {
    return compare(a, b) < 0;
}

}  // namespace takt

template <>
struct fmt::formatter<takt::Secret> : fmt::formatter<std::string_view> {
    template <typename Context>
    auto format(const takt::Secret&, Context& context) const {
        return fmt::formatter<std::string_view>::format("***", context);
    }
};
