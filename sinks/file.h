#pragma once

#include "pipeline/config/option_table.h"
#include "pipeline/plan/sink.h"
#include "sinks/delivered_keys.h"
#include "sinks/record_file.h"

namespace takt {

/// Writes postings and dead letters as JSON lines, CSV or FlatBuffers into a folder.
///
/// Files:   `postings-000001.jsonl` (or `.csv`, `.flatbuffers`), `dead_letters-000001…`, and at the end `outcomes.csv`.
/// A
///          file gets its name, at once and whole, when it holds `records_per_file` records or at the end; until then
///          it is `.NAME.partial`. Names and contents do not depend on how postings are grouped into calls.
///          FlatBuffers: one table a record, each after its length (u32, little endian).
/// Effect:  accepted postings are in the file, also after a crash of the daemon; with `synchronous` after a power cut
///          too. Keys of what the folder holds are read at the start, so that a repeat takes no effect.
/// Refuses: IDEMPOTENCY_CONFLICT same key, other payload hash; OUT_OF_RANGE no exact place in FlatBuffers for a number.
/// Errors:  E630 the system's reason; F630 a file in the folder is not one of ours; F631 more than `max_keys` postings.
class FileSink final : public Sink {
  public:
    enum class Format : std::uint8_t { json, csv, flatbuffers };
    struct Options {
        std::string path;
        Format format = Format::json;
        std::int64_t records_per_file = 100'000;
        bool synchronous = true;
        std::int64_t max_keys = 10'000'000;
    };
    static OptionTable<Options> options();

    explicit FileSink(Options options);

    Status open() override;
    Result<std::vector<Delivery>> deliver(std::span<const Posting> postings) override;
    Status keep(std::span<const DeadLetter> dead_letters) override;
    Status summarize(std::span<const OutcomeCount> counts) override;
    Status finish() override;
    std::string describe() const override { return "file " + options_.path; }

  private:
    Status read_postings(const std::string& path, std::string text);
    Status read_dead_letters(const std::string& path, std::string text);
    /// Passes a status on; after an error the files are opened anew before the next call, to see what has been written.
    Status noted(Status status);
    Status opened();

    const Options options_;
    RecordFile postings_;
    RecordFile dead_letters_;
    DeliveredKeys delivered_;
    DeliveredKeys kept_;
    std::vector<OutcomeCount> outcomes_;
    bool is_open_ = false;
};

}  // namespace takt
