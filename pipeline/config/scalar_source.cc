#include "pipeline/config/scalar_source.h"

#include <algorithm>
#include <cstddef>

namespace takt {
namespace {

bool is_blank(char c) {
    return c == ' ' || c == '\t';
}
bool is_space(char c) {
    return is_blank(c) || c == '\n';
}

/// Walks source and value side by side. The value decides where the scalar ends, so the walk needs no grammar for that.
class ScalarWalk {
  public:
    ScalarWalk(std::string_view text, std::size_t at, std::string_view value) : text_(text), at_(at), value_(value) {
        offsets_.reserve(value.size());
    }

    ScalarSource run() {
        skip_properties();
        ScalarSource source;
        const char style = at_ < text_.size() ? text_[at_] : '\0';
        source.quoted = style == '\'' || style == '"';
        if (style == '|' || style == '>') {
            skip_line();
            begin_ = at_;
            style == '|' ? literal() : folded();
        } else {
            if (source.quoted) ++at_;
            begin_ = at_;
            flow(style);
        }
        if (source.quoted && done()) source.closed = closes(style);
        source.exact = offsets_.size() == value_.size();
        const std::size_t found = offsets_.size();
        offsets_.resize(value_.size(), static_cast<std::uint32_t>(begin_));
        source.begin = offsets_.empty() ? static_cast<std::uint32_t>(begin_) : offsets_[0];
        source.end = found == 0 ? source.begin : std::max(source.begin, static_cast<std::uint32_t>(at_));
        bool as_it_is = true;
        for (std::size_t i = 0; i < offsets_.size(); ++i) as_it_is = as_it_is && offsets_[i] == source.begin + i;
        if (!as_it_is) source.offsets = std::move(offsets_);
        return source;
    }

  private:
    bool done() const { return offsets_.size() == value_.size(); }
    char wanted() const { return value_[offsets_.size()]; }

    /// The value's next byte comes from `offset`; false when it is another one.
    bool put(char byte, std::size_t offset) {
        if (done() || wanted() != byte) return false;
        offsets_.push_back(static_cast<std::uint32_t>(offset));
        return true;
    }

    void skip_properties() {
        while (at_ < text_.size() && (text_[at_] == '&' || text_[at_] == '!')) {
            while (at_ < text_.size() && !is_space(text_[at_])) ++at_;
            while (at_ < text_.size() && (is_space(text_[at_]) || text_[at_] == '#')) {
                text_[at_] == '#' ? skip_line() : void(++at_);
            }
        }
    }

    void skip_line() {
        const std::size_t end = text_.find('\n', at_);
        at_ = end == std::string_view::npos ? text_.size() : end + 1;
    }

    /// Whether the quote follows; blanks and joined lines at the end may be no part of the value.
    bool closes(char quote) const {
        std::size_t at = at_;
        while (at < text_.size() && (is_space(text_[at]) || text_.compare(at, 2, "\\\n") == 0)) ++at;
        return at < text_.size() && text_[at] == quote;
    }

    void flow(char style) {
        while (!done() && at_ < text_.size()) {
            const char c = text_[at_];
            if (is_space(c)) {
                if (!space_run()) return;
            } else if (style == '"' && c == '\\') {
                if (!escape()) return;
            } else {
                if (!put(c, at_)) return;
                at_ += style == '\'' && c == '\'' ? 2 : 1;
            }
        }
    }

    /// Blanks inside a line stand as they are; around a line break they fold: one break is a space, n breaks are n-1.
    bool space_run() {
        std::size_t end = at_;
        while (end < text_.size() && is_space(text_[end])) ++end;
        const std::size_t first_break = text_.find('\n', at_);
        if (first_break >= end) {
            for (; at_ < end && !done(); ++at_) {
                if (!put(text_[at_], at_)) return false;
            }
            return true;
        }
        const auto breaks = std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                       text_.begin() + static_cast<std::ptrdiff_t>(end), '\n');
        if (breaks == 1) {
            if (!put(' ', first_break)) return false;
        } else if (!put_breaks(first_break + 1, end)) {
            return false;
        }
        at_ = end;
        return true;
    }

    bool put_breaks(std::size_t from, std::size_t end) {
        for (std::size_t i = from; i < end; ++i) {
            if (text_[i] == '\n' && !put('\n', i)) return false;
        }
        return true;
    }

    bool escape() {
        const std::size_t start = at_;
        if (start + 1 >= text_.size()) return false;
        const char c = text_[start + 1];
        if (c == '\n') {  // the line goes on without a space
            std::size_t end = start + 1;
            while (end < text_.size() && is_space(text_[end])) ++end;
            at_ = end;
            return put_breaks(start + 2, end);
        }
        const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
        std::size_t bytes = c == 'L' || c == 'P' ? 3 : 1;
        if (digits != 0) {
            std::uint32_t code = 0;
            for (std::size_t i = 0; i < digits && start + 2 + i < text_.size(); ++i) {
                const char d = text_[start + 2 + i];
                code = code * 16 + static_cast<std::uint32_t>(d <= '9' ? d - '0' : (d | 0x20) - 'a' + 10);
            }
            bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        }
        at_ = std::min(start + 2 + digits, text_.size());
        for (std::size_t i = 0; i < bytes; ++i) {
            if (done() || !put(wanted(), start)) return false;
        }
        return true;
    }

    std::size_t line_end(std::size_t from) const { return std::min(text_.find('\n', from), text_.size()); }

    /// Each line of the value is the tail of a line of the source: what is before it is indentation.
    void literal() {
        std::size_t line = begin_;
        while (!done() && line <= text_.size()) {
            const std::size_t end = line_end(line);
            const std::size_t length = std::min(value_.find('\n', offsets_.size()), value_.size()) - offsets_.size();
            if (length > end - line) return;
            for (std::size_t i = end - length; i < end; ++i) {
                if (!put(text_[i], i)) return;
            }
            at_ = end;
            if (!done() && !put('\n', end)) return;
            line = end + 1;
        }
    }

    void folded() {
        std::size_t line = begin_;
        while (line < text_.size() && !done() && wanted() == '\n') {
            const std::size_t end = line_end(line);
            put('\n', end);
            line = end + 1;
        }
        if (done() || line >= text_.size()) return;
        const std::size_t source_blanks = std::min(text_.find_first_not_of(' ', line), text_.size()) - line;
        const std::size_t value_blanks =
            std::min(value_.find_first_not_of(' ', offsets_.size()), value_.size()) - offsets_.size();
        if (value_blanks > source_blanks) return;
        const std::size_t indent = source_blanks - value_blanks;
        while (!done() && line < text_.size()) {
            const std::size_t end = line_end(line);
            for (std::size_t i = std::min(line + indent, end); i < end; ++i) {
                if (!put(text_[i], i)) {
                    if (!is_blank(text_[i])) return;
                    break;
                }
            }
            at_ = end;
            if (done()) return;
            line = separators(end);
        }
    }

    /// The line breaks from `end` to the next line with content; returns where that line begins.
    std::size_t separators(std::size_t end) {
        std::vector<std::size_t> breaks{end};
        std::size_t line = end + 1;
        while (line < text_.size() && text_.find_first_not_of(" \t", line) == line_end(line) &&
               line_end(line) < text_.size()) {
            breaks.push_back(line_end(line));
            line = line_end(line) + 1;
        }
        if (wanted() == ' ') {
            put(' ', end);
            return line;
        }
        std::size_t count = std::min(value_.find_first_not_of('\n', offsets_.size()), value_.size()) - offsets_.size();
        const bool first_folds = count + 1 == breaks.size();
        for (std::size_t i = 0; i < count; ++i) {
            put('\n', breaks[std::min(i + (first_folds ? 1 : 0), breaks.size() - 1)]);
        }
        return line;
    }

    std::string_view text_;
    std::size_t at_;
    std::size_t begin_ = 0;
    std::string_view value_;
    std::vector<std::uint32_t> offsets_;
};

}  // namespace

ScalarSource locate_scalar(std::string_view text, std::size_t mark, std::string_view value) {
    return ScalarWalk(text, std::min(mark, text.size()), value).run();
}

}  // namespace takt
