#include "sinks/record_file.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "sinks/posting_flatbuffers.h"

namespace takt {
namespace {

Result<std::string> read_whole(const std::string& path) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
    std::string text;
    if (file) {
        std::array<char, 1 << 16> chunk;
        while (const std::size_t size = std::fread(chunk.data(), 1, chunk.size(), file.get()))
            text.append(chunk.data(), size);
    }
    if (!file || std::ferror(file.get()) != 0)
        return Error{"E630", fmt::format("cannot read {}: {}", path, std::strerror(errno))};
    return text;
}

struct WholeRecords {
    std::size_t bytes = 0;
    std::uint64_t count = 0;
};

WholeRecords whole_size_prefixed(std::string_view bytes) {
    WholeRecords whole;
    while (true) {
        const std::string_view record = next_size_prefixed(bytes.substr(whole.bytes));
        if (record.empty()) return whole;
        whole.bytes += kSizePrefixBytes + record.size();
        ++whole.count;
    }
}

/// The records at the start of `text` that are complete. In CSV a line end inside quotes ends no record.
WholeRecords whole_records(std::string_view text, RecordFile::Form form) {
    if (form == RecordFile::Form::size_prefixed) return whole_size_prefixed(text);
    WholeRecords whole;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '"' && form == RecordFile::Form::csv) quoted = !quoted;
        if (text[i] == '\n' && !quoted) whole = {i + 1, whole.count + 1};
    }
    return whole;
}

}  // namespace

std::string RecordFile::path(std::uint64_t number) const {
    const char* const extension = options_.form == Form::json  ? "jsonl"
                                  : options_.form == Form::csv ? "csv"
                                                               : "flatbuffers";
    return fmt::format("{}/{}-{:06}.{}", options_.folder, options_.name, number, extension);
}

Status RecordFile::open(const Read& read) {
    file_ = AtomicFile();
    pending_.clear();
    records_ = 0;
    std::error_code error;
    std::filesystem::create_directories(options_.folder, error);
    if (error) return Error{"E630", fmt::format("cannot make {}: {}", options_.folder, error.message())};
    for (number_ = 1; std::filesystem::exists(path(number_), error); ++number_) {
        Result<std::string> text = read_whole(path(number_));
        if (!text.ok()) return text.error();
        if (Status status = read(path(number_), std::move(*text)); !status.ok()) return status;
    }
    return recover(path(number_), read);
}

Status RecordFile::recover(const std::string& path, const Read& read) {
    const std::string partial = AtomicFile::partial_path(path);
    std::error_code error;
    if (!std::filesystem::exists(partial, error)) return {};
    Result<std::string> text = read_whole(partial);
    if (!text.ok()) return text.error();
    const WholeRecords whole = whole_records(*text, options_.form);
    const std::uint64_t header = options_.form == Form::csv ? 1 : 0;
    if (whole.count <= header) return {};  // nothing was delivered: it is written anew
    text->resize(whole.bytes);
    if (Status status = read(partial, std::move(*text)); !status.ok()) return status;
    Result<AtomicFile> file = AtomicFile::resume(path, whole.bytes);
    if (!file.ok()) return file.error();
    file_ = std::move(*file);
    records_ = whole.count - header;
    if (options_.records_per_file > 0 && records_ >= options_.records_per_file) return close();
    return {};
}

Status RecordFile::add(std::string_view record) {
    pending_ += record;
    ++records_;
    if (options_.records_per_file > 0 && records_ >= options_.records_per_file) return close();
    return {};
}

Status RecordFile::write_pending() {
    if (pending_.empty()) return {};
    if (!file_.is_open()) {
        Result<AtomicFile> file = AtomicFile::create(path(number_));
        if (!file.ok()) return file.error();
        file_ = std::move(*file);
        if (options_.form == Form::csv) pending_.insert(0, options_.header + '\n');
    }
    if (Status status = file_.append(pending_); !status.ok()) return status;
    pending_.clear();
    return {};
}

Status RecordFile::flush() {
    if (pending_.empty()) return {};
    if (Status status = write_pending(); !status.ok()) return status;
    return options_.synchronous ? file_.synchronize() : Status();
}

Status RecordFile::close() {
    if (Status status = write_pending(); !status.ok()) return status;
    if (!file_.is_open()) return {};
    if (Status status = file_.commit(options_.synchronous); !status.ok()) return status;
    ++number_;
    records_ = 0;
    return {};
}

}  // namespace takt
