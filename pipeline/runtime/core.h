#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "pipeline/batch/batch.h"
#include "pipeline/plan/engine_state.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/plan.h"

namespace takt {

/// The engine without connectors: messages in, one EpochResult a cut out.
///
/// Input is a chain of numbered chunks, and each cut is a marker in the same numbering. A chunk is decoded and goes
/// through the stateless steps on any thread; in the order of their numbers chunks get the epoch's watermark; each lane
/// then takes them in that order through its part of the deduplication and, when all lanes are through, of the
/// terminals. So a batch goes from bytes to panes while it is in the cache, and the answer does not depend on the
/// number of lanes or threads.
///
/// With one thread everything runs on the thread that feeds; with more on a TBB arena of that many threads.
/// One thread calls feed, cut and drain. `on_epoch` is called in the order of epochs, never concurrently, on any
/// thread; while it blocks, no further epoch completes and feed soon blocks too. It is the place of the journal:
/// nothing has left the engine when it is called.
class Core {
  public:
    struct Options {
        std::uint32_t lanes = 1;                    ///< 1 to 128
        std::uint32_t threads = 1;                  ///< 1 to 256
        std::uint32_t chunk_messages = kBatchRows;  ///< messages decoded by one task
        std::uint32_t credit_chunks = 0;            ///< chunks in flight at most; 0: 2 * threads + 2
        std::uint64_t credit_bytes = 64u << 20;     ///< message bytes in flight at most; one chunk always goes
        bool keep_input = false;                    ///< fills EpochResult::input_records
    };
    struct InFlight {
        std::uint64_t chunks = 0;
        std::uint64_t chunks_limit = 0;
        std::uint64_t bytes = 0;
        std::uint64_t bytes_limit = 0;
    };

    /// The plan must outlive the core.
    Core(const Plan& plan, const Options& options, std::function<void(EpochResult&&)> on_epoch);
    /// Waits for what is in flight; rows after the last cut are forgotten.
    ~Core();
    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    /// Takes messages of the source, in order. Blocks while all credits are used; nothing is ever dropped.
    void feed(std::uint32_t source, std::shared_ptr<const MessageBlock> block);
    /// Ends the epoch: the watermark moves, timers fire. Returns before on_epoch is called when there are several
    /// threads. New versions of tables take effect when the epoch is through: then it waits for that. `logged`: the
    /// cuts that a log has of this epoch; an anchor of theirs stands where no later one was fed. Blocks end otherwise
    /// when they are read again, and what was proved once is not forgotten.
    void cut(CutOptions cut, std::vector<SourceCut> logged = {});
    /// Gives the table versions of a journal's cut, which is made again now, the content that they had. F625.
    Status complete_tables(CutOptions& cut) const;
    /// What the live table with this index is made of since the last cut; null before its first version.
    std::shared_ptr<const TableEntries> table_entries(std::uint32_t table) const;
    /// Returns when everything that was fed and cut is through.
    void drain();

    /// What the next epoch depends on. After a cut and drain, before anything is fed.
    EngineState save() const;
    /// The same into the memory of an older one: a copy of much state each time would scatter the allocator's memory.
    void save(EngineState& into) const;
    /// Which numbers of panes do not balance with what rows brought: looks at each pane. At the same times as `save`.
    std::vector<Imbalance> find_open_imbalances() const;
    /// Goes on after that state, before anything is fed. C630: it is not of this plan; the core must not be used.
    Status load(const EngineState& state);

    /// Any thread.
    InFlight in_flight() const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace takt
