#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "pipeline/base/result.h"

namespace takt {

/// A prepared statement. Parameters count from 1, columns from 0. One thread at a time.
class SqliteStatement {
  public:
    SqliteStatement() = default;
    explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}

    // The text must live until the statement is reset.
    void bind(int parameter, std::string_view text);
    void bind_or_null(int parameter, std::string_view text);
    void bind_blob(int parameter, std::string_view bytes);
    void bind(int parameter, std::int64_t value) { sqlite3_bind_int64(statement_.get(), parameter, value); }
    void bind_null(int parameter) { sqlite3_bind_null(statement_.get(), parameter); }

    /// SQLITE_ROW, SQLITE_DONE or an error code.
    int step() { return sqlite3_step(statement_.get()); }
    void reset() { sqlite3_reset(statement_.get()); }

    bool is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }
    std::int64_t integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
    /// Valid until the next step; empty for NULL.
    std::string_view text(int column) const;
    /// The same for bytes.
    std::string_view blob(int column) const;
    int columns() const { return sqlite3_column_count(statement_.get()); }
    std::string name(int column) const { return sqlite3_column_name(statement_.get(), column); }

  private:
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
    };
    std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// A connection to an SQLite file. One thread at a time.
class SqliteDatabase {
  public:
    enum class Mode { read_only, read_write };
    /// A writer makes a file that is missing, and its folder. Errors: see `error`.
    static Result<SqliteDatabase> open(const std::string& path, Mode mode);

    /// Runs statements that have no parameters and whose rows are of no interest.
    Status run(const std::string& sql);
    Result<SqliteStatement> prepare(std::string_view sql);
    /// Runs a statement that gives no rows, and resets it.
    Status execute(SqliteStatement& statement);
    /// Runs `body` (which returns a Status) between BEGIN IMMEDIATE and COMMIT. What it did is undone where it fails.
    template <typename Body>
    Status transaction(Body&& body) {
        if (Status status = run("BEGIN IMMEDIATE"); !status.ok()) return status;
        Status status = body();
        if (status.ok()) status = run("COMMIT");
        // Some failures have rolled back already; then this does nothing.
        if (!status.ok() && sqlite3_get_autocommit(handle_.get()) == 0) (void)run("ROLLBACK");
        return status;
    }
    /// First column of the first row; 0 where there is none.
    Result<std::int64_t> query_integer(std::string_view sql);

    /// The last failure as an Error: E620 busy, full or broken disk (try again), C620 it cannot be opened or is no
    /// database, F626 damaged or a statement that is wrong.
    Error error(std::string_view doing) const;
    int changes() const { return sqlite3_changes(handle_.get()); }
    std::int64_t last_row() const { return sqlite3_last_insert_rowid(handle_.get()); }
    const std::string& path() const { return path_; }
    sqlite3* handle() { return handle_.get(); }

  private:
    struct Close {
        void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
    };
    std::string path_;
    std::unique_ptr<sqlite3, Close> handle_;
};

}  // namespace takt
