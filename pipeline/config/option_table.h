#pragma once

// One table per operator, source or sink gives parsing, bounds, defaults, help, JSON Schema and error messages:
//
//     OptionTable<Deadband::Options> table;
//     table.required("band", &Options::band, "smallest change that passes").above(0.0);
//     table.optional("max_silence", &Options::max_silence, "longest gap let stand").from(1s).to(24h);
//     table.optional("mode", &Options::mode, "what counts").one_of({{"absolute", Mode::absolute}, {"relative",
//     Mode::relative}});
//
// A member's initial value is its default; a std::optional member has none. Kinds of members: bool, std::int64_t,
// double, std::string, std::chrono::nanoseconds (written "5m"), SizeBytes ("64MiB"), Decimal ("12.50"), Secret (never
// printed), ConfigNode (anything; the owner reads it), ExpressionText (a CEL expression and its node),
// std::vector<std::string> (one string or a list), std::vector<ExpressionText> (one or a list), NamedExpressions (a
// mapping, in order), and enums through .one_of.

#include <chrono>
#include <concepts>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "pipeline/base/check.h"
#include "pipeline/config/json.h"
#include "pipeline/config/node.h"
#include "pipeline/config/option_values.h"

namespace takt {

enum class OptionKind : std::uint8_t {
    boolean,
    integer,
    number,
    text,
    duration,
    size,
    decimal,
    secret,
    any,
    expression,
    text_list,
    expression_list,
    named_expressions,
    choice,
};

/// For people: "duration", "list of text".
std::string_view to_string(OptionKind kind);

/// One option as `takt list` and the JSON Schema show it. Values and bounds are written as in a config; empty: there is
/// none.
struct OptionDoc {
    std::string name;
    OptionKind kind = OptionKind::any;
    bool required = false;
    std::string default_value;
    std::string above;  ///< must be more than
    std::string at_least;
    std::string at_most;
    std::string below;  ///< must be less than
    std::vector<std::string> choices;
    std::string help;
    bool short_form = false;  ///< may stand alone in place of the mapping

    /// "above 0, at most 24h"; "one of absolute, relative"; empty when anything goes.
    std::string bounds() const;
};
using OptionDocs = std::vector<OptionDoc>;

/// JSON Schema (draft 2020-12) of a mapping with these options and no others; `extra` names keys that someone else
/// checks.
Json option_schema(const OptionDocs& docs, const std::vector<std::string>& extra = {});

/// One option of a table, its types erased. Immutable once the table is built.
class Option {
  public:
    explicit Option(OptionDoc doc) : doc_(std::move(doc)) {}
    virtual ~Option() = default;

    const OptionDoc& doc() const { return doc_; }
    /// Reads into the member of `object`; false after a mistake.
    virtual bool read(const ConfigNode& node, const OptionContext& context, void* object) const = 0;

  protected:
    OptionDoc doc_;

    friend class OptionTableBase;
};

/// What all tables share.
class OptionTableBase {
  public:
    OptionDocs describe() const;
    Json schema() const { return option_schema(describe()); }
    /// A scalar or list in place of the mapping is the value of that option: `sqlite: ledger.db`. The option must be in
    /// the table.
    void short_form(std::string_view name);

  protected:
    void add(std::unique_ptr<Option> option);
    bool read_into(const ConfigNode& mapping, std::string_view what, void* object, Mistakes& mistakes,
                   const std::vector<std::string>& ignored) const;

  private:
    std::vector<std::unique_ptr<Option>> options_;
    std::string short_form_;
};

/// The kind of a member's value.
template <typename Value>
constexpr OptionKind option_kind() {
    if constexpr (std::is_enum_v<Value>)
        return OptionKind::choice;
    else if constexpr (std::is_same_v<Value, bool>)
        return OptionKind::boolean;
    else if constexpr (std::is_same_v<Value, std::int64_t>)
        return OptionKind::integer;
    else if constexpr (std::is_same_v<Value, double>)
        return OptionKind::number;
    else if constexpr (std::is_same_v<Value, std::string>)
        return OptionKind::text;
    else if constexpr (std::is_same_v<Value, std::chrono::nanoseconds>)
        return OptionKind::duration;
    else if constexpr (std::is_same_v<Value, SizeBytes>)
        return OptionKind::size;
    else if constexpr (std::is_same_v<Value, Decimal>)
        return OptionKind::decimal;
    else if constexpr (std::is_same_v<Value, Secret>)
        return OptionKind::secret;
    else if constexpr (std::is_same_v<Value, ConfigNode>)
        return OptionKind::any;
    else if constexpr (std::is_same_v<Value, ExpressionText>)
        return OptionKind::expression;
    else if constexpr (std::is_same_v<Value, std::vector<std::string>>)
        return OptionKind::text_list;
    else if constexpr (std::is_same_v<Value, std::vector<ExpressionText>>)
        return OptionKind::expression_list;
    else {
        static_assert(std::is_same_v<Value, NamedExpressions>, "an option of this type is not known");
        return OptionKind::named_expressions;
    }
}

template <typename Value>
concept OrderedOption = std::is_same_v<Value, std::int64_t> || std::is_same_v<Value, double> ||
    std::is_same_v<Value, std::chrono::nanoseconds> || std::is_same_v<Value, SizeBytes> ||
    std::is_same_v<Value, Decimal>;
template <typename Value>
concept WordOption = std::is_same_v<Value, std::string> || std::is_same_v<Value, std::vector<std::string>>;

/// An option that is being described: what `required` and `optional` return. `Value` is the member's type, or what its
/// std::optional holds.
template <typename T, typename Member, typename Value>
class TypedOption final : public Option {
  public:
    TypedOption(OptionDoc doc, Member T::*member) : Option(std::move(doc)), member_(member) {}

    TypedOption& above(Value bound) requires OrderedOption<Value> { return keep(above_, doc_.above, std::move(bound)); }
    TypedOption& from(Value bound) requires OrderedOption<Value> {
        return keep(from_, doc_.at_least, std::move(bound));
    }
    TypedOption& to(Value bound) requires OrderedOption<Value> { return keep(to_, doc_.at_most, std::move(bound)); }
    TypedOption& below(Value bound) requires OrderedOption<Value> { return keep(below_, doc_.below, std::move(bound)); }

    /// The names of an enum's values. An enum option needs them.
    TypedOption& one_of(std::vector<std::pair<std::string, Value>> choices) requires std::is_enum_v<Value> {
        const T defaults{};
        for (auto& [name, value] : choices) {
            doc_.choices.push_back(name);
            if (!doc_.required && same(defaults.*member_, value)) doc_.default_value = name;
            values_.push_back(value);
        }
        return *this;
    }
    /// The words that a text, or each text of a list, may be.
    TypedOption& one_of(std::vector<std::string> words) requires WordOption<Value> {
        doc_.choices = std::move(words);
        return *this;
    }

    bool read(const ConfigNode& node, const OptionContext& context, void* object) const override {
        Value value{};
        if constexpr (std::is_enum_v<Value>) {
            CHECK(!values_.empty());
            const auto chosen = read_choice(node, context, doc_.choices);
            if (!chosen) return false;
            value = values_[*chosen];
        } else {
            if (!read_value(node, context, value)) return false;
            if constexpr (WordOption<Value>) {
                if (!doc_.choices.empty() && !check_words(node, context, value, doc_.choices)) return false;
            }
            if constexpr (OrderedOption<Value>) {
                const bool good = !(above_ && !option_less(*above_, value)) && !(from_ && option_less(value, *from_)) &&
                                  !(to_ && option_less(*to_, value)) && !(below_ && !option_less(value, *below_));
                if (!good) return report_bounds(node, context, doc_.bounds());
            }
        }
        static_cast<T*>(object)->*member_ = std::move(value);
        return true;
    }

  private:
    TypedOption& keep(std::optional<Value>& bound, std::string& shown, Value value) {
        shown = show_value(value);
        bound = std::move(value);
        return *this;
    }
    static bool same(const Value& a, const Value& b) { return a == b; }
    static bool same(const std::optional<Value>& a, const Value& b) { return a && *a == b; }

    Member T::*member_;
    std::optional<Value> above_, from_, to_, below_;
    std::vector<Value> values_;  ///< of the choices
};

namespace option_detail {
template <typename Member>
struct ValueOf {
    using type = Member;
};
template <typename Value>
struct ValueOf<std::optional<Value>> {
    using type = Value;
};
}  // namespace option_detail

/// The options of a T, whose members have their defaults as initial values.
template <typename T>
class OptionTable : public OptionTableBase {
  public:
    template <typename Member>
    auto& required(std::string name, Member T::*member, std::string help) {
        return make(std::move(name), member, std::move(help), true);
    }
    template <typename Member>
    auto& optional(std::string name, Member T::*member, std::string help) {
        return make(std::move(name), member, std::move(help), false);
    }

    /// Reads `mapping` (null: an empty one) into `out`; members of options that are not written keep what they hold.
    /// `what` names the owner in messages: "step 'trim' (deadband)". Keys in `ignored` are read by someone else. False
    /// after a mistake; all are reported.
    bool read(const ConfigNode& mapping, std::string_view what, T& out, Mistakes& mistakes,
              const std::vector<std::string>& ignored = {}) const {
        return read_into(mapping, what, &out, mistakes, ignored);
    }

  private:
    template <typename Member>
    auto& make(std::string name, Member T::*member, std::string help, bool is_required) {
        using Value = typename option_detail::ValueOf<Member>::type;
        OptionDoc doc;
        doc.name = std::move(name);
        doc.kind = option_kind<Value>();
        doc.required = is_required;
        doc.help = std::move(help);
        if constexpr (!std::is_enum_v<Value> && std::is_same_v<Member, Value>) {
            if (!is_required) doc.default_value = show_value(T{}.*member);
        }
        auto made = std::make_unique<TypedOption<T, Member, Value>>(std::move(doc), member);
        auto& option = *made;
        add(std::move(made));
        return option;
    }
};

}  // namespace takt
