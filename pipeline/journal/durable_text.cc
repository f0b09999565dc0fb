#include "pipeline/journal/durable_text.h"

#include <fmt/format.h>

#include <charconv>

#include "pipeline/base/mutant.h"
#include "pipeline/journal/crc32c.h"

namespace takt {
namespace {

constexpr std::size_t kMaxBytes = 1u << 20;  // of the longest one: the list of messages that kill
constexpr std::string_view kChecksum = "crc32c ";

template <typename Number>
std::optional<Number> parse(std::string_view text, int base = 10) {
    Number number = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
    return number;
}

/// The bytes without their checksum line, where that is right.
std::optional<std::string_view> checked(std::string_view bytes) {
    const std::size_t line = kChecksum.size() + 9;  // 8 hex digits and the line's end
    if (bytes.size() < line || bytes.back() != '\n') return std::nullopt;
    const std::string_view body = bytes.substr(0, bytes.size() - line);
    if (bytes.substr(body.size()) != fmt::format("{}{:08x}\n", kChecksum, crc32c(body))) return std::nullopt;
    return body;
}

}  // namespace

std::optional<std::string> DurableText::find(std::string_view name) const {
    for (const auto& [known, value] : values) {
        if (known == name) return value;
    }
    return std::nullopt;
}

std::optional<std::uint64_t> DurableText::number(std::string_view name) const {
    const std::optional<std::string> value = find(name);
    return value ? parse<std::uint64_t>(*value) : std::nullopt;
}

std::string DurableText::text() const {
    std::string body = fmt::format("{} {}\n", kind, version);
    for (const auto& [name, value] : values) {
        CHECK(name.find_first_of(" \n") == std::string::npos && value.find('\n') == std::string::npos);
        body += fmt::format("{} {}\n", name, value);
    }
    CHECK(body.size() + kChecksum.size() + 9 < kMaxBytes);
    return body + fmt::format("{}{:08x}\n", kChecksum, crc32c(body));
}

Result<std::optional<DurableText>> read_durable_text(Disk& disk, const std::string& path, std::string_view kind) {
    std::string bytes;
    const std::error_code error = read_file(disk, path, kMaxBytes, bytes);
    if (error == std::errc::no_such_file_or_directory) return std::optional<DurableText>();
    if (error) return disk_error("cannot read", path, error);
    const auto body = checked(bytes);
    if (!body) return Error{"F705", fmt::format("{} is damaged: its checksum does not hold", path)};
    DurableText content;
    for (std::size_t begin = 0; begin < body->size();) {
        const std::size_t end = body->find('\n', begin);
        const std::string_view line = body->substr(begin, end - begin);
        const std::size_t blank = line.find(' ');
        if (end == std::string_view::npos || blank == std::string_view::npos)
            return Error{"F705", fmt::format("{} is damaged: a line has no value", path)};
        content.values.emplace_back(line.substr(0, blank), line.substr(blank + 1));
        begin = end + 1;
    }
    const auto version = content.values.empty() ? std::nullopt : parse<std::uint32_t>(content.values[0].second);
    if (!version || content.values[0].first != kind)
        return Error{"F705", fmt::format("{} is damaged: it does not begin as a {}", path, kind)};
    content.kind = kind;
    content.version = *version;
    content.values.erase(content.values.begin());
    if (content.version != 1) {
        return Error{"F704",
                     fmt::format("{} has format version {}, this version of takt knows 1", path, content.version)};
    }
    return std::optional<DurableText>(std::move(content));
}

Status write_durable_file(Disk& disk, const std::string& path, std::string_view bytes,
                          const std::optional<DurableFilePoints>& points) {
    const std::string temporary = path + ".tmp";
    std::unique_ptr<File> file;
    if (const auto error = disk.open(temporary, Disk::Open::empty, file))
        return disk_error("cannot create", temporary, error);
    if (const auto error = file->write_at(0, bytes)) return disk_error("cannot write", temporary, error);
    if (points) reach(points->written);
    const bool forgets = mutant("text_not_synchronized");
    if (const auto error = forgets ? std::error_code() : file->fdatasync()) return sync_error(temporary, error);
    file.reset();
    if (points) reach(points->synchronized);
    if (const auto error = disk.rename(temporary, path)) return disk_error("cannot rename to", path, error);
    if (points) reach(points->named);
    if (mutant("text_name_not_synchronized")) return {};
    if (const auto error = disk.sync_directory(folder_of(path))) return sync_error(folder_of(path), error);
    if (points) reach(points->durable);
    return {};
}

Status write_durable_text(Disk& disk, const std::string& path, const DurableText& content,
                          const std::optional<DurableFilePoints>& points) {
    return write_durable_file(disk, path, content.text(), points);
}

Error disk_error(std::string_view what, const std::string& path, std::error_code error) {
    std::string message = fmt::format("{} {}: {}", what, path, error.message());
    if (error == std::errc::no_space_on_device) return {"E701", std::move(message)};
    return {"E700", std::move(message)};
}

Error sync_error(const std::string& path, std::error_code error) {
    return {"F709", fmt::format("cannot synchronize {}: {}; nobody knows what is on the disk", path, error.message())};
}

}  // namespace takt
