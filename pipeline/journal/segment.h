#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/hash.h"
#include "pipeline/base/result.h"
#include "pipeline/journal/disk.h"
#include "pipeline/journal/frame.h"

namespace takt {

/// What the next frame of the chain must be.
struct ChainPlace {
    std::uint64_t epoch = 1;
    Hash128 previous;               ///< hash of the frame before
    std::uint64_t incarnation = 0;  ///< at least
};

/// "00000017.jnl", and back; nothing for names of other files.
std::string segment_name(std::uint64_t number);
std::optional<std::uint64_t> segment_number(std::string_view name);

/// Reads the frames of one segment in order and judges what ends them (docs/formats/frame.md). One thread.
class SegmentReader {
  public:
    /// `last`: of the journal's segments; only that one may end with a torn frame. E700.
    static Result<SegmentReader> open(Disk& disk, const std::string& path, bool last);

    /// The next frame, valid until the next call, with the place moved behind it; nothing at the end. F704, F706, F707,
    /// E700: stop.
    Result<std::optional<std::string_view>> next(ChainPlace& place);

    /// Where the next frame begins, or would.
    std::uint64_t offset() const { return offset_; }
    std::uint64_t size_bytes() const { return size_; }
    /// After the end: how many bytes from `offset` on a torn frame has left; 0: none.
    std::uint64_t torn_bytes() const { return torn_bytes_; }

  private:
    SegmentReader(std::string path, std::unique_ptr<File> file, std::uint64_t size, bool last)
        : path_(std::move(path)), file_(std::move(file)), size_(size), last_(last) {}

    /// Bytes of the file, aligned to 8, valid until the next call.
    Result<std::string_view> bytes(std::uint64_t offset, std::uint64_t count);
    /// The end of the last sector at or after `offset` that is not zeros; `offset` where there is none. `later_frame`:
    /// where a header stands of an epoch after this one.
    Result<std::uint64_t> used_end(std::uint64_t offset, std::uint64_t epoch,
                                   std::optional<std::uint64_t>& later_frame);
    Result<std::optional<std::string_view>> end_at_zeros(const ChainPlace& place);
    Result<std::optional<std::string_view>> end_at_torn(const FrameHeader& header, std::string_view frame);
    Error damaged(std::uint64_t epoch, std::string_view what) const;

    std::string path_;
    std::unique_ptr<File> file_;
    std::uint64_t size_;
    bool last_;
    std::uint64_t offset_ = 0;
    std::uint64_t torn_bytes_ = 0;
    std::vector<std::uint64_t> window_;  // what was read last, as words so that it is aligned
    std::uint64_t window_begin_ = 0;
    std::uint64_t window_bytes_ = 0;
};

}  // namespace takt
