#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/base/arena.h"
#include "pipeline/base/result.h"
#include "pipeline/base/time.h"
#include "pipeline/batch/column.h"
#include "pipeline/batch/selection.h"
#include "pipeline/state/csv.h"

namespace takt {

constexpr std::size_t kMaxKeyParts = 3;
/// A table of more rows is refused (F402).
constexpr std::size_t kMaxTableRows = 50'000'000;

/// What a table's columns are.
struct TableSpec {
    /// Where no row of the exact key holds, `part` (index into `key`) is looked up as `instead`: `or: { material: "*"
    /// }`.
    struct Fallback {
        std::size_t part = 0;
        std::string instead = "*";
    };

    std::string name = {};              ///< for messages
    std::vector<std::string> key = {};  ///< 1 to kMaxKeyParts string columns; no row may lack one
    std::string valid_from = {};        ///< column of the instant from which a row holds until the next one of its key;
                                        ///< empty: rows always hold
    std::vector<Field> fields = {};     ///< the other columns: string, bool, int64, decimal, timestamp, duration
    std::vector<Fallback> fallbacks = {};  ///< tried in order, each on top of those before it
    bool other_columns = false;            ///< a file may have columns that are not named here
};

/// One part of the keys of a batch's rows: the value of row r is values[r * stride]; stride 0: the same for all.
struct KeyPart {
    const std::string_view* values = nullptr;
    std::uint32_t stride = 1;
};

/// Master data as of any time: rows with a key and an instant from which they hold. Columnar, immutable, shared by
/// threads.
class TemporalTable {
  public:
    static constexpr std::int32_t kNoRow = -1;

    const TableSpec& spec() const { return spec_; }
    std::uint32_t rows() const { return rows_; }

    /// All columns: the key's, then `valid_from` where there is one, then the fields.
    const std::vector<Field>& columns() const { return columns_; }
    /// -1 when there is none.
    int find_column(std::string_view name) const;
    /// The values of a column for all rows, in an order of ours. Strings live as long as the table.
    const Column& column(std::size_t index) const { return values_[index]; }

    /// The row that holds for this key at `at` (inclusive from valid_from on), by the spec's fallbacks, or kNoRow.
    /// `key` has as many parts as the spec. About 15 ns while the table is in the caches.
    std::int32_t find(std::span<const std::string_view> key, Timestamp at) const;
    /// The same for every selected row r of a batch: rows[r]. `at` is by row; null only where the spec has no
    /// valid_from.
    void find(std::span<const KeyPart> key, const Timestamp* at, const Selection& selection, std::int32_t* rows) const;

    /// Column `index` of the rows found, into `out` (reset by the caller for the batch's rows, of the column's type)
    /// for every selected row; kNoRow gives an absent value. Strings point into this table: the batch must not outlive
    /// it.
    void gather(std::size_t index, const std::int32_t* rows, const Selection& selection, Column& out) const;

    std::size_t size_bytes() const;

  private:
    friend class TableBuilder;
    struct Slot {
        std::uint64_t hash = 0;
        std::uint32_t first = 0;  ///< row
        std::uint32_t count = 0;  ///< rows of this key, ascending by valid_from; 0: free
    };

    TemporalTable() = default;
    void index();
    std::int32_t find_exact(std::uint64_t hash, const std::string_view* key, Timestamp at) const;
    const Slot& first_candidate(std::uint64_t hash) const;
    void fetch_ahead(std::span<const std::uint64_t> hashes) const;
    std::int32_t find_instead(const std::string_view* key, Timestamp at) const;
    std::uint64_t hash_of(const std::string_view* key) const;
    bool has_key(std::uint32_t row, const std::string_view* key) const {
        for (std::size_t part = 0; part < key_parts_; ++part)
            if (keys_[part][row] != key[part]) return false;
        return true;
    }

    TableSpec spec_;
    std::uint32_t rows_ = 0;
    std::size_t key_parts_ = 0;
    std::vector<Field> columns_;
    std::vector<Column> values_;
    std::array<const std::string_view*, kMaxKeyParts> keys_{};
    std::vector<Timestamp> valid_from_;
    std::vector<Slot> slots_;
    std::uint64_t mask_ = 0;
    Arena text_;
};

/// A change to a table: of a key-value bucket, for example. Columns that are not named are absent.
struct TableUpdate {
    std::vector<std::string> key = {};
    /// Required where the table has valid_from, except to erase every row of the key.
    std::optional<Timestamp> valid_from = {};
    bool erase = false;
    std::vector<std::pair<std::string, std::string>> values = {};  ///< column and text, as a CSV cell would have it
    std::string place = {};  ///< for messages: "bucket MASTER, key work_centers.WC-1"
};

/// Collects rows, then makes the table. Not thread-safe.
class TableBuilder {
  public:
    explicit TableBuilder(TableSpec spec);
    /// Starts with the rows of `base`.
    explicit TableBuilder(const TemporalTable& base);

    /// Adds the rows of a file. Columns stand in any order. An empty cell is absent. Errors, each mistake with its
    /// file:line:column (the first 20): C403 a column is missing or not known; D404 a value is not of its type, or a
    /// required one or a part of the key is absent. Nothing is added then.
    Status add(const CsvTable& csv);
    /// Puts a row in the place of the one with the same key and valid_from, or erases it; later calls win. Errors as
    /// above.
    Status apply(const TableUpdate& update);
    /// D405: two rows of files have the same key and valid_from (both places are named); F402: more than kMaxTableRows
    /// rows. The builder is empty afterwards.
    Result<std::shared_ptr<const TemporalTable>> build();

  private:
    struct Cell {
        Int128 number = 0;
        std::string_view text;
        bool present = false;
    };
    enum class Kind : std::uint8_t { row, replacement, erasure, erasure_of_all };
    struct Entry {
        Timestamp valid_from = 0;
        std::size_t first_cell = 0;  ///< of all columns; erasures have only the key's
        std::size_t order = 0;       ///< later ones win
        Kind kind = Kind::row;
        std::uint32_t file = 0;  ///< index into files_; 0: none
        std::uint32_t line = 0;
    };

    /// The text as a value of the column; empty, or what is wrong.
    std::string read(std::size_t column, std::string_view text, Cell& cell);
    bool less(const Entry& a, const Entry& b) const;
    bool same_key(const Entry& a, const Entry& b) const;
    Result<std::vector<Entry>> surviving_rows();
    std::string key_text(const Entry& entry) const;

    TableSpec spec_;
    std::vector<Field> columns_;
    std::size_t key_parts_;
    bool timed_;
    Arena text_;
    std::vector<Cell> cells_;
    std::vector<Entry> entries_;
    std::vector<std::string> files_{""};
};

/// Reads a table from a CSV file.
Result<std::shared_ptr<const TemporalTable>> read_table(TableSpec spec, const std::string& path);

/// A new snapshot with the updates; the old one stays as it is for those who hold it. Costs a pass over the table:
/// collect updates before applying them.
Result<std::shared_ptr<const TemporalTable>> updated(const TemporalTable& base, std::span<const TableUpdate> updates);

}  // namespace takt
