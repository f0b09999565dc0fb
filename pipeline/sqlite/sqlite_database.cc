#include "pipeline/sqlite/sqlite_database.h"

#include <fmt/format.h>

#include <filesystem>

namespace takt {
namespace {

/// SQLite takes a null pointer for NULL, also with length 0.
const char* data_of(std::string_view text) {
    return text.data() == nullptr ? "" : text.data();
}

}  // namespace

void SqliteStatement::bind(int parameter, std::string_view text) {
    sqlite3_bind_text(statement_.get(), parameter, data_of(text), static_cast<int>(text.size()), SQLITE_STATIC);
}

void SqliteStatement::bind_or_null(int parameter, std::string_view text) {
    if (text.empty()) {
        bind_null(parameter);
    } else {
        bind(parameter, text);
    }
}

void SqliteStatement::bind_blob(int parameter, std::string_view bytes) {
    sqlite3_bind_blob64(statement_.get(), parameter, data_of(bytes), bytes.size(), SQLITE_STATIC);
}

std::string_view SqliteStatement::text(int column) const {
    const unsigned char* text = sqlite3_column_text(statement_.get(), column);
    if (text == nullptr) return {};
    return {reinterpret_cast<const char*>(text),
            static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::string_view SqliteStatement::blob(int column) const {
    const void* bytes = sqlite3_column_blob(statement_.get(), column);
    if (bytes == nullptr) return {};
    return {static_cast<const char*>(bytes), static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

Result<SqliteDatabase> SqliteDatabase::open(const std::string& path, Mode mode) {
    SqliteDatabase database;
    database.path_ = path;
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READONLY;
    if (mode == Mode::read_write) {
        flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
        std::error_code ignored;  // opening says it better
        const std::filesystem::path folder = std::filesystem::path(path).parent_path();
        if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
    }
    sqlite3* handle = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
    database.handle_.reset(handle);
    if (handle == nullptr) return Error{"F626", fmt::format("cannot open {}: no memory", path)};
    sqlite3_extended_result_codes(handle, 1);
    if (code != SQLITE_OK) return database.error("cannot open");
    sqlite3_busy_timeout(handle, 5000);
    return database;
}

Status SqliteDatabase::run(const std::string& sql) {
    if (sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return error("cannot change");
    return {};
}

Result<SqliteStatement> SqliteDatabase::prepare(std::string_view sql) {
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) return error("cannot prepare a statement for");
    return SqliteStatement(statement);
}

Status SqliteDatabase::execute(SqliteStatement& statement) {
    const int code = statement.step();
    const Status status = code == SQLITE_DONE ? Status() : Status(error("cannot write to"));
    statement.reset();
    return status;
}

Result<std::int64_t> SqliteDatabase::query_integer(std::string_view sql) {
    Result<SqliteStatement> statement = prepare(sql);
    if (!statement.ok()) return statement.error();
    const int code = statement->step();
    if (code == SQLITE_ROW) return statement->integer(0);
    if (code == SQLITE_DONE) return std::int64_t{0};
    return error("cannot read");
}

Error SqliteDatabase::error(std::string_view doing) const {
    const int code = sqlite3_extended_errcode(handle_.get());
    std::string message = fmt::format("{} {}: {}", doing, path_, sqlite3_errmsg(handle_.get()));
    // As after any failed synchronization, nobody knows what is on the disk, and another attempt may be called a
    // success.
    if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC) return {"F709", std::move(message)};
    switch (code & 0xFF) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
        case SQLITE_FULL:
        case SQLITE_IOERR:
        case SQLITE_PROTOCOL:
            return {"E620", std::move(message)};
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_READONLY:
        case SQLITE_NOTADB:
            return {"C620", std::move(message)};
        default:
            return {"F626", std::move(message)};
    }
}

}  // namespace takt
