#pragma once

#include <cstdio>

#include "pipeline/config/option_table.h"
#include "pipeline/plan/sink.h"
#include "sinks/delivered_keys.h"

namespace takt {

/// Prints postings on standard output (`stdout`): JSON lines, or a table for people.
///
/// Effect:  a line, flushed with the others of its call. A key is printed once in a run.
/// Errors:  E632 the output cannot be written; F631 more than `max_keys` postings.
class StandardOutputSink final : public Sink {
  public:
    enum class Format : std::uint8_t { json, table };
    struct Options {
        Format format = Format::json;
        bool dead_letters = false;
        std::int64_t max_keys = 10'000'000;
    };
    static OptionTable<Options> options();

    /// `output` must outlive the sink.
    explicit StandardOutputSink(Options options, std::FILE* output = stdout);

    Status open() override { return {}; }
    Result<std::vector<Delivery>> deliver(std::span<const Posting> postings) override;
    Status keep(std::span<const DeadLetter> dead_letters) override;
    Status summarize(std::span<const OutcomeCount>) override { return {}; }
    Status finish() override;
    std::string describe() const override { return "stdout"; }

  private:
    Status write(const std::string& text);

    const Options options_;
    std::FILE* output_;
    DeliveredKeys delivered_;
    bool header_printed_ = false;
};

}  // namespace takt
