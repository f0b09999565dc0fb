#include "pipeline/journal/segment.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "pipeline/base/mutant.h"
#include "pipeline/journal/durable_text.h"

namespace takt {
namespace {

constexpr std::uint64_t kReadBytes = 1u << 20;
constexpr std::string_view kNameEnd = ".jnl";
constexpr std::size_t kNumberDigits = 8;

bool all_zeros(std::string_view bytes) {
    return bytes.empty() || (bytes[0] == '\0' && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

std::string segment_name(std::uint64_t number) {
    return fmt::format("{:08}{}", number, kNameEnd);
}

std::optional<std::uint64_t> segment_number(std::string_view name) {
    if (name.size() < kNumberDigits + kNameEnd.size() || !name.ends_with(kNameEnd)) return std::nullopt;
    std::uint64_t number = 0;
    const char* const end = name.data() + name.size() - kNameEnd.size();
    const auto [stop, error] = std::from_chars(name.data(), end, number);
    if (error != std::errc{} || stop != end || number == 0 || segment_name(number) != name) return std::nullopt;
    return number;
}

Result<SegmentReader> SegmentReader::open(Disk& disk, const std::string& path, bool last) {
    std::unique_ptr<File> file;
    if (const auto error = disk.open(path, Disk::Open::existing, file)) return disk_error("cannot open", path, error);
    std::uint64_t size = 0;
    if (const auto error = file->size(size)) return disk_error("cannot read", path, error);
    return SegmentReader(path, std::move(file), size, last);
}

Error SegmentReader::damaged(std::uint64_t epoch, std::string_view what) const {
    return {"F706", fmt::format("the journal is damaged: {} at byte {}, where epoch {} must be: {}", path_, offset_,
                                epoch, what)};
}

Result<std::string_view> SegmentReader::bytes(std::uint64_t offset, std::uint64_t count) {
    CHECK(offset + count <= size_);
    if (offset < window_begin_ || offset + count > window_begin_ + window_bytes_) {
        const std::uint64_t wanted = std::min(std::max(count, kReadBytes), size_ - offset);
        window_.resize((wanted + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t));
        std::size_t got = 0;
        if (const auto error = file_->read_at(offset, {reinterpret_cast<char*>(window_.data()), wanted}, got))
            return disk_error("cannot read", path_, error);
        if (got < wanted) return Error{"E700", fmt::format("cannot read {}: it became shorter", path_)};
        window_begin_ = offset;
        window_bytes_ = wanted;
    }
    const auto* start = reinterpret_cast<const char*>(window_.data());
    return std::string_view(start + (offset - window_begin_), count);
}

Result<std::uint64_t> SegmentReader::used_end(std::uint64_t offset, std::uint64_t epoch,
                                              std::optional<std::uint64_t>& later_frame) {
    std::uint64_t end = offset;
    for (std::uint64_t at = offset; at < size_; at += kSectorBytes) {
        const auto sector = bytes(at, std::min<std::uint64_t>(kSectorBytes, size_ - at));
        if (!sector) return sector.error();
        if (all_zeros(*sector)) continue;
        end = at + sector->size();
        FrameHeader header;
        const bool is_header = read_frame_header(*sector, header) == HeaderState::good;
        if (!later_frame && is_header && header.epoch > epoch) later_frame = at;
    }
    return end;
}

Result<std::optional<std::string_view>> SegmentReader::end_at_zeros(const ChainPlace& place) {
    std::optional<std::uint64_t> later_frame;
    const auto end = used_end(offset_, place.epoch, later_frame);
    if (!end) return end.error();
    if (*end == offset_) return std::optional<std::string_view>();
    if (later_frame) return damaged(place.epoch, fmt::format("zeros, and a later frame at byte {}", *later_frame));
    if (!last_) return damaged(place.epoch, "zeros, and other bytes after them, and a later segment");
    torn_bytes_ = *end - offset_;
    return std::optional<std::string_view>();
}

Result<std::optional<std::string_view>> SegmentReader::end_at_torn(const FrameHeader& header, std::string_view frame) {
    if (count_zero_sectors(frame) <= header.zero_sectors && !mutant("damaged_tail_accepted"))
        return damaged(header.epoch, "its checksum does not hold, though none of its sectors is missing");
    if (!last_) return damaged(header.epoch, "sectors are missing, though there is a later segment");
    std::optional<std::uint64_t> later_frame;
    const std::uint64_t behind = offset_ + frame.size();
    const auto end = used_end(behind, header.epoch, later_frame);
    if (!end) return end.error();
    if (*end != behind) return damaged(header.epoch, "sectors are missing, though something was written after it");
    torn_bytes_ = header.size_bytes();
    return std::optional<std::string_view>();
}

Result<std::optional<std::string_view>> SegmentReader::next(ChainPlace& place) {
    torn_bytes_ = 0;
    if (offset_ >= size_) return std::optional<std::string_view>();
    const auto sector = bytes(offset_, std::min<std::uint64_t>(kSectorBytes, size_ - offset_));
    if (!sector) return sector.error();
    if (all_zeros(*sector)) return end_at_zeros(place);
    FrameHeader header;
    switch (read_frame_header(*sector, header)) {
        case HeaderState::good:
            break;
        case HeaderState::damaged:
            return damaged(place.epoch, "no header of a frame");
        case HeaderState::later:
            return Error{"F704", fmt::format("{} at byte {} has a frame of a later version of takt", path_, offset_)};
    }
    if (header.epoch != place.epoch || header.previous != place.previous) {
        return Error{
            "F707",
            fmt::format("the journal has a gap: {} at byte {} has epoch {} after frame {}, where epoch "
                        "{} after frame {} must be",
                        path_, offset_, header.epoch, to_hex(header.previous), place.epoch, to_hex(place.previous))};
    }
    if (header.incarnation < place.incarnation) return damaged(place.epoch, "its incarnation is an earlier one");
    const std::uint64_t size = header.size_bytes();
    if (size > size_ - offset_) return damaged(place.epoch, "the frame is longer than its segment");
    const auto frame = bytes(offset_, size);
    if (!frame) return frame.error();
    if (!frame_holds(header, *frame) && !mutant("frame_checksum_skipped")) return end_at_torn(header, *frame);
    offset_ += size;
    place = {header.epoch + 1, frame_hash(*frame), header.incarnation};
    return std::optional<std::string_view>(*frame);
}

}  // namespace takt
