#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/base/time.h"
#include "pipeline/state/temporal_table.h"

namespace takt {

/// A change to what a live table is made of, as the other side told it. A plain value: what a journal must hold to make
/// the same table again.
struct TableChange {
    enum class Operation : std::uint8_t {
        put,     ///< the entry has this value from now on
        remove,  ///< deleted, or purged with its history
        gone,    ///< it was not there any more when the whole content was read again; nobody saw it go
    };
    std::string key = {};        ///< of the entry, as the other side calls it: "work_centers.WC-1"
    std::uint64_t revision = 0;  ///< rises over all entries; of `gone` the latest one known
    Operation operation = Operation::put;
    std::string value = {};   ///< the bytes of a put
    bool in_content = false;  ///< found in the content as it stood: earlier values may have been missed

    bool operator==(const TableChange&) const = default;
};

/// What a live table is made of at some moment: the put of each entry that is there, by its key.
using TableEntries = std::map<std::string, TableChange>;

/// Follows the rows of a table at their origin. One thread owns it after `open`; `describe` may be called by any.
class TableFeed {
  public:
    virtual ~TableFeed() = default;

    /// Connects and reads everything that is there now, one change an entry, by revision. E errors are worth another
    /// attempt, others are not.
    virtual Status open(std::vector<TableChange>& content) = 0;

    /// Appends what changed since the last call, in order; waits at most about `wait` when nothing did. An error: what
    /// was told so far may be behind. The feed mends that by itself over the next calls, and then appends the whole
    /// difference at once.
    virtual Status read(Duration wait, std::vector<TableChange>& changes) = 0;

    /// Values that an entry had before this change and since it was last absent, newest first, as far as they are kept.
    virtual std::vector<TableChange> earlier(const TableChange& change) = 0;

    /// The rows that an entry stands for, as updates of the table: a pure function of the change and the config, so a
    /// journaled change gives the same rows. Entries never share a row. D406: it is no such entry. Types and missing
    /// columns are judged by the TableBuilder. Any thread.
    virtual Result<std::vector<TableUpdate>> decode(const TableChange& change) const = 0;

    /// One line for people: "key-value bucket MASTER at nats://127.0.0.1:4222". No secrets.
    virtual std::string describe() const = 0;
};

/// The rows that a change means, each judged by the table's types. D errors: it is no entry of such a table. Any
/// thread.
Result<std::vector<TableUpdate>> updates_of(const TableFeed& feed, const TableSpec& spec, const TableChange& change);

}  // namespace takt
