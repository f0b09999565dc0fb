#include "sinks/nats_subject.h"

namespace takt {
namespace {

bool fits_token(char c) {
    return static_cast<unsigned char>(c) > ' ' && c != '.' && c != '*' && c != '>' && c != '\x7f';
}

std::string value_of(const Posting& posting, const std::string& name) {
    if (name == "type") return posting.type;
    if (name == "pipeline") return posting.pipeline;
    if (name == "key") return posting.key;
    if (name == "revision") return std::to_string(posting.revision);
    for (const Posting::KeyField& field : posting.key_fields)
        if (field.name == name) return field.value;
    return {};
}

}  // namespace

Result<NatsSubject> NatsSubject::parse(std::string_view text) {
    const Error mistake{"C525", fmt::format("'{}' is no subject such as ledger.{{type}}", text)};
    NatsSubject subject;
    bool token_empty = true;
    for (std::size_t i = 0; i < text.size();) {
        if (text[i] == '{') {
            const std::size_t close = text.find('}', i);
            if (close == std::string_view::npos || close == i + 1) return mistake;
            subject.pieces_.push_back({true, std::string(text.substr(i + 1, close - i - 1))});
            token_empty = false;
            i = close + 1;
            continue;
        }
        if (text[i] == '.' ? token_empty : !fits_token(text[i]) || text[i] == '}') return mistake;
        token_empty = text[i] == '.';
        if (subject.pieces_.empty() || subject.pieces_.back().is_name) subject.pieces_.push_back({false, {}});
        subject.pieces_.back().text += text[i++];
    }
    if (token_empty) return mistake;
    return subject;
}

std::string NatsSubject::of(const Posting& posting) const {
    std::string out;
    for (const Piece& piece : pieces_) {
        if (!piece.is_name) {
            out += piece.text;
            continue;
        }
        const std::string value = value_of(posting, piece.text);
        if (value.empty()) out += '_';
        for (const char c : value) out += fits_token(c) ? c : '_';
    }
    return out;
}

bool NatsSubject::uses(std::string_view name) const {
    return std::any_of(pieces_.begin(), pieces_.end(),
                       [&](const Piece& piece) { return piece.is_name && piece.text == name; });
}

std::string NatsSubject::pattern() const {
    std::string fixed;
    for (const Piece& piece : pieces_) {
        if (piece.is_name) {
            const std::size_t dot = fixed.rfind('.');
            return dot == std::string::npos ? ">" : fixed.substr(0, dot + 1) + ">";
        }
        fixed += piece.text;
    }
    return fixed;
}

}  // namespace takt
