#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "pipeline/base/thread.h"
#include "pipeline/journal/disk.h"
#include "pipeline/journal/hold_orders.h"
#include "pipeline/journal/journal.h"
#include "pipeline/journal/outbox.h"
#include "pipeline/journal/snapshot_store.h"
#include "pipeline/journal/state_directory.h"
#include "pipeline/plan/config_change.h"
#include "pipeline/plan/epoch_log.h"
#include "pipeline/plan/plan.h"

namespace takt {

/// A state directory as the engine's log: a frame of the journal for each epoch, and snapshots of the state
/// (docs/formats/state.md). Owns the directory until the object goes.
class StateLog final : public EpochLog {
  public:
    struct Options {
        std::string engine_version;
        std::string tzdb_version;
        Journal::Options journal;
        SnapshotStore::Options snapshots;
        std::set<std::string> drop_state = {};  ///< uids whose state may go when the config has changed
    };

    /// The plan must outlive the log. Takes the directory, makes what is missing, verifies the journal. Errors of
    /// StateDirectory::open, Journal::open and SnapshotStore::open.
    static Result<std::unique_ptr<StateLog>> open(Disk& disk, const std::string& path, const Plan& plan,
                                                  const Options& options);

    /// Where the config has changed and the newest snapshot is of the journal's end, the state goes on under the plan:
    /// a snapshot and then a frame of an epoch without input are the first ones of the new config
    /// (docs/config-changes.md).
    ///
    /// C632: epochs after the newest snapshot were written under another config, or with other sources or another order
    /// of them. C636: the plan would drop state that Options::drop_state does not name. C637: state cannot be dropped,
    /// either. E703: the plan does not begin with the state's outcomes. F721: no snapshot can be used, and the journal
    /// does not reach back to the first epoch. F722: it was written by another version of takt. Errors of
    /// Journal::read, Journal::append and SnapshotStore::write.
    Result<Past> recover() override;
    Status append(const EpochResult& epoch, const SinkAnswers& answers) override;
    Status snapshot(const EngineState& state, std::uint64_t delivered) override;

    Status end() override;
    std::vector<HoldOrder> take_orders() override { return orders_.take(); }

    std::uint64_t incarnation() const { return directory_.incarnation(); }
    /// How many starts in a row were killed before they had made a single epoch; this one not counted.
    std::uint64_t killed_starts() const { return killed_starts_; }
    /// Puts a message on the list of those that are not read any more; durable when it returns. Before `recover`. E700,
    /// E701, F709.
    Status quarantine(const QuarantinedMessage& message);

  private:
    StateLog(Disk& disk, StateDirectory directory, std::unique_ptr<Journal> journal, SnapshotStore snapshots,
             SnapshotStore::Origin origin, FrameContext context, std::vector<SinkRoute> routes, const Plan& plan,
             std::set<std::string> drop_state)
        : plan_(plan),
          drop_state_(std::move(drop_state)),
          directory_(std::move(directory)),
          journal_(std::move(journal)),
          snapshots_(std::move(snapshots)),
          origin_(std::move(origin)),
          context_(std::move(context)),
          routes_(std::move(routes)),
          disk_(disk),
          orders_(disk, directory_.path()) {}
    Status check_origin(const std::string& what, const std::string& engine_version, const std::string& config_hash,
                        const std::vector<std::string>& sources) const;
    Result<EngineState> take_over(SnapshotStore::Snapshot&& kept);
    Result<EngineState> change_config(EngineState&& before, const std::vector<ConfigEdit>& edits);
    void recall_sinks(const Outbox& outbox, Past& past) const;
    Status remove_before(std::uint64_t epoch);
    Status read_ends();
    Status read_quarantine();
    std::vector<QuarantinedMessage> quarantined() const;

    const Plan& plan_;
    const std::set<std::string> drop_state_;
    StateDirectory directory_;
    Mutex mutex_;  ///< of the journal: `append` and `snapshot` may run at once
    std::unique_ptr<Journal> journal_;
    SnapshotStore snapshots_;
    SnapshotStore::Origin origin_;  ///< of this run
    FrameContext context_;
    std::vector<SinkRoute> routes_;  ///< of the plan's sinks, by index
    bool named_ = false;             ///< a frame of this run has them
    Outbox removed_;                 ///< of the frames that are not in the journal any more; the snapshots' thread's
    std::uint64_t killed_starts_ = 0;
    std::vector<std::pair<std::uint64_t, std::string>> quarantine_;  ///< sequence and source, of any config
    Disk& disk_;
    HoldOrders orders_;
};

}  // namespace takt
