#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace takt {

/// A JSON value to be written; members keep the order in which they were set. There is no reader: simdjson reads.
class Json {
  public:
    Json() = default;  ///< null
    template <std::same_as<bool> Bool>
    Json(Bool value) : value_(value) {}
    template <std::integral Integer>
    requires(!std::same_as<Integer, bool>) Json(Integer value) : value_(static_cast<std::int64_t>(value)) {}
    Json(double value) : value_(value) {}  ///< NaN and infinite are written as null
    Json(std::string value) : value_(std::move(value)) {}
    Json(std::string_view value) : value_(std::string(value)) {}
    Json(const char* value) : value_(std::string(value)) {}

    static Json object();
    static Json array();
    static Json array(const std::vector<std::string>& texts);
    /// Digits that are written as they are: a decimal. `digits` must be a number of JSON's grammar.
    static Json number(std::string digits);
    /// `text` must be JSON; it is written as it is.
    static Json verbatim(std::string text);

    /// A member of an object; set again, it keeps its place. Null becomes an object.
    Json& set(std::string key, Json value);
    /// Appends to an array. Null becomes an array.
    Json& push(Json value);
    bool is_null() const { return value_.index() == 0; }
    bool empty() const;

    /// One line when `indent` is 0, else that many spaces a level. Bytes that are not UTF-8 become U+FFFD.
    std::string dump(int indent = 0) const;

  private:
    struct Verbatim {
        std::string text;
    };
    using Array = std::vector<Json>;
    using Object = std::vector<std::pair<std::string, Json>>;

    void write(std::string& out, int indent, int level) const;

    std::variant<std::monostate, bool, std::int64_t, double, std::string, Verbatim, Array, Object> value_;
};

/// `text` in quotes with JSON's escapes.
void append_json_text(std::string& out, std::string_view text);

}  // namespace takt
