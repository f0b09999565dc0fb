#pragma once

#include <atomic>
#include <mutex>

#include "pipeline/base/hash.h"
#include "pipeline/config/option_table.h"
#include "pipeline/plan/sink.h"

namespace takt {

/// Takes everything and keeps nothing but counts and a digest: for benchmarks, and to compare two runs.
///
/// Digest:  multiset hash of key and payload hash of every posting, so that order and grouping do not matter. A repeat
/// counts
///          again: nothing is remembered.
class DiscardSink final : public Sink {
  public:
    struct Options {
        bool print = false;
    };
    static OptionTable<Options> options();

    struct Totals {
        std::uint64_t postings = 0;
        std::uint64_t dead_letters = 0;
        Hash128 digest;
    };

    explicit DiscardSink(Options options) : options_(options) {}

    Status open() override { return {}; }
    Result<std::vector<Delivery>> deliver(std::span<const Posting> postings) override;
    Status keep(std::span<const DeadLetter> dead_letters) override;
    Status summarize(std::span<const OutcomeCount>) override { return {}; }
    /// With `print`: one line "discard: postings=… dead_letters=… digest=…" on standard output.
    Status finish() override;
    std::string describe() const override;

    /// Any thread.
    Totals totals() const;

  private:
    const Options options_;
    mutable std::mutex mutex_;
    Totals totals_;
};

}  // namespace takt
