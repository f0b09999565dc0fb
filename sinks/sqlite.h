#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "pipeline/config/option_table.h"
#include "pipeline/plan/sink.h"

namespace takt {

/// The embedded ledger: postings, dead letters and outcome counts in an SQLite file (docs/reference/ledger.md).
///
/// Effect:   a posting is a row, by its idempotency key; each `deliver`, `keep` and `summarize` is one transaction.
/// Accepted
///           postings are on disk when `deliver` returns, as far as `synchronous` says. The reference is the row's id.
/// Fence:    where the pipeline keeps its state, each transaction is of the newest start of that state, or fails.
/// Refuses:  IDEMPOTENCY_CONFLICT same key, other payload hash; OUT_OF_RANGE a quantity or amount (difference, not
///           cumulative) beyond 64 bits, which SQL could not sum exactly.
/// Errors:   C620 the file cannot be opened or is no database; C621 no ledger of this version; E620 busy, disk full or
///           broken; F626 damaged; F624 a later start of the pipeline owns the ledger. After an error nothing of that
///           call has taken effect.
/// Readers:  any number, while it is written (write-ahead log).
class SqliteSink final : public Sink {
  public:
    enum class Synchronous : std::uint8_t { full, normal, off };
    struct Options {
        std::string path;
        Synchronous synchronous = Synchronous::full;
        std::chrono::nanoseconds busy = std::chrono::seconds(5);
    };
    static OptionTable<Options> options();

    /// `pipeline` stands beside dead letters and outcomes.
    SqliteSink(Options options, std::string pipeline);
    ~SqliteSink() override;

    void resume(const Past& past) override;
    Status open() override;
    Result<std::vector<Delivery>> deliver(std::span<const Posting> postings) override;
    Status keep(std::span<const DeadLetter> dead_letters) override;
    Status summarize(std::span<const OutcomeCount> counts) override;
    Status finish() override;
    SinkPosition position() const override { return position_; }
    std::string describe() const override;

  private:
    struct Connection;

    /// Runs `body` in a transaction; takes all of it back where it fails.
    template <typename Body>
    Status transaction(Body&& body);
    Status find_last_accepted();
    Status take_fence();
    Status check_fence();
    Result<RunIdentity> owner();
    Error fenced(const RunIdentity& owner) const;
    Status insert(const Posting& posting, Delivery& delivery);
    Status insert_lines(const Posting& posting, std::int64_t id);
    Status compare(const Posting& posting, Delivery& delivery);

    const Options options_;
    const std::string pipeline_;
    RunIdentity run_;
    SinkPosition position_;  ///< last_sequence: id of the newest row that was accepted
    std::unique_ptr<Connection> connection_;
    bool may_own_ = false;  ///< it has tried to take the ledger: the number that stands there may be its own
};

}  // namespace takt
