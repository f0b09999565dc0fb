// Functions of strings and bytes: CEL's standard ones and its strings extension.
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "pipeline/expression/builder.h"
#include "pipeline/expression/fixed_text.h"
#include "pipeline/expression/text_format.h"
#include "pipeline/expression/utf8.h"
#include "pipeline/expression/values.h"

namespace takt::expression {
namespace {

using K = TypeKind;
using Text = std::string_view;
constexpr const char* kOutOfRange = "index out of range";

template <typename F>
Typed test(Builder& builder, Builder::Call& call, F function) {
    return builder.finish(call.syntax,
                          pure<std::uint8_t, Text, Text>(of(K::boolean), call.take(), [function](Text a, Text b) {
                              return static_cast<std::uint8_t>(function(a, b));
                          }));
}

/// startsWith and endsWith; against a text that is written out without a call for each row.
Typed build_affix(Builder& builder, Builder::Call& call, bool at_end) {
    if (call.arguments[1].node->constant() == nullptr) {
        return test(builder, call, [at_end](Text text, Text affix) {
            return text.size() >= affix.size() &&
                   text.substr(at_end ? text.size() - affix.size() : 0, affix.size()) == affix;
        });
    }
    std::vector<NodePointer> nodes = call.take();
    const Text affix = builder.keep(nodes[1]->constant()->values<Text>()[0]);
    nodes.pop_back();
    return with_fixed_text(affix, [&](auto is) {
        const auto make = [&](auto place) {
            return builder.finish(
                call.syntax, pure<std::uint8_t, Text>(of(K::boolean), std::move(nodes), [is, place](Text text) {
                    return static_cast<std::uint8_t>(text.size() >= is.size && is(place(text, is.size)));
                }));
        };
        if (at_end) return make([](Text text, std::size_t size) { return text.data() + (text.size() - size); });
        return make([](Text text, std::size_t) { return text.data(); });
    });
}

template <typename F>
Typed make_text(Builder& builder, Builder::Call& call, F function) {
    return builder.finish(
        call.syntax, fallible<Text, Text>(of(K::string), call.take(), [function](Text& out, Arena& strings, Text text) {
            out = strings.copy(function(text));
            return static_cast<const char*>(nullptr);
        }));
}

Typed build_matches(Builder& builder, Builder::Call& call) {
    const auto pattern = constant_text(call.arguments[1]);
    if (!pattern) {
        return builder.finish(
            call.syntax,
            fallible<std::uint8_t, Text, Text>(
                of(K::boolean), call.take(), [](std::uint8_t& out, Arena&, Text text, Text written) -> const char* {
                    const re2::RE2 compiled(re2::StringPiece(written.data(), written.size()), re2::RE2::Quiet);
                    if (!compiled.ok()) return "this is no regular expression (RE2)";
                    out = re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), compiled) ? 1 : 0;
                    return nullptr;
                }));
    }
    // shared: std::function-like lambdas are copied; RE2 itself cannot be.
    const auto compiled =
        std::make_shared<re2::RE2>(re2::StringPiece(pattern->data(), pattern->size()), re2::RE2::Quiet);
    if (!compiled->ok())
        return builder.fail(*call.arguments[1].syntax, "C208",
                            fmt::format("this is no regular expression (RE2): {}", compiled->error()));
    std::vector<NodePointer> nodes = call.take();
    nodes.pop_back();
    return builder.finish(call.syntax,
                          pure<std::uint8_t, Text>(of(K::boolean), std::move(nodes), [compiled](Text text) {
                              return static_cast<std::uint8_t>(
                                  re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *compiled));
                          }));
}

std::int64_t find_first(Text text, Text what, std::size_t from) {
    const std::size_t at = text.find(what, from);
    return at == Text::npos ? -1 : count_characters(text.substr(0, at));
}

std::int64_t find_last(Text text, Text what, std::size_t from) {
    const std::size_t at = text.rfind(what, from);
    return at == Text::npos ? -1 : count_characters(text.substr(0, at));
}

std::optional<Typed> build_search(Builder& builder, Builder::Call& call) {
    const bool first = call.name == "indexOf";
    if (call.matches({K::string, K::string})) {
        return builder.finish(call.syntax,
                              pure<std::int64_t, Text, Text>(of(K::int64), call.take(), [first](Text text, Text what) {
                                  return first ? find_first(text, what, 0) : find_last(text, what, Text::npos);
                              }));
    }
    if (!call.matches({K::string, K::string, K::int64})) return builder.no_overload(call);
    return builder.finish(
        call.syntax, fallible<std::int64_t, Text, Text, std::int64_t>(
                         of(K::int64), call.take(),
                         [first](std::int64_t& out, Arena&, Text text, Text what, std::int64_t from) -> const char* {
                             const std::size_t offset = offset_of_character(text, from);
                             if (offset == Text::npos) return kOutOfRange;
                             out = first ? find_first(text, what, offset) : find_last(text, what, offset);
                             return nullptr;
                         }));
}

std::optional<Typed> build_substring(Builder& builder, Builder::Call& call) {
    if (call.matches({K::string, K::int64})) {
        return builder.finish(call.syntax, fallible<Text, Text, std::int64_t>(
                                               of(K::string), call.take(),
                                               [](Text& out, Arena&, Text text, std::int64_t from) -> const char* {
                                                   const std::size_t begin = offset_of_character(text, from);
                                                   if (begin == Text::npos) return kOutOfRange;
                                                   out = text.substr(begin);
                                                   return nullptr;
                                               }));
    }
    if (!call.matches({K::string, K::int64, K::int64})) return builder.no_overload(call);
    return builder.finish(call.syntax,
                          fallible<Text, Text, std::int64_t, std::int64_t>(
                              of(K::string), call.take(),
                              [](Text& out, Arena&, Text text, std::int64_t from, std::int64_t to) -> const char* {
                                  const std::size_t begin = offset_of_character(text, from);
                                  const std::size_t end = offset_of_character(text, to);
                                  if (begin == Text::npos || end == Text::npos || from > to) return kOutOfRange;
                                  out = text.substr(begin, end - begin);
                                  return nullptr;
                              }));
}

/// Replaces the first `limit` (negative: all) places.
std::string replace(Text text, Text what, Text with, std::int64_t limit) {
    std::string out;
    std::size_t at = 0;
    while (limit != 0) {
        std::size_t found = text.find(what, at);
        if (found == Text::npos) break;
        if (what.empty()) {
            // Between all characters, and at both ends.
            out.append(with);
            if (found >= text.size()) {
                at = text.size();
                --limit;
                break;
            }
            const std::size_t size = character_size(text, found);
            out.append(text.substr(found, size));
            at = found + size;
        } else {
            out.append(text.substr(at, found - at)).append(with);
            at = found + what.size();
        }
        --limit;
    }
    return out.append(text.substr(at));
}

std::optional<Typed> build_replace(Builder& builder, Builder::Call& call) {
    if (call.matches({K::string, K::string, K::string})) {
        return builder.finish(call.syntax, fallible<Text, Text, Text, Text>(
                                               of(K::string), call.take(),
                                               [](Text& out, Arena& strings, Text text, Text what, Text with) {
                                                   out = strings.copy(replace(text, what, with, -1));
                                                   return static_cast<const char*>(nullptr);
                                               }));
    }
    if (!call.matches({K::string, K::string, K::string, K::int64})) return builder.no_overload(call);
    return builder.finish(call.syntax,
                          fallible<Text, Text, Text, Text, std::int64_t>(
                              of(K::string), call.take(),
                              [](Text& out, Arena& strings, Text text, Text what, Text with, std::int64_t limit) {
                                  out = strings.copy(replace(text, what, with, limit));
                                  return static_cast<const char*>(nullptr);
                              }));
}

std::vector<Text> split(Text text, Text separator, std::int64_t limit) {
    std::vector<Text> parts;
    if (limit == 0) return parts;
    while (limit < 0 || static_cast<std::int64_t>(parts.size()) + 1 < limit) {
        if (text.empty() && separator.empty()) return parts;
        const std::size_t at = separator.empty() ? character_size(text, 0) : text.find(separator);
        if (at == Text::npos || (separator.empty() && at >= text.size())) break;
        parts.push_back(text.substr(0, at));
        text.remove_prefix(at + separator.size());
    }
    parts.push_back(text);
    return parts;
}

class SplitNode final : public Program::Node {
  public:
    SplitNode(NodePointer text, NodePointer separator, NodePointer limit)
        : Node(Type::list_of(of(K::string))),
          text_(std::move(text)),
          separator_(std::move(separator)),
          limit_(std::move(limit)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        NodeScratch& own = scratch(frame);
        own.errors.clear();
        const Values text = text_->evaluate(frame, rows, nullptr);
        const Values separator = separator_->evaluate(frame, rows, nullptr);
        merge_errors(own.errors, text.errors);
        merge_errors(own.errors, separator.errors);
        std::optional<Values> limit;
        if (limit_ != nullptr) {
            limit = limit_->evaluate(frame, rows, nullptr);
            merge_errors(own.errors, limit->errors);
        }
        std::size_t total = 0;
        for (const Row row : rows) total += Reader<Text>(text)[row].size() + 1;
        Column& out = result_column(frame, target);
        ListWriter writer(out, of(K::string), total);
        for (const Row row : rows) {
            writer.begin_row(row);
            const std::int64_t most = limit ? Reader<std::int64_t>(*limit)[row] : -1;
            for (const Text part : split(Reader<Text>(text)[row], Reader<Text>(separator)[row], most))
                writer.append_text(part);
        }
        return {&out, false, own.errors.empty() ? nullptr : &own.errors, true};
    }

  private:
    NodePointer text_;
    NodePointer separator_;
    NodePointer limit_;
};

class JoinNode final : public Program::Node {
  public:
    JoinNode(NodePointer list, NodePointer separator)
        : Node(of(K::string)), list_(std::move(list)), separator_(std::move(separator)) {}

    Values evaluate(const Frame& frame, const Selection& rows, Column* target) const override {
        NodeScratch& own = scratch(frame);
        own.errors.clear();
        const Values list = list_->evaluate(frame, rows, nullptr);
        merge_errors(own.errors, list.errors);
        std::optional<Values> separator;
        if (separator_ != nullptr) {
            separator = separator_->evaluate(frame, rows, nullptr);
            merge_errors(own.errors, separator->errors);
        }
        Column& out = result_column(frame, target);
        for (const Row row : rows) {
            const ListSpan span = Reader<ListSpan>(list)[row];
            std::string joined;
            for (std::uint32_t i = 0; i < span.size; ++i) {
                if (i > 0 && separator) joined += Reader<Text>(*separator)[row];
                joined += list.column->elements()->values<Text>()[span.begin + i];
            }
            out.values<Text>()[row] = frame.strings->copy(joined);
        }
        return {&out, false, own.errors.empty() ? nullptr : &own.errors, true};
    }

  private:
    NodePointer list_;
    NodePointer separator_;
};

/// Unicode's White_Space.
bool is_space(std::uint32_t c) {
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
           c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::uint32_t code_point(Text text, std::size_t at) {
    const auto byte = [&](std::size_t i) {
        return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at + i]));
    };
    switch (character_size(text, at)) {
        case 2:
            return ((byte(0) & 0x1F) << 6) | (byte(1) & 0x3F);
        case 3:
            return ((byte(0) & 0x0F) << 12) | ((byte(1) & 0x3F) << 6) | (byte(2) & 0x3F);
        case 4:
            return ((byte(0) & 0x07) << 18) | ((byte(1) & 0x3F) << 12) | ((byte(2) & 0x3F) << 6) | (byte(3) & 0x3F);
        default:
            return byte(0);
    }
}

Text trim(Text text) {
    std::size_t begin = 0;
    while (begin < text.size() && is_space(code_point(text, begin))) begin += character_size(text, begin);
    std::size_t end = begin;
    for (std::size_t at = begin; at < text.size(); at += character_size(text, at)) {
        if (!is_space(code_point(text, at))) end = at + character_size(text, at);
    }
    return text.substr(begin, end - begin);
}

std::string reverse(Text text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t end = text.size(); end > 0;) {
        std::size_t begin = end - 1;
        while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
        out.append(text.substr(begin, end - begin));
        end = begin;
    }
    return out;
}

std::string quote(Text text) {
    std::string out = "\"";
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t size = character_size(text, at);
        static constexpr std::pair<char, char> escapes[] = {{'\a', 'a'}, {'\b', 'b'},  {'\f', 'f'},
                                                            {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'},
                                                            {'\v', 'v'}, {'\\', '\\'}, {'"', '"'}};
        char letter = 0;
        for (const auto& [character, escape] : escapes) {
            if (text[at] == character) letter = escape;
        }
        if (letter != 0) {
            out.push_back('\\');
            out.push_back(letter);
        } else if (size == 1 && static_cast<unsigned char>(text[at]) >= 0x80) {
            out += "\uFFFD";
        } else {
            out.append(text.substr(at, size));
        }
        at += size;
    }
    return out + "\"";
}

std::optional<Typed> build_method(Builder& builder, Builder::Call& call) {
    if (!call.arguments[0].type().is(K::string) && !call.arguments[0].type().is(K::list)) {
        static constexpr Text names[] = {"contains", "startsWith",  "endsWith",  "matches",    "charAt",
                                         "indexOf",  "lastIndexOf", "substring", "lowerAscii", "upperAscii",
                                         "trim",     "reverse",     "replace",   "split",      "format"};
        for (const Text name : names) {
            if (call.name == name) return builder.no_overload(call);
        }
        return std::nullopt;
    }
    const bool two_texts = call.matches({K::string, K::string});
    const bool one_text = call.matches({K::string});
    if (call.name == "contains")
        return two_texts ? test(builder, call, [](Text a, Text b) { return a.find(b) != Text::npos; })
                         : builder.no_overload(call);
    if (call.name == "startsWith" || call.name == "endsWith") {
        return two_texts ? build_affix(builder, call, call.name == "endsWith") : builder.no_overload(call);
    }
    if (call.name == "matches") return two_texts ? build_matches(builder, call) : builder.no_overload(call);
    if (call.name == "indexOf" || call.name == "lastIndexOf") return build_search(builder, call);
    if (call.name == "substring") return build_substring(builder, call);
    if (call.name == "replace") return build_replace(builder, call);
    if (call.name == "charAt") {
        if (!call.matches({K::string, K::int64})) return builder.no_overload(call);
        return builder.finish(call.syntax, fallible<Text, Text, std::int64_t>(
                                               of(K::string), call.take(),
                                               [](Text& out, Arena&, Text text, std::int64_t index) -> const char* {
                                                   const std::size_t at = offset_of_character(text, index);
                                                   if (at == Text::npos) return kOutOfRange;
                                                   if (at < text.size())
                                                       out = text.substr(at, character_size(text, at));
                                                   return nullptr;
                                               }));
    }
    if (call.name == "lowerAscii" || call.name == "upperAscii") {
        const bool lower = call.name == "lowerAscii";
        if (!one_text) return builder.no_overload(call);
        return make_text(builder, call, [lower](Text text) {
            std::string out(text);
            for (char& c : out) {
                if (lower ? c >= 'A' && c <= 'Z' : c >= 'a' && c <= 'z') c = static_cast<char>(c ^ 0x20);
            }
            return out;
        });
    }
    if (call.name == "reverse") return one_text ? make_text(builder, call, reverse) : builder.no_overload(call);
    if (call.name == "trim") {
        if (!one_text) return builder.no_overload(call);
        return builder.finish(call.syntax, pure<Text, Text>(of(K::string), call.take(), trim));
    }
    if (call.name == "split") {
        const bool with_limit = call.matches({K::string, K::string, K::int64});
        if (!two_texts && !with_limit) return builder.no_overload(call);
        return builder.finish(call.syntax, std::make_unique<SplitNode>(
                                               std::move(call.arguments[0].node), std::move(call.arguments[1].node),
                                               with_limit ? std::move(call.arguments[2].node) : nullptr));
    }
    if (call.name == "join") {
        const bool of_strings =
            call.arguments[0].type().is(K::list) &&
            (call.arguments[0].type().element == K::string || call.arguments[0].type().element == K::null);
        const bool with_separator = call.matches({K::list, K::string});
        if (!of_strings || (call.arguments.size() != 1 && !with_separator)) return builder.no_overload(call);
        return builder.finish(call.syntax,
                              std::make_unique<JoinNode>(std::move(call.arguments[0].node),
                                                         with_separator ? std::move(call.arguments[1].node) : nullptr));
    }
    if (call.name == "format") return build_format(builder, call);
    return std::nullopt;
}

}  // namespace

std::optional<Typed> build_string_function(Builder& builder, Builder::Call& call) {
    if (call.name == "strings.quote")
        return call.matches({K::string}) ? make_text(builder, call, quote) : builder.no_overload(call);
    if (call.name == "size" && (call.matches({K::string}) || call.matches({K::bytes}))) {
        const bool bytes = call.arguments[0].type().is(K::bytes);
        return builder.finish(call.syntax, pure<std::int64_t, Text>(of(K::int64), call.take(), [bytes](Text text) {
                                  return bytes ? static_cast<std::int64_t>(text.size()) : count_characters(text);
                              }));
    }
    if (call.name == "matches" && !call.method && call.matches({K::string, K::string}))
        return build_matches(builder, call);
    if (call.method && !call.arguments.empty()) return build_method(builder, call);
    return std::nullopt;
}

}  // namespace takt::expression
