#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "pipeline/base/clock.h"
#include "pipeline/base/thread.h"
#include "pipeline/observe/engine_status.h"
#include "pipeline/plan/epoch_result.h"
#include "pipeline/plan/plan.h"
#include "pipeline/runtime/backoff.h"

namespace takt {

/// The thread that follows one live table: it reads, judges what it read, and makes the next version of the table
/// beside the stream. The cutter puts a version in place between two epochs; what changes meanwhile waits for the one
/// after.
///
/// A value that is no row of the table is refused, logged and counted; what stood before it holds.
class TableReader {
  public:
    struct Options {
        std::uint64_t waiting_bytes = 64u << 20;  ///< of changes that no version has yet; more are not read
        Duration wait = 50 * kMillisecond;        ///< longest wait for a change
        Backoff::Options retry;
        Clock* clock = nullptr;
    };
    /// What the engine must know; one moment.
    struct View {
        bool loaded = false;   ///< the content was read, and the first version is made
        bool waiting = false;  ///< a version waits to be taken
        std::optional<Error> error;
    };

    /// `index`: of the table in Plan::tables. `on_change`: called by the reader's thread, holding nothing, when the
    /// view may have changed. The plan must outlive the reader.
    TableReader(const TablePlan& plan, std::uint32_t index, const Options& options, std::function<void()> on_change);
    ~TableReader();

    /// Makes the connector and starts to read. `known`: of what the table is made now; what its origin says otherwise
    /// is the first version then, and there is none where it says the same. Null: the first version is the whole
    /// content. C and F errors end the reader; E errors are retried for ever.
    Status start(std::shared_ptr<const TableEntries> known);
    /// Ends reading; a version that waits stays. Returns when the thread has ended.
    void stop();
    /// The next version, which takes effect now; nothing when none waits.
    std::optional<TableVersion> take();
    View view() const;
    /// Any thread.
    TableStatus status() const;

  private:
    void run();
    bool open();
    bool read_one();
    bool wait(Duration duration);
    void leave_out_known(std::vector<TableChange>& content) const;
    void accept(std::vector<TableChange> changes);
    void refuse(const Error& error, std::size_t refused_before);
    bool make_version();
    void enter(TableStatus::State state);
    void fail(const Error& error);

    const TablePlan& plan_;
    const std::uint32_t index_;
    const Options options_;
    const std::function<void()> on_change_;
    std::unique_ptr<TableFeed> feed_;  ///< the thread's, once started; describe() is anybody's

    // Of the thread.
    std::shared_ptr<const TemporalTable> newest_;  ///< of the last version made
    std::shared_ptr<const TableEntries> known_;    ///< at the start; null: nothing, or the content was compared with it
    std::vector<TableChange> changes_;             ///< that no version has yet
    std::vector<TableUpdate> updates_;             ///< what they mean
    std::uint64_t changes_bytes_ = 0;

    mutable Mutex mutex_;
    Condition changed_;
    bool stopping_ = false;
    bool loaded_ = false;
    std::optional<TableVersion> version_;  ///< waits to be taken
    TableStatus status_;
    std::optional<Error> error_;

    Thread thread_;
};

}  // namespace takt
