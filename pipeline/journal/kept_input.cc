#include "pipeline/journal/kept_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "pipeline/journal/journal.h"

namespace takt {
namespace {

/// What a frame has of the source; nothing: its config had no such source.
struct OfFrame {
    std::uint64_t first = 0;  ///< what came before is in earlier frames
    std::vector<InputRecord> records;
};

std::optional<OfFrame> take_from(StoredFrame&& stored, const std::string& source) {
    const auto named = std::find(stored.sources.begin(), stored.sources.end(), source);
    if (named == stored.sources.end()) return std::nullopt;
    const auto index = static_cast<std::uint32_t>(named - stored.sources.begin());
    EpochResult& result = stored.frame.result;
    OfFrame of;
    for (InputRecord& record : result.input_records) {
        if (record.source == index) of.records.push_back(std::move(record));
    }
    of.first = of.records.empty() ? result.cuts[index].last_sequence + 1 : of.records.front().sequence;
    return of;
}

class KeptInput {
  public:
    KeptInput(std::string source, std::uint64_t first, std::uint64_t last,
              const std::function<void(std::vector<InputRecord>)>& take)
        : source_(std::move(source)), first_(first), next_(first), last_(last), take_(take) {}

    /// Goes on where it was when the one before failed.
    Status read(Disk& disk, const std::string& state_directory) {
        Result<std::optional<JournalReader>> reader = Journal::look(disk, state_directory + "/journal");
        if (!reader) return reader.error();
        std::uint64_t seen = 0;
        // To the end, whatever was asked for: the source may begin again there.
        while (*reader) {
            Result<std::optional<StoredFrame>> frame = (*reader)->next();
            if (!frame) return frame.error();
            if (!*frame) break;
            const std::uint64_t epoch = (*frame)->frame.result.epoch;
            std::optional<OfFrame> of = take_from(std::move(**frame), source_);
            if (!of) continue;
            if (of->first <= seen) {
                return Error{kInputGone, fmt::format("source '{}' begins at {} again in epoch {} of {}: its state was "
                                                     "dropped, and messages from before have the same sequences",
                                                     source_, of->first, epoch, state_directory)};
            }
            seen = of->records.empty() ? of->first - 1 : of->records.back().sequence;
            // Behind a gap nothing is given any more; where the last one ends is to be said.
            if (of->first > next_ && next_ <= last_) next_ = whole_from_ = of->first;
            give(std::move(of->records));
        }
        if (whole_from_ == 0) return {};
        return Error{kInputGone, fmt::format("the journal of {} has the messages of source '{}' from {} on, and not "
                                             "those from {} to {}",
                                             state_directory, source_, whole_from_, first_, whole_from_ - 1)};
    }

  private:
    void give(std::vector<InputRecord>&& records) {
        std::erase_if(records,
                      [this](const InputRecord& record) { return record.sequence < next_ || record.sequence > last_; });
        if (records.empty()) return;
        next_ = records.back().sequence + 1;
        if (whole_from_ == 0) take_(std::move(records));
    }

    const std::string source_;
    const std::uint64_t first_;
    std::uint64_t next_;
    const std::uint64_t last_;
    std::uint64_t whole_from_ = 0;  ///< 0: nothing is missing so far
    const std::function<void(std::vector<InputRecord>)>& take_;
};

}  // namespace

Status read_kept_input(Disk& disk, const std::string& state_directory, const std::string& source, std::uint64_t first,
                       std::uint64_t last, const std::function<void(std::vector<InputRecord>)>& take) {
    KeptInput input(source, first, last, take);
    for (int attempt = 1;; ++attempt) {
        Status read = input.read(disk, state_directory);
        if (read || read.error().code == kInputGone || attempt == kLookAttempts) return read;
    }
}

}  // namespace takt
