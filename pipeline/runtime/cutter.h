#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "pipeline/base/clock.h"
#include "pipeline/plan/epoch_log.h"
#include "pipeline/plan/plan.h"
#include "pipeline/runtime/core.h"
#include "pipeline/runtime/source_reader.h"
#include "pipeline/runtime/table_reader.h"

namespace takt {

/// Cuts the input of all sources into epochs and feeds the core. One thread.
///
/// The core gets an epoch's messages in the order (source index, sequence): those of the first source at once, those of
/// the others when the epoch is cut; what is held back meanwhile counts towards plan.epoch_bytes.
class Cutter {
  public:
    using Readers = std::vector<std::unique_ptr<SourceReader>>;
    using Tables = std::vector<std::unique_ptr<TableReader>>;
    /// `on_cut`: before each cut, with the monotonic time of the epoch's first message (or of the cut, where it has
    /// none).
    Cutter(const Plan& plan, const Readers& readers, const Tables& tables, Clock& clock, Core& core,
           std::function<void(Timestamp)> on_cut);

    /// Takes what is queued, at most to the end of this epoch. False: there was nothing. Blocks while the core has no
    /// credit.
    bool take();
    /// Ends the epoch when it is time, or when a source became idle or ended and the watermark may move, when a table
    /// has changed or something was ordered, or when there is other `news` for a frame.
    bool cut_if_due(bool news = false);
    /// Input goes on after these cuts; before anything else.
    void resume(const std::vector<SourceCut>& cuts);
    /// Of any source, in any order: these are not read, but dead letters; before anything else.
    void set_quarantine(const std::vector<QuarantinedMessage>& quarantine);
    /// Who is asked, a few times a second and before all windows close, for dead letters that are to come again and for
    /// orders about held postings. Nobody without it, so after the last `replay`. It must outlive the cutter.
    void set_control(EpochLog* log) { control_ = log; }
    /// Feeds and cuts an epoch as a journal has it, in place of take and cut_if_due. False: not all of its messages are
    /// here yet; call again with the same epoch when a reader has more. F620: they never will be.
    Result<bool> replay(const EpochResult& journaled);
    /// Ends the run's last epoch. `flush`: bounded input is at its end, all windows close.
    void cut_last(bool flush);
    /// An epoch without input after the last one, in which neither the watermark nor anything else moves.
    void cut_nothing();
    /// Until cut_if_due may have something to do without new input.
    Duration due_in() const;
    /// Holds no message that is in no epoch yet.
    bool empty_handed() const;

  private:
    bool full() const;
    void add(std::uint32_t source, std::shared_ptr<const MessageBlock> block);
    void feed(std::uint32_t source, std::shared_ptr<const MessageBlock> block);
    std::shared_ptr<const MessageBlock> next_block(std::uint32_t source);
    std::shared_ptr<const MessageBlock> unfed(std::uint32_t source, std::shared_ptr<const MessageBlock> block);
    Result<bool> replay_source(std::uint32_t source, const SourceCut& cut);
    void feed_kept(std::uint32_t source, const EpochResult& journaled);
    void find_idle(Timestamp now, CutOptions& cut) const;
    void look_for_control();
    bool any_control() const { return !replays_.empty() || !orders_.empty(); }
    void take_control(CutOptions& cut);
    void cut(CutOptions options, std::vector<SourceCut> logged = {});

    const Plan& plan_;
    const Readers& readers_;
    const Tables& tables_;
    Clock& clock_;
    Core& core_;
    const std::function<void(Timestamp)> on_cut_;

    std::uint64_t messages_ = 0;
    std::uint64_t bytes_ = 0;
    std::optional<Timestamp> first_message_;
    std::vector<std::vector<std::shared_ptr<const MessageBlock>>> held_;  ///< by source; of this epoch
    std::vector<std::shared_ptr<const MessageBlock>>
        rest_;                 ///< by source: the part of a block that is for the next epoch
    std::vector<bool> spoke_;  ///< by source: it has messages in this epoch, so it is not idle
    std::uint32_t turn_ = 0;   ///< the source that is asked first
    CutOptions last_cut_;
    EpochLog* control_ = nullptr;
    std::vector<DeadLetterReplay> replays_;            ///< of this epoch
    std::vector<HoldOrder> orders_;                    ///< the same
    Timestamp next_look_ = 0;                          ///< for them; monotonic
    std::vector<std::uint64_t> fed_;                   ///< by source: the last sequence that was fed
    std::uint32_t replayed_ = 0;                       ///< sources of the replayed epoch that are fed
    std::vector<std::set<std::uint64_t>> quarantine_;  ///< by source
};

}  // namespace takt
