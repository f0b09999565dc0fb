#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pipeline/base/clock.h"
#include "pipeline/config/option_table.h"
#include "pipeline/plan/source.h"
#include "sources/record_cutter.h"

namespace takt {

/// Reads recorded events from files, one after another.
///
/// Messages: one per record, in the order of the files and of the records in them; the sequence counts all records from
/// 1 through all files,
///           blank lines, the header and empty FlatBuffers records too (they are empty or blank messages). Line ends
///           and length prefixes are cut off, a CR before LF is not; a UTF-8 BOM at the start of a text file is
///           skipped. Subject: empty.
/// Too long: a record longer than `max_record_bytes` is a message of its first `max_record_bytes + 1` bytes, which
/// every decoder refuses;
///           the rest is skipped, so that no input needs more memory.
/// Ends:     at the end of the last file, where a record without line end counts; with `follow` it waits for more
/// (`quiet`) and a record
///           counts when its end is there.
/// Anchor:   place and digest of the bytes before it, so that a start in the middle needs no reading from the
/// beginning. Errors:   E510 a file cannot be opened or read; C510 no file has that name; C511 the delimiter is not one
/// byte; F510 SOURCE_IDENTITY the file is no longer the one that was
///           read; F511 SOURCE_REGRESSION it ends before the position.
class FileSource final : public Source {
  public:
    struct Options {
        std::vector<std::string>
            path;  ///< paths or glob patterns; matches of a pattern are read in byte order of their names
        RecordFraming framing = RecordFraming::lines;  ///< follows from the source's `format`
        std::string delimiter = ",";  ///< one byte, of delimited text; quotes open only at the start of a field
        bool header = false;          ///< the first record of each file names the columns
        bool follow = false;
        SizeBytes max_record_bytes{1 << 20};
    };
    /// Without `framing`, `delimiter` and `header`, which the section's `format` decides.
    static OptionTable<Options> options();

    explicit FileSource(Options options, Clock& clock = system_clock());
    ~FileSource() override;

    Status open(const SourcePosition& position) override;
    Result<State> read(const Limits& limits, MessageBlock& block) override;
    SourcePosition position() const override;
    std::string describe() const override;

    /// The first record of the first file without line end, CR and BOM: what a delimited decoder takes its column names
    /// from.
    static Result<std::string> read_header(const Options& options);

    /// The files that the options name, as they are now.
    static Result<std::vector<std::string>> files(const Options& options);

  private:
    struct Input;

    Status open_file(std::size_t index);
    Status seek(const std::string& anchor, std::uint64_t next_sequence);
    Status skip_to(std::uint64_t next_sequence);
    /// More bytes behind the unread ones; false at the end of the file.
    Result<bool> fill(std::size_t bytes);
    Result<bool> wait_for_more(Duration wait);
    void take(std::string_view data, Timestamp now, MessageBlock& block);

    Options options_;
    Clock& clock_;
    std::vector<std::string> files_;
    std::size_t file_index_ = 0;
    std::unique_ptr<Input> input_;
    std::uint64_t next_sequence_ = 1;
};

}  // namespace takt
