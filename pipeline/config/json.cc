#include "pipeline/config/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "pipeline/base/check.h"
#include "pipeline/config/text_lines.h"

namespace takt {

Json Json::object() {
    Json json;
    json.value_ = Object{};
    return json;
}

Json Json::array() {
    Json json;
    json.value_ = Array{};
    return json;
}

Json Json::array(const std::vector<std::string>& texts) {
    Json json = array();
    for (const std::string& text : texts) json.push(text);
    return json;
}

Json Json::number(std::string digits) {
    return verbatim(std::move(digits));
}

Json Json::verbatim(std::string text) {
    Json json;
    json.value_ = Verbatim{std::move(text)};
    return json;
}

Json& Json::set(std::string key, Json value) {
    if (is_null()) value_ = Object{};
    Object* members = std::get_if<Object>(&value_);
    CHECK(members != nullptr);
    const auto known =
        std::find_if(members->begin(), members->end(), [&](const auto& member) { return member.first == key; });
    if (known != members->end()) {
        known->second = std::move(value);
    } else {
        members->emplace_back(std::move(key), std::move(value));
    }
    return *this;
}

Json& Json::push(Json value) {
    if (is_null()) value_ = Array{};
    Array* items = std::get_if<Array>(&value_);
    CHECK(items != nullptr);
    items->push_back(std::move(value));
    return *this;
}

bool Json::empty() const {
    if (const auto* items = std::get_if<Array>(&value_)) return items->empty();
    if (const auto* members = std::get_if<Object>(&value_)) return members->empty();
    return is_null();
}

std::string Json::dump(int indent) const {
    std::string out;
    write(out, indent, 0);
    return out;
}

void Json::write(std::string& out, int indent, int level) const {
    const auto new_line = [&](int at_level) {
        if (indent != 0) out += '\n' + std::string(static_cast<std::size_t>(indent * at_level), ' ');
    };
    if (is_null()) {
        out += "null";
    } else if (const auto* truth = std::get_if<bool>(&value_)) {
        out += *truth ? "true" : "false";
    } else if (const auto* integer = std::get_if<std::int64_t>(&value_)) {
        out += fmt::format("{}", *integer);
    } else if (const auto* number = std::get_if<double>(&value_)) {
        out += std::isfinite(*number) ? fmt::format("{}", *number) : "null";
    } else if (const auto* text = std::get_if<std::string>(&value_)) {
        append_json_text(out, *text);
    } else if (const auto* verbatim = std::get_if<Verbatim>(&value_)) {
        out += verbatim->text;
    } else if (const auto* items = std::get_if<Array>(&value_)) {
        out += '[';
        for (std::size_t i = 0; i < items->size(); ++i) {
            if (i > 0) out += ',';
            new_line(level + 1);
            (*items)[i].write(out, indent, level + 1);
        }
        if (!items->empty()) new_line(level);
        out += ']';
    } else {
        const auto& members = std::get<Object>(value_);
        out += '{';
        for (std::size_t i = 0; i < members.size(); ++i) {
            if (i > 0) out += ',';
            new_line(level + 1);
            append_json_text(out, members[i].first);
            out += indent != 0 ? ": " : ":";
            members[i].second.write(out, indent, level + 1);
        }
        if (!members.empty()) new_line(level);
        out += '}';
    }
}

void append_json_text(std::string& out, std::string_view text) {
    out += '"';
    while (!text.empty()) {
        const std::size_t good = find_invalid_utf8(text);
        for (const char c : text.substr(0, good)) {
            switch (c) {
                case '"':
                    out += "\\\"";
                    break;
                case '\\':
                    out += "\\\\";
                    break;
                case '\n':
                    out += "\\n";
                    break;
                case '\r':
                    out += "\\r";
                    break;
                case '\t':
                    out += "\\t";
                    break;
                default:
                    if (static_cast<unsigned char>(c) < 0x20) {
                        out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
                    } else {
                        out += c;
                    }
            }
        }
        if (good == text.size()) break;
        out += "\xEF\xBF\xBD";
        text.remove_prefix(good + 1);
    }
    out += '"';
}

}  // namespace takt
