#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/base/hash.h"
#include "pipeline/base/result.h"
#include "pipeline/journal/disk.h"
#include "pipeline/journal/frame.h"
#include "pipeline/journal/segment.h"

namespace takt {

/// Where a segment stands in the chain.
struct JournalSegment {
    std::uint64_t number = 0;
    std::uint64_t first_epoch = 0;  ///< of its first frame, or of the one that would be
    Hash128 previous;               ///< hash that this frame names
};

/// Frames in the order of their epochs, each verified. One thread. See Journal::read.
class JournalReader {
  public:
    /// The next frame; nothing after the last one. An error is final.
    Result<std::optional<StoredFrame>> next();

  private:
    friend class Journal;
    JournalReader(Disk& disk, std::string folder, std::vector<JournalSegment> segments, std::uint64_t from_epoch,
                  std::optional<std::uint64_t> last_epoch);

    Disk* disk_;
    std::string folder_;
    std::vector<JournalSegment> segments_;
    std::size_t next_segment_ = 0;
    std::uint64_t from_epoch_;
    std::optional<std::uint64_t> last_epoch_;  ///< nothing: where the chain ends
    ChainPlace place_;
    std::optional<SegmentReader> segment_;
};

/// How often Journal::look is tried beside a daemon at work, which may remove a segment, or write a frame, while it is
/// read.
constexpr int kLookAttempts = 5;

/// The journal of one pipeline: one frame an epoch, in a chain, in segments of a folder (docs/formats/frame.md). What
/// `append` has returned success for survives the process and the machine; nothing of an epoch may leave takt before.
///
/// One thread, which may be another one after `open`. The folder must belong to this process: see StateDirectory.
class Journal {
  public:
    struct Options {
        std::uint64_t segment_bytes = 64u << 20;  ///< a multiple of kSectorBytes
        std::uint64_t reserve_bytes = 0;          ///< must stay free on the file system when a segment was made
        /// Called when a write or a synchronization failed, so that nobody knows what is durable. Empty: logs and
        /// aborts the process. If it returns, every later call gives the same error.
        std::function<void(const Error&)> on_lost = {};
    };

    /// Reads and verifies what is there; a torn frame at the end is cut off and logged. What is found is durable. An
    /// empty folder gets a new journal; the folder must exist.
    ///
    /// F704: written by a later version of takt. F706: a frame is damaged. F707: a frame or segment is missing. F712:
    /// the last frame is of this incarnation or a later one. F705: FIRST is damaged. E700, E701. F709.
    static Result<std::unique_ptr<Journal>> open(Disk& disk, std::string folder, FrameContext context,
                                                 const Options& options);
    static Result<std::unique_ptr<Journal>> open(Disk& disk, std::string folder, FrameContext context) {
        return open(disk, std::move(folder), std::move(context), Options{});
    }
    /// All frames of a journal that another process may own; nothing is changed, and nothing found is known to be
    /// durable. Nothing where no journal was begun yet. F704, F705, F707, E700. Frames that are written or removed
    /// meanwhile may be missing or seem damaged: try again.
    static Result<std::optional<JournalReader>> look(Disk& disk, const std::string& folder);
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    /// Of the oldest frame that is kept; last_epoch() + 1 where there is none.
    std::uint64_t first_epoch() const { return segments_.front().first_epoch; }
    /// Of the last durable frame; 0: none.
    std::uint64_t last_epoch() const { return place_.epoch - 1; }
    /// Which start wrote its last frame; 0: it never had one.
    std::uint64_t last_incarnation() const { return place_.incarnation; }
    /// What a torn frame had left when the journal was opened; 0: none.
    std::uint64_t torn_bytes() const { return torn_bytes_; }
    std::size_t segments() const { return segments_.size(); }

    /// Frames from this epoch (up to last_epoch() + 1) to the last one of now; must not be used after drop_before.
    /// F711: older than first_epoch().
    Result<JournalReader> read(std::uint64_t from_epoch) const;

    /// Makes room for a frame of this size; to be asked before an epoch is cut. E701: no room, nothing was written; ask
    /// again later. E700.
    Status make_room(std::uint64_t frame_bytes);

    /// The frame of epoch last_epoch() + 1. Returns when it is durable, by one fdatasync; where a new segment is
    /// needed, that is made durable first. E701: no room; the frame is not in the journal, append it again later. E700:
    /// the same for another reason. F710: it is too large. F709: see Options::on_lost.
    Status append(const FrameView& frame);

    /// Of the last frame that drop_before would remove; 0: none.
    std::uint64_t last_dropped_before(std::uint64_t epoch) const;
    /// Removes segments all of whose frames are older than this epoch, never the last segment. E700, E701: not all
    /// could be removed; they will be by the next `open`. F709.
    Status drop_before(std::uint64_t epoch);

  private:
    Journal(Disk& disk, std::string folder, FrameContext context, const Options& options);

    std::size_t segments_before(std::uint64_t epoch) const;
    Status begin(bool has_segment);
    Status scan();
    Status open_last(std::uint64_t last_frame, std::uint64_t torn_at);
    Status clean();
    Status make_segment(std::uint64_t size);
    Status remove(const std::vector<std::uint64_t>& numbers);
    Status write_first(const JournalSegment& segment);
    Error lost(Error error);
    std::string path_of(std::uint64_t number) const { return folder_ + "/" + segment_name(number); }

    Disk& disk_;
    const std::string folder_;
    const FrameContext context_;
    Options options_;
    std::vector<JournalSegment> segments_;  // never empty after `open`
    ChainPlace place_;                      // of the next frame
    std::unique_ptr<File> file_;            // the last segment
    std::uint64_t size_ = 0;
    std::uint64_t offset_ = 0;         // of the next frame in it
    std::uint64_t unclean_bytes_ = 0;  // from there on, left by a write for which there was no room
    std::uint64_t torn_bytes_ = 0;
    std::optional<Error> lost_;
};

}  // namespace takt
