#include "sources/file.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "pipeline/base/hash.h"
#include "sources/file_descriptor.h"

namespace takt {
namespace {

constexpr std::size_t kReadBytes = 1 << 20;
/// How many bytes before the position the anchor's digest covers.
constexpr std::size_t kDigestBytes = 4096;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

Error file_error(const std::string& path, std::string_view what) {
    return {"E510", fmt::format("{} {}: {}", what, path, std::strerror(errno))};
}

bool is_pattern(const std::string& path) {
    return path.find_first_of("*?[") != std::string::npos;
}

/// "f1 FILE_INDEX OFFSET DIGEST"
struct FileAnchor {
    std::size_t file_index = 0;
    std::uint64_t offset = 0;
    std::string digest;
};

std::optional<FileAnchor> parse_anchor(std::string_view text) {
    if (!text.starts_with("f1 ")) return std::nullopt;
    text.remove_prefix(3);
    FileAnchor anchor;
    const char* end = text.data() + text.size();
    auto index = std::from_chars(text.data(), end, anchor.file_index);
    if (index.ec != std::errc{} || index.ptr == end) return std::nullopt;
    auto offset = std::from_chars(index.ptr + 1, end, anchor.offset);
    if (offset.ec != std::errc{} || offset.ptr == end) return std::nullopt;
    anchor.digest.assign(offset.ptr + 1, end);
    return anchor;
}

}  // namespace

struct FileSource::Input {
    FileDescriptor file;
    FileDescriptor watch;           // inotify, only while following
    std::shared_ptr<char[]> bytes;  // shared with the blocks whose messages point into it
    std::size_t capacity = 0;
    std::size_t begin = 0;  // unread bytes are [begin, end)
    std::size_t end = 0;
    std::uint64_t offset = 0;  // in the file, of `begin`
    bool at_end = false;
    bool header_read = false;
    bool skip_line = false;        // the rest of a record that was too long, up to its LF
    std::uint64_t skip_bytes = 0;  // the same where lengths are known
    RecordCutter cutter;

    explicit Input(const Options& options)
        : cutter(options.framing, options.delimiter.front(), options.max_record_bytes.value) {}

    std::string_view unread() const { return {bytes.get() + begin, end - begin}; }
    void consume(std::size_t size) {
        begin += size;
        offset += size;
    }
    bool skipping() const { return skip_line || skip_bytes > 0; }
    /// Drops what is there of a record that was too long.
    void skip() {
        if (skip_bytes > 0) {
            const std::size_t size = std::min<std::uint64_t>(skip_bytes, unread().size());
            consume(size);
            skip_bytes -= size;
        } else if (skip_line) {
            const std::size_t line_end = unread().find('\n');
            skip_line = line_end == std::string_view::npos;
            consume(skip_line ? unread().size() : line_end + 1);
        }
    }
    /// The digest of the last bytes before `at`.
    Result<std::string> digest(std::uint64_t at, const std::string& path) const {
        std::string tail(std::min<std::uint64_t>(at, kDigestBytes), '\0');
        const auto from = static_cast<off_t>(at - tail.size());
        std::size_t got = 0;
        while (got < tail.size()) {
            const ssize_t n =
                ::pread(file.number(), tail.data() + got, tail.size() - got, from + static_cast<off_t>(got));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return file_error(path, "cannot read");
            if (n == 0) break;
            got += static_cast<std::size_t>(n);
        }
        tail.resize(got);
        return to_hex(hash128(tail));
    }
};

FileSource::FileSource(Options options, Clock& clock) : options_(std::move(options)), clock_(clock) {}
FileSource::~FileSource() = default;

OptionTable<FileSource::Options> FileSource::options() {
    OptionTable<Options> table;
    table.required("path", &Options::path, "files or patterns, read one after another");
    table.optional("follow", &Options::follow, "at the end of the last file, wait for more");
    table.optional("max_record", &Options::max_record_bytes, "longer records are dead letters")
        .from(SizeBytes{1024})
        .to(SizeBytes{64 << 20});
    table.short_form("path");
    return table;
}

Result<std::vector<std::string>> FileSource::files(const Options& options) {
    std::vector<std::string> found;
    for (const std::string& path : options.path) {
        if (!is_pattern(path)) {
            found.push_back(path);
            continue;
        }
        glob_t matches{};
        const int failed = ::glob(path.c_str(), 0, nullptr, &matches);
        std::vector<std::string> names;
        if (failed == 0) names.assign(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
        ::globfree(&matches);
        if (names.empty()) return Error{"C510", fmt::format("no file matches {}", path)};
        std::sort(names.begin(), names.end());
        found.insert(found.end(), names.begin(), names.end());
    }
    if (found.empty()) return Error{"C510", "the file source names no file"};
    return found;
}

Status FileSource::open_file(std::size_t index) {
    const std::string& path = files_[index];
    auto input = std::make_unique<Input>(options_);
    input->file.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (input->file.number() < 0) {
        if (errno == ENOENT) return Error{"C510", fmt::format("there is no file {}", path)};
        return file_error(path, "cannot open");
    }
    struct stat info {};
    if (::fstat(input->file.number(), &info) != 0) return file_error(path, "cannot read");
    if (S_ISDIR(info.st_mode))
        return Error{"C510", fmt::format("{} is a folder; name its files, for example {}/*.jsonl", path, path)};
    if (options_.follow && index + 1 == files_.size()) {
        input->watch.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
        if (input->watch.number() < 0 || ::inotify_add_watch(input->watch.number(), path.c_str(), IN_MODIFY) < 0)
            return file_error(path, "cannot watch");
    }
    file_index_ = index;
    input_ = std::move(input);
    if (options_.framing == RecordFraming::size_prefixed) return {};
    const Result<bool> filled = fill(kByteOrderMark.size());
    if (!filled.ok()) return filled.error();
    if (input_->unread().starts_with(kByteOrderMark)) input_->consume(kByteOrderMark.size());
    return {};
}

Status FileSource::open(const SourcePosition& position) {
    if (options_.delimiter.size() != 1)
        return Error{"C511", fmt::format("the delimiter is one byte, not '{}'", options_.delimiter)};
    Result<std::vector<std::string>> found = files(options_);
    if (!found.ok()) return found.error();
    files_ = std::move(found).value();
    next_sequence_ = 1;
    if (!position.anchor.empty()) return seek(position.anchor, position.next_sequence);
    if (Status opened = open_file(0); !opened.ok()) return opened;
    return skip_to(position.next_sequence);
}

Status FileSource::seek(const std::string& text, std::uint64_t next_sequence) {
    const std::optional<FileAnchor> anchor = parse_anchor(text);
    if (!anchor || anchor->file_index >= files_.size()) {
        return Error{"F510", fmt::format("SOURCE_IDENTITY: the position in {} does not fit: it names file {} of {}",
                                         describe(), anchor ? anchor->file_index + 1 : 0, files_.size())};
    }
    if (Status opened = open_file(anchor->file_index); !opened.ok()) return opened;
    const std::string& path = files_[anchor->file_index];
    struct stat info {};
    if (::fstat(input_->file.number(), &info) != 0) return file_error(path, "cannot read");
    if (static_cast<std::uint64_t>(info.st_size) < anchor->offset) {
        return Error{
            "F511", fmt::format("SOURCE_REGRESSION: {} has {} bytes, but {} were read already; put the whole file back",
                                path, info.st_size, anchor->offset)};
    }
    const Result<std::string> digest = input_->digest(anchor->offset, path);
    if (!digest.ok()) return digest.error();
    if (*digest != anchor->digest) {
        return Error{
            "F510",
            fmt::format("SOURCE_IDENTITY: {} is not the file that was read: the bytes before offset {} differ; put "
                        "the original back, or start a new pipeline",
                        path, anchor->offset)};
    }
    if (::lseek(input_->file.number(), static_cast<off_t>(anchor->offset), SEEK_SET) < 0)
        return file_error(path, "cannot read");
    input_->begin = input_->end = 0;
    input_->at_end = false;
    input_->offset = anchor->offset;
    input_->header_read = true;
    next_sequence_ = next_sequence;
    return {};
}

Status FileSource::skip_to(std::uint64_t next_sequence) {
    Limits limits;
    limits.wait = 0;
    while (next_sequence_ < next_sequence) {
        limits.messages = std::min<std::uint64_t>(next_sequence - next_sequence_, 4096);
        MessageBlock block;
        const Result<State> state = read(limits, block);
        if (!state.ok()) return state.error();
        if (block.messages.empty()) {
            return Error{"F511", fmt::format("SOURCE_REGRESSION: {} has {} records, but {} were read already",
                                             describe(), next_sequence_ - 1, next_sequence - 1)};
        }
    }
    return {};
}

Result<bool> FileSource::fill(std::size_t bytes) {
    Input& input = *input_;
    const std::size_t unread = input.end - input.begin;
    if (input.capacity - input.end < bytes) {
        // Messages of earlier blocks point into the old buffer: only the unread rest moves.
        const std::size_t capacity = unread + std::max(bytes, kReadBytes);
        std::shared_ptr<char[]> fresh(new char[capacity]);
        if (unread > 0) std::memcpy(fresh.get(), input.bytes.get() + input.begin, unread);
        input.bytes = std::move(fresh);
        input.capacity = capacity;
        input.begin = 0;
        input.end = unread;
    }
    while (true) {
        const ssize_t got = ::read(input.file.number(), input.bytes.get() + input.end, input.capacity - input.end);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return file_error(files_[file_index_], "cannot read");
        input.at_end = got == 0;
        input.end += static_cast<std::size_t>(got);
        return got > 0;
    }
}

Result<bool> FileSource::wait_for_more(Duration wait) {
    Input& input = *input_;
    struct stat info {};
    if (::fstat(input.file.number(), &info) != 0) return file_error(files_[file_index_], "cannot read");
    if (static_cast<std::uint64_t>(info.st_size) < input.offset) {
        return Error{"F511",
                     fmt::format("SOURCE_REGRESSION: {} became shorter ({} bytes, {} read) while it was followed",
                                 files_[file_index_], info.st_size, input.offset)};
    }
    const Result<bool> filled = fill(1);
    if (!filled.ok() || *filled) return filled;
    pollfd poll{.fd = input.watch.number(), .events = POLLIN, .revents = 0};
    if (::poll(&poll, 1, static_cast<int>(wait / kMillisecond)) <= 0) return false;
    std::array<char, 4096> events;
    while (::read(input.watch.number(), events.data(), events.size()) > 0) {
    }
    return fill(1);
}

void FileSource::take(std::string_view data, Timestamp now, MessageBlock& block) {
    block.messages.push_back({.data = data, .subject = {}, .sequence = next_sequence_++, .ingest_time = now});
    block.size_bytes += data.size();
}

Result<Source::State> FileSource::read(const Limits& limits, MessageBlock& block) {
    const Timestamp now = clock_.wall();
    block.own_clock = true;
    const auto give = [&] {
        block.keep = input_->bytes;
        return State::more;
    };
    while (true) {
        Input& input = *input_;
        const bool following = options_.follow && file_index_ + 1 == files_.size();
        input.skip();
        // Messages of one block point into one buffer: whatever needs a new one ends the block first.
        while (!input.skipping() && block.messages.size() < limits.messages && block.size_bytes < limits.bytes) {
            const RecordCutter::Cut cut = input.cutter.cut(input.unread(), input.at_end && !following);
            if (cut.kind == RecordCutter::Cut::Kind::more) break;
            const bool is_header = options_.header && !input.header_read;
            input.header_read = true;
            take(is_header ? std::string_view{} : cut.data, now, block);
            input.consume(cut.consumed);
            if (cut.kind == RecordCutter::Cut::Kind::too_long) {
                input.skip_bytes = cut.skip_bytes;
                input.skip_line = options_.framing != RecordFraming::size_prefixed;
                input.skip();
            }
        }
        if (!block.messages.empty()) return give();
        if (input.at_end) {
            if (following) {
                const Result<bool> more = wait_for_more(limits.wait);
                if (!more.ok()) return more.error();
                if (!*more) return State::quiet;
            } else if (file_index_ + 1 < files_.size()) {
                if (Status opened = open_file(file_index_ + 1); !opened.ok()) return opened.error();
            } else {
                return State::end;
            }
        } else if (const Result<bool> filled = fill(kReadBytes / 2); !filled.ok()) {
            return filled.error();
        }
    }
}

SourcePosition FileSource::position() const {
    SourcePosition position{.next_sequence = next_sequence_, .anchor = {}};
    if (!input_ || input_->skipping() || (options_.header && !input_->header_read)) return position;
    if (const Result<std::string> digest = input_->digest(input_->offset, files_[file_index_]); digest.ok())
        position.anchor = fmt::format("f1 {} {} {}", file_index_, input_->offset, *digest);
    return position;
}

std::string FileSource::describe() const {
    return fmt::format("file {}{}", fmt::join(options_.path, ", "), options_.follow ? " (followed)" : "");
}

Result<std::string> FileSource::read_header(const Options& options) {
    Options plain = options;
    plain.header = false;
    plain.follow = false;
    FileSource source(plain);
    if (Status opened = source.open({}); !opened.ok()) return opened.error();
    MessageBlock block;
    Limits limits;
    limits.messages = 1;
    const Result<State> state = source.read(limits, block);
    if (!state.ok()) return state.error();
    if (block.messages.empty()) return Error{"C510", fmt::format("{} is empty: it has no header", source.describe())};
    std::string_view header = block.messages.front().data;
    if (header.ends_with('\r')) header.remove_suffix(1);
    return std::string(header);
}

}  // namespace takt
