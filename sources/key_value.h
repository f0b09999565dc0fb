#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/base/clock.h"
#include "pipeline/plan/table_feed.h"
#include "sources/connection/nats_connection.h"
#include "sources/key_value_rows.h"

namespace takt {

/// Follows the entries of a NATS key-value bucket that begin with a prefix; each holds the rows of one key of a table.
///
/// Content: the newest value of each entry, complete when the watcher says so.
/// Breaks:  a lost connection, a server restart, a bucket that is gone or was made anew, and a watcher that fell silent
///          are mended: the whole content is read again, and what differs is told. A watcher that has lost its bucket
///          says nothing, so the bucket itself is asked every `check`.
/// Errors:  C520, C521, E520, E521 of the connection; C526 the bucket is not there (only from `open`); C527 its values
///          expire; E526 it cannot be read.
/// Limits:  memory for one copy of the content while it is read, and for the names of its entries.
class KeyValueBucket final : public TableFeed {
  public:
    struct Options : NatsConnectionOptions {
        std::string bucket;
        std::string prefix;
        std::chrono::nanoseconds check = std::chrono::seconds(5);
        std::chrono::nanoseconds request_timeout = std::chrono::seconds(2);
    };
    static OptionTable<Options> options();

    KeyValueBucket(Options options, TableSpec spec, Clock& clock = system_clock());
    ~KeyValueBucket() override;

    Status open(std::vector<TableChange>& content) override;
    Status read(Duration wait, std::vector<TableChange>& changes) override;
    std::vector<TableChange> earlier(const TableChange& change) override;
    Result<std::vector<TableUpdate>> decode(const TableChange& change) const override { return rows_.read(change); }
    std::string describe() const override;

    /// How often the whole content was read again.
    std::uint64_t reloads() const { return reloads_; }

  private:
    /// Tells one value of an entry from any other, also when the bucket was made anew.
    struct Version {
        std::uint64_t revision = 0;
        std::int64_t created = 0;  ///< the server's time
        bool operator==(const Version&) const = default;
    };
    struct Entry {
        TableChange change;
        std::int64_t created = 0;
    };

    Status connect();
    Status find_bucket();
    Status watch();
    Status load(std::vector<TableChange>& changes);
    Status reload(std::vector<TableChange>& changes);
    Result<std::optional<Entry>> next(Duration wait, bool& complete);
    void tell(Entry entry, std::vector<TableChange>& changes);
    Status check();
    Status out_of_step(Error error);

    const Options options_;
    const KeyValueRows rows_;
    Clock& clock_;
    std::unique_ptr<NatsConnection> connection_;
    JetStreamHandle jetstream_;
    KeyValueHandle bucket_;
    KeyValueWatcherHandle watcher_;  // null: the content must be read again

    std::map<std::string, Version, std::less<>> known_;  // entries that were told
    std::uint64_t seen_ = 0;                             // latest revision that the watcher showed
    std::uint64_t unseen_ = 0;  // one that the bucket has and the watcher had not shown at the last check
    std::int64_t created_ = 0;  // of the bucket, as are its latest revision
    std::uint64_t last_revision_ = 0;
    std::uint64_t reconnects_ = 0;  // of the connection, when the watcher was made
    Timestamp check_at_ = 0;
    Timestamp retry_at_ = 0;
    Duration retry_wait_ = 0;
    Status trouble_;
    std::uint64_t reloads_ = 0;
};

}  // namespace takt
