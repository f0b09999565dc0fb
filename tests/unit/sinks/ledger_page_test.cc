#include <gtest/gtest.h>

#include "pipeline/sqlite/sqlite_database.h"
#include "sinks/sqlite.h"
#include "tests/unit/sinks/sample_posting.h"

namespace takt {
namespace {

TEST(LedgerPage, EveryStatementRunsOnALedger) {
    const sample::Folder folder;
    SqliteSink sink({.path = folder / "l.db", .synchronous = SqliteSink::Synchronous::off}, "p");
    ASSERT_TRUE(sink.open().ok());
    ASSERT_EQ(sample::deliver_one(sink, sample::goods_receipt("a", 1, 1)).state, Sink::State::accepted);
    auto database = SqliteDatabase::open(folder / "l.db", SqliteDatabase::Mode::read_only);
    ASSERT_TRUE(database.ok());
    const std::string page = sample::text_of(TAKT_SOURCE_DIR "/docs/reference/ledger.md");
    std::size_t statements = 0;
    for (std::size_t begin = page.find("```sql\n"); begin != std::string::npos; begin = page.find("```sql\n", begin)) {
        begin += 7;
        const std::string sql = page.substr(begin, page.find("```", begin) - begin);
        auto statement = database->prepare(sql);
        ASSERT_TRUE(statement.ok()) << sql << statement.error().text();
        const int code = statement->step();
        EXPECT_TRUE(code == SQLITE_ROW || code == SQLITE_DONE) << sql;
        ++statements;
    }
    EXPECT_EQ(statements, 6U);
}

TEST(LedgerPage, NamesEveryColumn) {
    const sample::Folder folder;
    SqliteSink sink({.path = folder / "l.db", .synchronous = SqliteSink::Synchronous::off}, "p");
    ASSERT_TRUE(sink.open().ok());
    auto database = SqliteDatabase::open(folder / "l.db", SqliteDatabase::Mode::read_only);
    ASSERT_TRUE(database.ok());
    const std::string page = sample::text_of(TAKT_SOURCE_DIR "/docs/reference/ledger.md");
    auto columns = database->prepare(
        "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type IN ('table', 'view')");
    ASSERT_TRUE(columns.ok());
    while (columns->step() == SQLITE_ROW) {
        for (int i = 0; i < 2; ++i) EXPECT_NE(page.find(columns->text(i)), std::string::npos) << columns->text(i);
    }
}

}  // namespace
}  // namespace takt
