#include "pipeline/state/csv.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace takt {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

std::size_t utf8_sequence_size(std::string_view text) {
    if (text.empty()) return 0;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    const std::size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (text.size() < size) return 0;
    for (std::size_t i = 1; i < size; ++i)
        if ((byte(i) & 0xC0) != 0x80) return 0;
    const unsigned char second = byte(1);
    if (lead == 0xE0 && second < 0xA0) return 0;
    if (lead == 0xED && second > 0x9F) return 0;
    if (lead == 0xF0 && second < 0x90) return 0;
    if (lead == 0xF4 && second > 0x8F) return 0;
    return size;
}

int CsvTable::find(std::string_view column) const {
    for (std::size_t i = 0; i < header_.size(); ++i)
        if (header_[i] == column) return static_cast<int>(i);
    return -1;
}

std::string CsvTable::place(const CsvCell& cell) const {
    return fmt::format("{}:{}:{}", path_, cell.line, cell.column);
}

/// One pass over the bytes; goes on after a mistake with the next record, so that all are reported.
class CsvReader {
  public:
    CsvReader(std::string path, std::string text) {
        table_.path_ = std::move(path);
        table_.text_ = std::make_unique<std::string>(std::move(text));
        text_ = *table_.text_;
        if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
    }

    Result<CsvTable> read() {
        if (text_.empty())
            return Error{"C403", fmt::format("{}:1:1: no header: expected a line of column names", table_.path_)};
        while (at_ < text_.size() && mistakes_.size() < kMaxCsvMistakes) {
            if (skip_line_end()) continue;
            record_.clear();
            const std::uint32_t line = line_;
            if (!read_record()) {
                skip_record();
                continue;
            }
            if (Status status = keep_record(line); !status.ok()) return status.error();
        }
        if (!mistakes_.empty()) return Error{"D402", fmt::format("{}", fmt::join(mistakes_, "\n"))};
        if (table_.header_.empty())
            return Error{"C403", fmt::format("{}:1:1: no header: expected a line of column names", table_.path_)};
        return std::move(table_);
    }

  private:
    std::string place(std::uint32_t line, std::uint32_t column) const {
        return fmt::format("{}:{}:{}", table_.path_, line, column);
    }
    bool mistake(std::string_view what) {
        mistakes_.push_back(fmt::format("{}: {}", place(line_, column_), what));
        return false;
    }

    /// Moves over one character; false where it is none.
    bool step() {
        const char c = text_[at_];
        if (c == '\n') {
            ++line_;
            column_ = 1;
            ++at_;
            return true;
        }
        if (c == '\0') return mistake("a NUL byte: expected text in UTF-8");
        const std::size_t size = utf8_sequence_size(text_.substr(at_));
        if (size == 0) return mistake("bytes that are not UTF-8");
        at_ += size;
        ++column_;
        return true;
    }

    bool at_line_end() const {
        if (at_ >= text_.size() || text_[at_] == '\n') return true;
        return text_[at_] == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] == '\n');
    }
    bool skip_line_end() {
        if (!at_line_end()) return false;
        if (at_ < text_.size() && text_[at_] == '\r') ++at_;
        if (at_ < text_.size()) ++at_;
        ++line_;
        column_ = 1;
        return true;
    }

    bool read_record() {
        while (true) {
            if (!read_field()) return false;
            if (at_line_end()) break;
            ++at_;  // the comma
            ++column_;
        }
        skip_line_end();
        return true;
    }

    bool read_field() {
        CsvCell cell{.text = {}, .line = line_, .column = column_};
        if (at_ < text_.size() && text_[at_] == '"') {
            if (!read_quoted(cell)) return false;
        } else {
            const std::size_t begin = at_;
            while (!at_line_end() && text_[at_] != ',') {
                if (text_[at_] == '"')
                    return mistake(
                        "a quote inside a field that does not begin with one: quote the field and double the quote");
                if (text_[at_] == '\r')
                    return mistake("a CR without LF: expected LF or CRLF at the end of a line, or a quoted field");
                if (!step()) return false;
            }
            cell.text = text_.substr(begin, at_ - begin);
        }
        record_.push_back(cell);
        return true;
    }

    bool read_quoted(CsvCell& cell) {
        step();
        const std::size_t begin = at_;
        bool doubled = false;
        while (true) {
            if (at_ >= text_.size()) {
                line_ = cell.line;
                column_ = cell.column;
                return mistake("a quote that is never closed");
            }
            if (text_[at_] == '"') {
                if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') break;
                doubled = true;
                step();
            }
            if (!step()) return false;
        }
        cell.text = text_.substr(begin, at_ - begin);
        if (doubled) cell.text = without_doubled_quotes(cell.text);
        step();
        if (!at_line_end() && text_[at_] != ',')
            return mistake("text after a closing quote: expected a comma or the end of the line");
        return true;
    }

    std::string_view without_doubled_quotes(std::string_view text) {
        char* to = table_.unquoted_.allocate(text.size());
        std::size_t size = 0;
        for (std::size_t i = 0; i < text.size(); ++i) {
            to[size++] = text[i];
            if (text[i] == '"') ++i;
        }
        return {to, size};
    }

    void skip_record() {
        const std::size_t end = text_.find('\n', at_);
        at_ = end == std::string_view::npos ? text_.size() : end + 1;
        ++line_;
        column_ = 1;
    }

    Status keep_record(std::uint32_t line) {
        if (!table_.header_.empty()) {
            if (record_.size() == table_.header_.size()) {
                table_.cells_.insert(table_.cells_.end(), record_.begin(), record_.end());
            } else {
                mistakes_.push_back(fmt::format("{}: {} fields: expected {}, as in the header", place(line, 1),
                                                record_.size(), table_.header_.size()));
            }
            return {};
        }
        for (const CsvCell& cell : record_) {
            if (cell.text.empty()) return Error{"C403", place(cell.line, cell.column) + ": a column without name"};
            if (table_.find(cell.text) >= 0)
                return Error{"C403",
                             fmt::format("{}: column '{}' is there twice", place(cell.line, cell.column), cell.text)};
            table_.header_.emplace_back(cell.text);
        }
        return {};
    }

    CsvTable table_;
    std::string_view text_;
    std::size_t at_ = 0;
    std::uint32_t line_ = 1;
    std::uint32_t column_ = 1;
    std::vector<CsvCell> record_;
    std::vector<std::string> mistakes_;
};

Result<CsvTable> parse_csv(std::string path, std::string text) {
    if (text.size() > kMaxCsvBytes)
        return Error{"F401", fmt::format("{}: {} bytes, more than the limit of {}", path, text.size(), kMaxCsvBytes)};
    return CsvReader(std::move(path), std::move(text)).read();
}

Result<CsvTable> read_csv(const std::string& path) {
    const auto cannot = [&] { return Error{"C401", fmt::format("cannot read {}: {}", path, std::strerror(errno))}; };
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
    if (!file) return cannot();
    std::string text;
    std::array<char, 1 << 16> chunk;
    while (const std::size_t size = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
        text.append(chunk.data(), size);
        if (text.size() > kMaxCsvBytes) break;
    }
    if (std::ferror(file.get()) != 0) return cannot();
    return parse_csv(path, std::move(text));
}

void append_csv_field(std::string& to, std::string_view text) {
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
        to += text;
        return;
    }
    to += '"';
    for (const char c : text) {
        if (c == '"') to += '"';
        to += c;
    }
    to += '"';
}

}  // namespace takt
