#include "pipeline/expression/syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "pipeline/expression/utf8.h"

namespace takt::expression {
namespace {

enum class Token : std::uint8_t {
    end,
    identifier,
    quoted_identifier,
    integer,
    unsigned_integer,
    real,
    text,
    bytes,
    symbol
};

struct Lexeme {
    Token token = Token::end;
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
    std::string text;  ///< identifier, decoded string, digits, or the symbol
};

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
unsigned hex_value(char c) {
    return static_cast<unsigned>(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
}

constexpr std::string_view kReserved[] = {"as",        "break",  "const",  "continue", "else", "for",
                                          "function",  "if",     "import", "let",      "loop", "package",
                                          "namespace", "return", "var",    "void",     "while"};
constexpr std::size_t kDepthLimit = 250;
constexpr std::uint32_t kTreeDepthLimit = 1000;  ///< "a || b || c" is as deep as it has parts

class Lexer {
  public:
    Lexer(std::string_view text, std::vector<ExpressionMistake>& mistakes) : text_(text), mistakes_(mistakes) {}

    std::vector<Lexeme> run() {
        std::vector<Lexeme> lexemes;
        while (mistakes_.empty()) {
            skip_blank();
            Lexeme lexeme;
            lexeme.offset = static_cast<std::uint32_t>(at_);
            if (at_ >= text_.size()) {
                lexemes.push_back(lexeme);
                break;
            }
            read(lexeme);
            lexeme.length = static_cast<std::uint32_t>(at_) - lexeme.offset;
            lexemes.push_back(std::move(lexeme));
        }
        return lexemes;
    }

  private:
    char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

    void fail(std::size_t offset, std::string message) {
        mistakes_.push_back({static_cast<std::uint32_t>(offset), 1, "C201", std::move(message), ""});
        at_ = text_.size();
    }

    void skip_blank() {
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r') {
                ++at_;
            } else if (c == '/' && peek(1) == '/') {
                while (at_ < text_.size() && text_[at_] != '\n') ++at_;
            } else {
                break;
            }
        }
    }

    void read(Lexeme& lexeme) {
        const char c = peek();
        if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return read_number(lexeme);
        std::size_t prefix = 0;
        bool raw = false;
        bool bytes = false;
        while (prefix < 2) {
            const char p = static_cast<char>(peek(prefix) | 0x20);
            if (p == 'r' && !raw) {
                raw = true;
            } else if (p == 'b' && !bytes) {
                bytes = true;
            } else {
                break;
            }
            ++prefix;
        }
        if (peek(prefix) == '"' || peek(prefix) == '\'') {
            at_ += prefix;
            return read_string(lexeme, raw, bytes);
        }
        if (is_letter(c)) {
            const std::size_t begin = at_;
            while (is_letter(peek()) || is_digit(peek())) ++at_;
            lexeme.token = Token::identifier;
            lexeme.text = text_.substr(begin, at_ - begin);
            return;
        }
        if (c == '`') {
            const std::size_t begin = ++at_;
            while (at_ < text_.size() && text_[at_] != '`') ++at_;
            if (at_ >= text_.size()) return fail(begin - 1, "this quoted name has no end: '`' is missing");
            lexeme.token = Token::quoted_identifier;
            lexeme.text = text_.substr(begin, at_ - begin);
            ++at_;
            return;
        }
        static constexpr std::string_view symbols[] = {"&&", "||", "==", "!=", "<=", ">=", "<", ">",
                                                       "+",  "-",  "*",  "/",  "%",  "!",  "?", ":",
                                                       "(",  ")",  "[",  "]",  "{",  "}",  ".", ","};
        for (const std::string_view symbol : symbols) {
            if (text_.substr(at_, symbol.size()) == symbol) {
                at_ += symbol.size();
                lexeme.token = Token::symbol;
                lexeme.text = symbol;
                return;
            }
        }
        if (c == '&' || c == '|' || c == '=')
            return fail(at_, fmt::format("'{0}' is no operator; did you mean '{0}{0}'?", c));
        fail(at_, "this character has no meaning here");
    }

    void read_number(Lexeme& lexeme) {
        const std::size_t begin = at_;
        if (peek() == '0' && (peek(1) | 0x20) == 'x' && is_hex(peek(2))) {
            at_ += 2;
            while (is_hex(peek())) ++at_;
            lexeme.token = Token::integer;
        } else {
            lexeme.token = Token::integer;
            while (is_digit(peek())) ++at_;
            if (peek() == '.' && is_digit(peek(1))) {
                lexeme.token = Token::real;
                ++at_;
                while (is_digit(peek())) ++at_;
            }
            const std::size_t sign = peek(1) == '+' || peek(1) == '-' ? 1 : 0;
            if ((peek() | 0x20) == 'e' && is_digit(peek(1 + sign))) {
                lexeme.token = Token::real;
                at_ += 1 + sign;
                while (is_digit(peek())) ++at_;
            }
        }
        lexeme.text = text_.substr(begin, at_ - begin);
        if (lexeme.token == Token::integer && (peek() | 0x20) == 'u') {
            lexeme.token = Token::unsigned_integer;
            ++at_;
        }
        if (is_letter(peek()) || is_digit(peek())) fail(at_, "a number ends before this character");
    }

    void read_string(Lexeme& lexeme, bool raw, bool bytes) {
        lexeme.token = bytes ? Token::bytes : Token::text;
        const std::size_t begin = at_;
        const char quote = peek();
        const bool triple = peek(1) == quote && peek(2) == quote;
        at_ += triple ? 3 : 1;
        while (true) {
            if (at_ >= text_.size()) return fail(begin, "this string has no end");
            const char c = text_[at_];
            if (!triple && (c == '\n' || c == '\r')) return fail(begin, "this string does not end on its line");
            if (c == quote && (!triple || (peek(1) == quote && peek(2) == quote))) {
                at_ += triple ? 3 : 1;
                return;
            }
            if (c == '\\' && !raw) {
                if (!read_escape(lexeme.text, bytes)) return;
                continue;
            }
            lexeme.text.push_back(c);
            ++at_;
        }
    }

    bool read_escape(std::string& out, bool bytes) {
        const std::size_t begin = at_++;
        const char c = peek();
        ++at_;
        static constexpr std::pair<char, char> simple[] = {{'a', '\a'}, {'b', '\b'}, {'f', '\f'},  {'n', '\n'},
                                                           {'r', '\r'}, {'t', '\t'}, {'v', '\v'},  {'\\', '\\'},
                                                           {'?', '?'},  {'"', '"'},  {'\'', '\''}, {'`', '`'}};
        for (const auto& [letter, value] : simple) {
            if (c == letter) {
                out.push_back(value);
                return true;
            }
        }
        std::uint32_t value = 0;
        if (c == 'x' || c == 'X') {
            if (!read_digits(2, 16, value)) return bad_escape(begin, "\\x takes two hexadecimal digits");
        } else if (c == 'u' || c == 'U') {
            if (bytes) return bad_escape(begin, "\\u is not for bytes");
            if (!read_digits(c == 'u' ? 4 : 8, 16, value))
                return bad_escape(begin, "\\u takes 4 and \\U takes 8 hexadecimal digits");
        } else if (c >= '0' && c <= '3') {
            --at_;
            if (!read_digits(3, 8, value)) return bad_escape(begin, "an octal escape takes three digits");
        } else {
            return bad_escape(begin, "this is no escape sequence");
        }
        if (bytes) {
            out.push_back(static_cast<char>(value));
            return true;
        }
        if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
            return bad_escape(begin, "this is no Unicode character");
        append_utf8(value, out);
        return true;
    }

    bool bad_escape(std::size_t begin, std::string message) {
        fail(begin, std::move(message));
        return false;
    }

    bool read_digits(int count, unsigned base, std::uint32_t& value) {
        for (int i = 0; i < count; ++i) {
            const char c = peek();
            if (base == 16 ? !is_hex(c) : c < '0' || c > '7') return false;
            value = value * base + hex_value(c);
            ++at_;
        }
        return true;
    }

    std::string_view text_;
    std::vector<ExpressionMistake>& mistakes_;
    std::size_t at_ = 0;
};

using Tree = std::unique_ptr<Syntax>;

class Parser {
  public:
    Parser(std::vector<Lexeme> lexemes, std::vector<ExpressionMistake>& mistakes)
        : lexemes_(std::move(lexemes)), mistakes_(mistakes) {}

    Tree run() {
        Tree tree = conditional();
        if (tree && now().token != Token::end) fail("the expression should end before this");
        return mistakes_.empty() ? std::move(tree) : nullptr;
    }

  private:
    const Lexeme& now() const { return lexemes_[at_]; }
    bool is(std::string_view symbol) const { return now().token == Token::symbol && now().text == symbol; }
    bool take(std::string_view symbol) {
        if (!is(symbol)) return false;
        ++at_;
        return true;
    }
    Tree fail(std::string message) {
        if (mistakes_.empty()) {
            mistakes_.push_back({now().offset, now().length, "C201", std::move(message), ""});
        }
        return nullptr;
    }
    bool expect(std::string_view symbol, std::string_view after) {
        if (take(symbol)) return true;
        fail(fmt::format("expected '{}' {}", symbol, after));
        return false;
    }

    std::uint32_t end_of_last() const {
        const Lexeme& last = lexemes_[at_ - 1];
        return last.offset + last.length;
    }

    Tree make(Syntax::Kind kind, std::uint32_t offset) {
        auto tree = std::make_unique<Syntax>();
        tree->kind = kind;
        tree->offset = offset;
        tree->length = end_of_last() - offset;
        return tree;
    }

    /// The tree with its depth; nothing when that is beyond the limit.
    Tree measured(Tree tree) {
        std::uint32_t deepest = tree->operand ? tree->operand->depth : 0;
        for (const Tree& argument : tree->arguments) deepest = std::max(deepest, argument->depth);
        tree->depth = deepest + 1;
        if (tree->depth > kTreeDepthLimit) return fail("this expression has too many parts in a row");
        return tree;
    }

    template <typename... Arguments>
    Tree call(std::string name, std::uint32_t offset, Arguments... arguments) {
        Tree tree = make(Syntax::Kind::call, offset);
        tree->name = std::move(name);
        (tree->arguments.push_back(std::move(arguments)), ...);
        return measured(std::move(tree));
    }

    struct Depth {
        explicit Depth(Parser& parser) : parser_(parser) { ++parser_.depth_; }
        ~Depth() { --parser_.depth_; }
        Parser& parser_;
    };

    Tree conditional() {
        const Depth depth(*this);
        if (depth_ > kDepthLimit) return fail("this expression is nested too deeply");
        const std::uint32_t offset = now().offset;
        Tree condition = binary(0);
        if (!condition || !take("?")) return condition;
        Tree yes = binary(0);
        if (!yes || !expect(":", "after the first value of '?'")) return nullptr;
        Tree no = conditional();
        if (!no) return nullptr;
        return call("_?_:_", offset, std::move(condition), std::move(yes), std::move(no));
    }

    /// Operators of one precedence, loosest first.
    static std::vector<std::string_view> level(std::size_t precedence) {
        switch (precedence) {
            case 0:
                return {"||"};
            case 1:
                return {"&&"};
            case 2:
                return {"==", "!=", "<=", ">=", "<", ">", "in"};
            case 3:
                return {"+", "-"};
            case 4:
                return {"*", "/", "%"};
            default:
                return {};
        }
    }

    std::optional<std::string> take_operator(std::size_t precedence) {
        for (const std::string_view symbol : level(precedence)) {
            if (symbol == "in" ? now().token == Token::identifier && now().text == "in" : is(symbol)) {
                ++at_;
                return symbol == "in" ? "@in" : fmt::format("_{}_", symbol);
            }
        }
        return std::nullopt;
    }

    Tree binary(std::size_t precedence) {
        if (precedence == 5) return unary();
        const std::uint32_t offset = now().offset;
        Tree left = binary(precedence + 1);
        while (left) {
            auto name = take_operator(precedence);
            if (!name) break;
            Tree right = binary(precedence + 1);
            if (!right) return nullptr;
            left = call(std::move(*name), offset, std::move(left), std::move(right));
        }
        return left;
    }

    Tree unary() {
        const Depth depth(*this);
        if (depth_ > kDepthLimit) return fail("this expression is nested too deeply");
        const std::uint32_t offset = now().offset;
        if (take("!")) {
            Tree operand = unary();
            return operand ? call("!_", offset, std::move(operand)) : nullptr;
        }
        if (is("-")) {
            ++at_;
            if (now().token == Token::integer || now().token == Token::real) {
                Tree negative = number("-");
                return negative ? postfix(std::move(negative), offset) : nullptr;
            }
            Tree operand = unary();
            return operand ? call("-_", offset, std::move(operand)) : nullptr;
        }
        Tree tree = primary();
        return tree ? postfix(std::move(tree), offset) : nullptr;
    }

    Tree postfix(Tree tree, std::uint32_t offset) {
        std::size_t links = 0;
        while (tree) {
            if (++links > kDepthLimit) return fail("this expression is nested too deeply");
            if (take(".")) {
                if (now().token != Token::identifier && now().token != Token::quoted_identifier)
                    return fail("expected a name after '.'");
                const bool quoted = now().token == Token::quoted_identifier;
                std::string name = now().text;
                ++at_;
                if (!quoted && take("(")) {
                    Tree made = call(std::move(name), offset);
                    if (!list(made->arguments, ")")) return nullptr;
                    made->operand = std::move(tree);
                    made->length = end_of_last() - offset;
                    tree = measured(std::move(made));
                } else {
                    Tree made = make(Syntax::Kind::select, offset);
                    made->name = std::move(name);
                    made->operand = std::move(tree);
                    tree = measured(std::move(made));
                }
            } else if (take("[")) {
                Tree index = conditional();
                if (!index || !expect("]", "after an index")) return nullptr;
                tree = call("_[_]", offset, std::move(tree), std::move(index));
            } else {
                return tree;
            }
        }
        return nullptr;
    }

    bool list(std::vector<Tree>& items, std::string_view end) {
        if (take(end)) return true;
        while (true) {
            Tree item = conditional();
            if (!item) return false;
            items.push_back(std::move(item));
            if (take(end)) return true;
            if (!expect(",", fmt::format("or '{}'", end))) return false;
            if (end != ")" && take(end)) return true;
        }
    }

    Tree primary() {
        const Lexeme lexeme = now();
        const std::uint32_t offset = lexeme.offset;
        switch (lexeme.token) {
            case Token::integer:
            case Token::unsigned_integer:
            case Token::real:
                return number("");
            case Token::text:
            case Token::bytes: {
                ++at_;
                Tree tree = make(Syntax::Kind::literal, offset);
                tree->literal = lexeme.text;
                tree->bytes = lexeme.token == Token::bytes;
                return tree;
            }
            case Token::identifier:
                return name(lexeme);
            case Token::quoted_identifier:
                return fail("a quoted name may only stand after '.'");
            case Token::symbol:
                break;
            case Token::end:
                return fail("the expression ends where a value is expected");
        }
        if (take("(")) {
            Tree tree = conditional();
            if (!tree || !expect(")", "to close the parenthesis")) return nullptr;
            return tree;
        }
        if (take("[")) {
            Tree tree = make(Syntax::Kind::list, offset);
            if (!list(tree->arguments, "]")) return nullptr;
            tree->length = end_of_last() - offset;
            return measured(std::move(tree));
        }
        if (take("{")) return map(offset);
        if (take(".")) {
            if (now().token != Token::identifier) return fail("expected a name after '.'");
            Tree tree = name(now());
            if (tree) tree->absolute = true;
            return tree;
        }
        return fail("expected a value here");
    }

    Tree map(std::uint32_t offset) {
        Tree tree = make(Syntax::Kind::map, offset);
        while (!take("}")) {
            Tree key = conditional();
            if (!key || !expect(":", "after a key")) return nullptr;
            Tree value = conditional();
            if (!value) return nullptr;
            tree->arguments.push_back(std::move(key));
            tree->arguments.push_back(std::move(value));
            if (is("}")) continue;
            if (!expect(",", "or '}'")) return nullptr;
        }
        tree->length = end_of_last() - offset;
        return measured(std::move(tree));
    }

    Tree name(const Lexeme& lexeme) {
        for (const std::string_view reserved : kReserved) {
            if (lexeme.text == reserved) return fail(fmt::format("'{}' is a reserved word", reserved));
        }
        if (lexeme.text == "in") return fail("expected a value before 'in'");
        const std::string text = lexeme.text;
        const std::uint32_t offset = lexeme.offset;
        ++at_;
        if (text == "true" || text == "false" || text == "null") {
            Tree tree = make(Syntax::Kind::literal, offset);
            if (text != "null") tree->literal = text == "true";
            return tree;
        }
        if (take("(")) {
            Tree tree = call(text, offset);
            if (!list(tree->arguments, ")")) return nullptr;
            tree->length = end_of_last() - offset;
            return measured(std::move(tree));
        }
        Tree tree = make(Syntax::Kind::identifier, offset);
        tree->name = text;
        return tree;
    }

    Tree number(std::string_view sign) {
        const Lexeme lexeme = now();
        ++at_;
        Tree tree = make(Syntax::Kind::literal, lexeme.offset - static_cast<std::uint32_t>(sign.size()));
        std::string text(sign);
        text += lexeme.text;
        if (lexeme.token == Token::real) {
            tree->literal = std::strtod(text.c_str(), nullptr);
            return tree;
        }
        const bool hex = lexeme.text.size() > 2 && (lexeme.text[1] | 0x20) == 'x';
        std::uint64_t magnitude = 0;
        const char* begin = lexeme.text.data() + (hex ? 2 : 0);
        const auto read = std::from_chars(begin, lexeme.text.data() + lexeme.text.size(), magnitude, hex ? 16 : 10);
        const bool is_unsigned = lexeme.token == Token::unsigned_integer;
        const std::uint64_t limit =
            is_unsigned ? UINT64_MAX : static_cast<std::uint64_t>(INT64_MAX) + (sign.empty() ? 0 : 1);
        if (read.ec != std::errc() || magnitude > limit) {
            --at_;
            return fail(fmt::format("'{}' does not fit 64 bits", text));
        }
        if (is_unsigned) {
            tree->literal = magnitude;
        } else {
            tree->literal = static_cast<std::int64_t>(sign.empty() ? magnitude : std::uint64_t{0} - magnitude);
        }
        return tree;
    }

    std::vector<Lexeme> lexemes_;
    std::vector<ExpressionMistake>& mistakes_;
    std::size_t at_ = 0;
    std::size_t depth_ = 0;
};

}  // namespace

std::unique_ptr<Syntax> parse(std::string_view text, std::vector<ExpressionMistake>& mistakes) {
    std::vector<Lexeme> lexemes = Lexer(text, mistakes).run();
    if (!mistakes.empty()) return nullptr;
    return Parser(std::move(lexemes), mistakes).run();
}

}  // namespace takt::expression
