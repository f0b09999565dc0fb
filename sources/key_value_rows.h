#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/plan/table_feed.h"

namespace takt {

/// Reads the entries of a key-value bucket as rows of a table. Immutable; any thread.
///
/// Key:   `prefix`, then one part for each column of the table's key, dots between. Letters, digits, - / and _ stand
/// for
///        themselves; anything else, a dot too, is written as = and two upper-case hex digits for each byte of its
///        UTF-8: "prices.=2A" is the entry of "*". So each key of the table has one spelling, and no two entries share
///        a row.
/// Value: a JSON object in UTF-8, or a list of objects that differ in `valid_from`: all rows of the key. Each declared
///        column is a member; null and "" are absent. Texts, times and durations are strings, bools are true or false,
///        integers and decimals are numbers or strings, exact as written. Other members are left alone; columns of the
///        key need not stand there, and must agree where they do.
class KeyValueRows {
  public:
    /// `place`: of the bucket, for messages: "bucket MASTER".
    KeyValueRows(TableSpec spec, std::string prefix, std::string place);

    /// A put erases what the key had and brings the rows of its value; anything else only erases. D406 the key or the
    /// value has another form; D404 a column is missing or of another JSON type. What a text holds is judged by the
    /// TableBuilder.
    Result<std::vector<TableUpdate>> read(const TableChange& change) const;

    /// The key of the entry that holds the rows of a table's key.
    std::string entry_key(const std::vector<std::string>& key) const;

  private:
    Result<std::vector<std::string>> table_key(std::string_view entry_key) const;

    TableSpec spec_;
    std::string prefix_;
    std::string place_;
};

}  // namespace takt
