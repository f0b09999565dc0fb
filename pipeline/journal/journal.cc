#include "pipeline/journal/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "pipeline/base/mutant.h"
#include "pipeline/journal/crash_point.h"
#include "pipeline/journal/durable_text.h"
#include "pipeline/observe/log.h"

namespace takt {
namespace {

constexpr std::string_view kFirstKind = "takt-journal";
constexpr std::string_view kTemporary = ".tmp";
constexpr DurableFilePoints kFirstPoints = {CrashPoint::first_written, CrashPoint::first_synchronized,
                                            CrashPoint::first_named, CrashPoint::first_durable};

Result<JournalSegment> parse_first(const std::string& path, const DurableText& text) {
    const std::optional<Hash128> previous = from_hex(text.find("previous").value_or(""));
    const JournalSegment first = {text.number("segment").value_or(0), text.number("epoch").value_or(0),
                                  previous.value_or(Hash128{})};
    if (!previous || first.number == 0 || first.first_epoch == 0)
        return Error{"F705", fmt::format("{} is damaged: it does not say where the journal begins", path)};
    return first;
}

/// Ascending.
std::vector<std::uint64_t> segment_numbers(const std::vector<std::string>& names) {
    std::vector<std::uint64_t> numbers;
    for (const std::string& name : names) {
        if (const auto number = segment_number(name)) numbers.push_back(*number);
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

/// The segments from the first one that counts on. Of those behind it only the numbers are known yet.
Result<std::vector<JournalSegment>> segments_from(const JournalSegment& first,
                                                  const std::vector<std::uint64_t>& numbers,
                                                  const std::string& folder) {
    std::vector<JournalSegment> segments;
    std::uint64_t expected = first.number;
    for (const std::uint64_t number : numbers) {
        if (number < first.number) continue;
        if (number != expected) break;
        segments.push_back({expected++, 0, {}});
    }
    if (segments.empty() || numbers.back() >= expected) {
        return Error{"F707", fmt::format("the journal has a gap: {}/{} is missing", folder, segment_name(expected))};
    }
    segments.front() = first;
    return segments;
}

}  // namespace

JournalReader::JournalReader(Disk& disk, std::string folder, std::vector<JournalSegment> segments,
                             std::uint64_t from_epoch, std::optional<std::uint64_t> last_epoch)
    : disk_(&disk),
      folder_(std::move(folder)),
      segments_(std::move(segments)),
      from_epoch_(from_epoch),
      last_epoch_(last_epoch),
      place_{segments_.front().first_epoch, segments_.front().previous, 0} {}

Result<std::optional<StoredFrame>> JournalReader::next() {
    while (!last_epoch_ || place_.epoch <= *last_epoch_) {
        if (!segment_) {
            if (next_segment_ == segments_.size()) {
                if (!last_epoch_) break;
                return Error{"F707", fmt::format("the journal has no frame of epoch {} any more", place_.epoch)};
            }
            const std::string path = folder_ + "/" + segment_name(segments_[next_segment_++].number);
            // Frames up to a known last one cannot be torn: all are durable.
            auto segment = SegmentReader::open(*disk_, path, !last_epoch_ && next_segment_ == segments_.size());
            if (!segment) return segment.error();
            segment_ = std::move(*segment);
        }
        const std::uint64_t epoch = place_.epoch;
        const auto frame = segment_->next(place_);
        if (!frame) return frame.error();
        if (!*frame) {
            segment_.reset();
        } else if (epoch >= from_epoch_) {
            auto stored = decode_frame(**frame);
            if (!stored) return stored.error();
            return std::optional<StoredFrame>(std::move(*stored));
        }
    }
    return std::optional<StoredFrame>();
}

Result<std::optional<JournalReader>> Journal::look(Disk& disk, const std::string& folder) {
    const std::string first_path = folder + "/FIRST";
    const auto text = read_durable_text(disk, first_path, kFirstKind);
    if (!text) return text.error();
    if (!*text) return std::optional<JournalReader>();
    const auto first = parse_first(first_path, **text);
    if (!first) return first.error();
    std::vector<std::string> names;
    if (const auto error = disk.list(folder, names)) return disk_error("cannot list", folder, error);
    auto segments = segments_from(*first, segment_numbers(names), folder);
    if (!segments) return segments.error();
    return std::optional<JournalReader>(
        JournalReader(disk, folder, std::move(*segments), first->first_epoch, std::nullopt));
}

Journal::Journal(Disk& disk, std::string folder, FrameContext context, const Options& options)
    : disk_(disk), folder_(std::move(folder)), context_(std::move(context)), options_(options) {
    options_.segment_bytes = segment_bytes_for_crashes(options_.segment_bytes);
    CHECK(options_.segment_bytes > 0 && options_.segment_bytes % kSectorBytes == 0);
}

Result<std::unique_ptr<Journal>> Journal::open(Disk& disk, std::string folder, FrameContext context,
                                               const Options& options) {
    std::unique_ptr<Journal> journal(new Journal(disk, std::move(folder), std::move(context), options));
    std::vector<std::string> names;
    if (const auto error = disk.list(journal->folder_, names))
        return disk_error("cannot list", journal->folder_, error);
    // A name that only this machine's memory knows may not be built on.
    if (const auto error = disk.sync_directory(journal->folder_)) return sync_error(journal->folder_, error);
    const std::vector<std::uint64_t> numbers = segment_numbers(names);
    for (const std::string& name : names) {
        if (!name.ends_with(kTemporary)) continue;
        const std::string path = journal->folder_ + "/" + name;
        if (const auto error = disk.unlink(path)) return disk_error("cannot remove", path, error);
    }

    const std::string first_path = journal->folder_ + "/FIRST";
    const auto text = read_durable_text(disk, first_path, kFirstKind);
    if (!text) return text.error();
    if (!*text) {
        if (numbers.size() > 1 || (numbers.size() == 1 && numbers[0] != 1))
            return Error{"F707", fmt::format("{} is lost, and there are segments", first_path)};
        if (Status status = journal->begin(!numbers.empty()); !status) return status.error();
        return journal;
    }
    const auto first = parse_first(first_path, **text);
    if (!first) return first.error();
    auto segments = segments_from(*first, numbers, journal->folder_);
    if (!segments) return segments.error();
    journal->segments_ = std::move(*segments);
    std::vector<std::uint64_t> dropped;
    std::copy_if(numbers.begin(), numbers.end(), std::back_inserter(dropped),
                 [&](std::uint64_t number) { return number < first->number; });
    journal->place_ = {first->first_epoch, first->previous, 0};
    if (Status status = journal->scan(); !status) return status.error();
    if (Status status = journal->remove(dropped); !status) return status.error();
    return journal;
}

Status Journal::begin(bool has_segment) {
    if (has_segment) {
        // A crash left it before FIRST was written: it can hold nothing.
        const std::string path = path_of(1);
        auto reader = SegmentReader::open(disk_, path, true);
        if (!reader) return reader.error();
        ChainPlace place;
        const auto frame = reader->next(place);
        if (!frame && frame.error().code.front() == 'E') return frame.error();
        if (!frame || *frame || reader->torn_bytes() > 0)
            return Error{"F707", fmt::format("{}/FIRST is lost, and {} has frames", folder_, path)};
        if (const auto error = disk_.unlink(path)) return disk_error("cannot remove", path, error);
    }
    if (Status status = make_segment(options_.segment_bytes); !status) return status;
    return write_first(segments_.front());
}

Status Journal::scan() {
    std::uint64_t last_frame = 0;
    std::uint64_t offset = 0;
    for (JournalSegment& segment : segments_) {
        const bool last = &segment == &segments_.back();
        auto reader = SegmentReader::open(disk_, path_of(segment.number), last);
        if (!reader) return reader.error();
        segment.first_epoch = place_.epoch;
        segment.previous = place_.previous;
        last_frame = 0;
        for (;;) {
            const std::uint64_t begin = reader->offset();
            const auto frame = reader->next(place_);
            if (!frame && frame.error().code == "E700" && mutant("unreadable_frame_ends_journal")) break;
            if (!frame) return frame.error();
            if (!*frame) break;
            last_frame = begin;
        }
        offset = reader->offset();
        torn_bytes_ = reader->torn_bytes();
        size_ = reader->size_bytes();
    }
    if (place_.incarnation >= context_.incarnation) {
        return Error{"F712", fmt::format("the journal {} has a frame of incarnation {}, and this is incarnation {}",
                                         folder_, place_.incarnation, context_.incarnation)};
    }
    return open_last(last_frame, offset);
}

Status Journal::open_last(std::uint64_t last_frame, std::uint64_t offset) {
    const std::string path = path_of(segments_.back().number);
    offset_ = offset;
    if (const auto error = disk_.open(path, Disk::Open::existing, file_)) return disk_error("cannot open", path, error);
    if (torn_bytes_ > 0 && !mutant("torn_frame_not_cleared")) {
        log(LogLevel::warning, "a torn frame at the end of the journal was cut off; it was never durable",
            {{"segment", path},
             {"byte", std::to_string(offset)},
             {"epoch", std::to_string(place_.epoch)},
             {"bytes", std::to_string(torn_bytes_)}});
        const std::string zeros(torn_bytes_, '\0');
        if (const auto error = file_->write_at(offset, zeros)) return disk_error("cannot write", path, error);
        reach(CrashPoint::tail_cleared);
    }
    // The last frame may have been written by a process that died before it could synchronize it, or because it could
    // not: then the system holds it for written, and synchronizes only what is written once more.
    std::string frame(offset - last_frame, '\0');
    std::size_t count = 0;
    if (const auto error = file_->read_at(last_frame, frame, count)) return disk_error("cannot read", path, error);
    if (const auto error = file_->write_at(last_frame, std::string_view(frame).substr(0, count)))
        return disk_error("cannot write", path, error);
    reach(CrashPoint::tail_written);
    if (const auto error = file_->fdatasync()) return sync_error(path, error);
    reach(CrashPoint::tail_durable);
    return {};
}

Status Journal::clean() {
    if (unclean_bytes_ == 0) return {};
    const std::string path = path_of(segments_.back().number);
    const std::string zeros(unclean_bytes_, '\0');
    if (const auto error = file_->write_at(offset_, zeros)) return disk_error("cannot write", path, error);
    if (const auto error = file_->fdatasync()) return lost(sync_error(path, error));
    unclean_bytes_ = 0;
    return {};
}

Status Journal::make_segment(std::uint64_t size) {
    // Behind the last frame of a segment that is not the last one there are only zeros.
    if (Status status = clean(); !status) return status;
    std::uint64_t free = 0;
    if (const auto error = disk_.free_bytes(folder_, free)) return disk_error("cannot look at", folder_, error);
    if (free < options_.reserve_bytes || free - options_.reserve_bytes < size) {
        return Error{"E701",
                     fmt::format("no room for a segment of {} bytes in {}: {} are free, of which {} are to stay so",
                                 size, folder_, free, options_.reserve_bytes)};
    }
    const std::uint64_t number = segments_.empty() ? 1 : segments_.back().number + 1;
    const std::string path = path_of(number);
    const std::string temporary = path + std::string(kTemporary);
    std::unique_ptr<File> file;
    const auto failed = [&](std::string_view what, std::error_code error) {
        (void)disk_.unlink(temporary);
        return disk_error(what, temporary, error);
    };
    if (const auto error = disk_.open(temporary, Disk::Open::empty, file)) return failed("cannot create", error);
    if (const auto error = file->preallocate(size)) return failed("cannot reserve space for", error);
    reach(CrashPoint::segment_preallocated);
    if (const auto error = file->fdatasync()) return lost(sync_error(temporary, error));
    reach(CrashPoint::segment_synchronized);
    if (const auto error = disk_.rename(temporary, path)) return failed("cannot rename", error);
    reach(CrashPoint::segment_named);
    const bool forgets = mutant("segment_name_not_synchronized");
    if (const auto error = forgets ? std::error_code() : disk_.sync_directory(folder_))
        return lost(sync_error(folder_, error));
    reach(CrashPoint::segment_durable);
    segments_.push_back({number, place_.epoch, place_.previous});
    file_ = std::move(file);
    size_ = size;
    offset_ = unclean_bytes_ = 0;
    return {};
}

Status Journal::write_first(const JournalSegment& segment) {
    const DurableText text = {std::string(kFirstKind),
                              1,
                              {{"segment", std::to_string(segment.number)},
                               {"epoch", std::to_string(segment.first_epoch)},
                               {"previous", to_hex(segment.previous)}}};
    Status status = write_durable_text(disk_, folder_ + "/FIRST", text, kFirstPoints);
    if (!status && status.error().code == "F709") return lost(status.error());
    return status;
}

Error Journal::lost(Error error) {
    if (options_.on_lost) {
        options_.on_lost(error);
    } else {
        log(LogLevel::error, error.text(), {{"journal", folder_}});
        std::abort();
    }
    lost_ = error;
    return error;
}

Result<JournalReader> Journal::read(std::uint64_t from_epoch) const {
    CHECK(from_epoch <= place_.epoch);
    if (from_epoch < first_epoch()) {
        return Error{"F711", fmt::format("the journal {} begins with epoch {}; epoch {} is not in it any more", folder_,
                                         first_epoch(), from_epoch)};
    }
    auto begin = segments_.begin();
    while (begin + 1 != segments_.end() && (begin + 1)->first_epoch <= from_epoch) ++begin;
    return JournalReader(disk_, folder_, {begin, segments_.end()}, from_epoch, last_epoch());
}

Status Journal::make_room(std::uint64_t frame_bytes) {
    if (lost_) return *lost_;
    frame_bytes = (frame_bytes + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
    if (frame_bytes <= size_ - offset_) return {};
    return make_segment(std::max(frame_bytes, options_.segment_bytes));
}

Status Journal::append(const FrameView& frame) {
    if (lost_) return *lost_;
    CHECK(frame.result.epoch == place_.epoch);
    Result<std::string> encoded = encode_frame(context_, frame, place_.previous);
    if (!encoded) return encoded.error();
    std::string& bytes = *encoded;
    const std::uint64_t size = bytes.size();
    const Hash128 hash = frame_hash(bytes);
    if (Status status = make_room(size); !status) return status;
    if (size < unclean_bytes_) bytes.resize(unclean_bytes_, '\0');
    const std::string path = path_of(segments_.back().number);
    std::size_t half = 0;
    std::error_code error;
    if constexpr (kCrashPointsAreActive) {
        half = bytes.size() / 2 / kSectorBytes * kSectorBytes;
        error = file_->write_at(offset_, std::string_view(bytes).substr(0, half));
        reach(CrashPoint::frame_half);
    }
    if (!error) error = file_->write_at(offset_ + half, std::string_view(bytes).substr(half));
    if (error == std::errc::no_space_on_device) {
        // Some file systems need more than what was reserved. Nothing counts until it is synchronized.
        unclean_bytes_ = bytes.size();
        return disk_error("cannot write", path, error);
    }
    if (error) return lost({"F709", fmt::format("cannot write {}: {}", path, error.message())});
    reach(CrashPoint::frame_written);
    const bool forgets = mutant("frame_not_synchronized");
    if (const auto failure = forgets ? std::error_code() : file_->fdatasync()) return lost(sync_error(path, failure));
    reach(CrashPoint::frame_durable);
    offset_ += size;
    unclean_bytes_ = 0;
    place_ = {place_.epoch + 1, hash, context_.incarnation};
    return {};
}

std::size_t Journal::segments_before(std::uint64_t epoch) const {
    std::size_t count = 0;
    while (count + 1 < segments_.size() && segments_[count + 1].first_epoch <= epoch) ++count;
    return count;
}

std::uint64_t Journal::last_dropped_before(std::uint64_t epoch) const {
    const std::size_t count = segments_before(epoch);
    return count == 0 ? 0 : segments_[count].first_epoch - 1;
}

Status Journal::drop_before(std::uint64_t epoch) {
    if (lost_) return *lost_;
    const std::size_t count = segments_before(epoch);
    if (count == 0) return {};
    // What FIRST does not name any more may go; in the other order a crash could leave a journal without its beginning.
    if (Status status = write_first(segments_[count]); !status) return status;
    std::vector<std::uint64_t> dropped;
    for (std::size_t i = 0; i < count; ++i) dropped.push_back(segments_[i].number);
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(count));
    return remove(dropped);
}

Status Journal::remove(const std::vector<std::uint64_t>& numbers) {
    for (const std::uint64_t number : numbers) {
        const std::string path = path_of(number);
        if (const auto error = disk_.unlink(path)) return disk_error("cannot remove", path, error);
        reach(CrashPoint::segment_unlinked);
    }
    if (numbers.empty()) return {};
    if (const auto error = disk_.sync_directory(folder_)) return lost(sync_error(folder_, error));
    reach(CrashPoint::segments_gone);
    return {};
}

}  // namespace takt
