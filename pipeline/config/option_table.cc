#include "pipeline/config/option_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace takt {

std::string_view to_string(OptionKind kind) {
    switch (kind) {
        case OptionKind::boolean:
            return "true or false";
        case OptionKind::integer:
            return "whole number";
        case OptionKind::number:
            return "number";
        case OptionKind::text:
            return "text";
        case OptionKind::duration:
            return "duration";
        case OptionKind::size:
            return "size";
        case OptionKind::decimal:
            return "decimal";
        case OptionKind::secret:
            return "secret";
        case OptionKind::any:
            return "value";
        case OptionKind::expression:
            return "expression";
        case OptionKind::text_list:
            return "text or list of texts";
        case OptionKind::expression_list:
            return "expression or list of expressions";
        case OptionKind::named_expressions:
            return "named expressions";
        case OptionKind::choice:
            return "choice";
    }
    return "";
}

std::string OptionDoc::bounds() const {
    std::vector<std::string> parts;
    if (!above.empty()) parts.push_back("above " + above);
    if (!at_least.empty()) parts.push_back("at least " + at_least);
    if (!at_most.empty()) parts.push_back("at most " + at_most);
    if (!below.empty()) parts.push_back("below " + below);
    if (!choices.empty()) parts.push_back(fmt::format("one of {}", fmt::join(choices, ", ")));
    return fmt::format("{}", fmt::join(parts, ", "));
}

void OptionTableBase::add(std::unique_ptr<Option> option) {
    const auto same = [&](const auto& known) { return known->doc().name == option->doc().name; };
    CHECK(std::none_of(options_.begin(), options_.end(), same));
    options_.push_back(std::move(option));
}

void OptionTableBase::short_form(std::string_view name) {
    for (const auto& option : options_) {
        option->doc_.short_form = option->doc().name == name;
        if (option->doc_.short_form) short_form_ = std::string(name);
    }
    CHECK(short_form_ == name);
}

OptionDocs OptionTableBase::describe() const {
    OptionDocs docs;
    for (const auto& option : options_) docs.push_back(option->doc());
    return docs;
}

bool OptionTableBase::read_into(const ConfigNode& mapping, std::string_view what, void* object, Mistakes& mistakes,
                                const std::vector<std::string>& ignored) const {
    if (mapping.unresolved) return false;
    const bool is_short = !short_form_.empty() && (mapping.is_scalar() || mapping.is_sequence());
    if (!is_short && !mapping.is_mapping() && !mapping.is_null()) {
        mistakes.add(mapping.place, "C196",
                     fmt::format("{} must be a mapping of options, found {}", what, mapping.written()));
        return false;
    }
    bool good = true;
    for (const ConfigNode::Entry& entry : mapping.entries) {
        const auto known = [&](const auto& option) { return option->doc().name == entry.key; };
        if (std::any_of(options_.begin(), options_.end(), known)) continue;
        if (std::find(ignored.begin(), ignored.end(), entry.key) != ignored.end()) continue;
        std::vector<std::string> names = ignored;
        for (const auto& option : options_) names.push_back(option->doc().name);
        std::string message = fmt::format("unknown option '{}' in {}", entry.key, what);
        std::string hint = did_you_mean(entry.key, names);
        // Beside a name that is nearly a secret's there may be a secret.
        const bool nearly_secret = std::any_of(options_.begin(), options_.end(), [&](const auto& option) {
            return option->doc().kind == OptionKind::secret &&
                   hint.find("'" + option->doc().name + "'") != std::string::npos;
        });
        if (nearly_secret) {
            mistakes.add_without_line(entry.key_place, "C104", std::move(message), std::move(hint));
        } else {
            mistakes.add(entry.key_place, "C104", std::move(message), std::move(hint));
        }
        good = false;
    }
    std::vector<std::string_view> missing;
    for (const auto& option : options_) {
        const OptionDoc& doc = option->doc();
        const ConfigNode* node = is_short && doc.short_form ? &mapping : mapping.find(doc.name);
        if (node != nullptr) {
            good = option->read(*node, OptionContext{doc.name, what, mistakes}, object) && good;
        } else if (doc.required) {
            missing.push_back(doc.name);
        }
    }
    for (const std::string_view name : missing) {
        const auto option =
            std::find_if(options_.begin(), options_.end(), [&](const auto& one) { return one->doc().name == name; });
        mistakes.add(mapping.place, "C190", fmt::format("missing option '{}' in {}", name, what),
                     (*option)->doc().help);
    }
    return good && missing.empty();
}

namespace {

/// A value of this kind may also come from the environment, and then is a text.
Json or_environment(Json schema) {
    Json environment = Json::object();
    environment.set("type", "string").set("pattern", "\\$\\{");
    Json both = Json::array();
    both.push(std::move(schema)).push(std::move(environment));
    Json any = Json::object();
    any.set("anyOf", std::move(both));
    return any;
}

Json typed(std::string_view type) {
    Json schema = Json::object();
    schema.set("type", type);
    return schema;
}

/// A plain YAML scalar is a text for us, whatever it looks like.
Json scalar_schema() {
    Json schema = Json::object();
    schema.set("type", Json::array({"string", "number", "boolean"}));
    return schema;
}

Json words_schema(const OptionDoc& doc) {
    if (doc.choices.empty()) return scalar_schema();
    Json schema = Json::object();
    schema.set("enum", Json::array(doc.choices));
    return schema;
}

Json one_or_list(const Json& item) {
    Json list = typed("array");
    list.set("items", item);
    Json ways = Json::array();
    ways.push(item).push(std::move(list));
    Json schema = Json::object();
    schema.set("anyOf", std::move(ways));
    return schema;
}

Json number_schema(const OptionDoc& doc, std::string_view type) {
    Json schema = typed(type);
    if (!doc.above.empty()) schema.set("exclusiveMinimum", Json::number(doc.above));
    if (!doc.at_least.empty()) schema.set("minimum", Json::number(doc.at_least));
    if (!doc.at_most.empty()) schema.set("maximum", Json::number(doc.at_most));
    if (!doc.below.empty()) schema.set("exclusiveMaximum", Json::number(doc.below));
    return or_environment(std::move(schema));
}

Json secret_schema() {
    Json environment = Json::object();
    environment.set("type", "string").set("pattern", "\\$\\{");
    Json ways = Json::array();
    ways.push(std::move(environment));
    for (const char* way : {"env", "file"}) {
        Json properties = Json::object();
        properties.set(way, typed("string"));
        Json mapping = typed("object");
        mapping.set("properties", std::move(properties))
            .set("required", Json::array({way}))
            .set("additionalProperties", false);
        ways.push(std::move(mapping));
    }
    Json schema = Json::object();
    schema.set("anyOf", std::move(ways));
    return schema;
}

Json kind_schema(const OptionDoc& doc) {
    switch (doc.kind) {
        case OptionKind::boolean:
            return or_environment(typed("boolean"));
        case OptionKind::integer:
            return number_schema(doc, "integer");
        case OptionKind::number:
            return number_schema(doc, "number");
        case OptionKind::text:
            return words_schema(doc);
        case OptionKind::duration: {
            Json schema = typed("string");
            schema.set("pattern", "^([0-9]+(ns|us|ms|s|m|h|d))+$|\\$\\{");
            return schema;
        }
        case OptionKind::size: {
            Json schema = Json::object();
            schema.set("type", Json::array({"integer", "string"}))
                .set("pattern", "^[0-9]+([KMGT]iB|[kKMGT]B|B)?$|\\$\\{");
            return schema;
        }
        case OptionKind::decimal: {
            Json schema = Json::object();
            schema.set("type", Json::array({"string", "number"}));
            return schema;
        }
        case OptionKind::secret:
            return secret_schema();
        case OptionKind::any:
            return Json::object();
        case OptionKind::expression:
            return scalar_schema();
        case OptionKind::text_list:
            return one_or_list(words_schema(doc));
        case OptionKind::expression_list:
            return one_or_list(scalar_schema());
        case OptionKind::named_expressions: {
            Json schema = typed("object");
            schema.set("additionalProperties", scalar_schema());
            return schema;
        }
        case OptionKind::choice:
            return or_environment(words_schema(doc));
    }
    return Json::object();
}

void add_default(const OptionDoc& doc, Json& schema) {
    if (doc.default_value.empty()) return;
    switch (doc.kind) {
        case OptionKind::boolean:
            schema.set("default", doc.default_value == "true");
            break;
        case OptionKind::integer:
        case OptionKind::number:
            schema.set("default", Json::number(doc.default_value));
            break;
        case OptionKind::text_list:
            break;
        default:
            schema.set("default", doc.default_value);
    }
}

}  // namespace

Json option_schema(const OptionDocs& docs, const std::vector<std::string>& extra) {
    Json properties = Json::object();
    Json required = Json::array();
    Json short_form;
    for (const std::string& name : extra) properties.set(name, Json::object());
    for (const OptionDoc& doc : docs) {
        Json schema = kind_schema(doc);
        if (doc.short_form) short_form = schema;
        const std::string bounds = doc.choices.empty() ? doc.bounds() : "";
        schema.set("description", bounds.empty() ? doc.help : fmt::format("{} ({})", doc.help, bounds));
        add_default(doc, schema);
        properties.set(doc.name, std::move(schema));
        if (doc.required) required.push(doc.name);
    }
    Json mapping = Json::object();
    mapping.set("type", required.empty() ? Json::array({"object", "null"}) : Json("object"));
    mapping.set("properties", std::move(properties));
    if (!required.empty()) mapping.set("required", std::move(required));
    mapping.set("additionalProperties", false);
    if (short_form.is_null()) return mapping;
    Json ways = Json::array();
    ways.push(std::move(short_form)).push(std::move(mapping));
    Json schema = Json::object();
    schema.set("anyOf", std::move(ways));
    return schema;
}

}  // namespace takt
