#include "sinks/sqlite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "pipeline/sqlite/sqlite_database.h"
#include "tests/unit/sinks/sample_posting.h"

namespace takt {
namespace {

using sample::deliver_one;
using sample::Folder;
using sample::goods_receipt;
using testing::HasSubstr;

std::unique_ptr<SqliteSink> open_ledger(const std::string& path) {
    auto sink = std::make_unique<SqliteSink>(
        SqliteSink::Options{.path = path, .synchronous = SqliteSink::Synchronous::off}, "plant_to_ledger");
    EXPECT_TRUE(sink->open().ok());
    return sink;
}

/// The system's files, while this lives; their synchronization fails when that is wanted.
class FailingFiles {
  public:
    FailingFiles() {
        real_ = sqlite3_vfs_find(nullptr);
        shim_ = *real_;
        shim_.zName = "failing";
        shim_.xOpen = &open;
        sqlite3_vfs_register(&shim_, 1);
    }
    ~FailingFiles() {
        fails = false;
        sqlite3_vfs_unregister(&shim_);
    }
    FailingFiles(const FailingFiles&) = delete;
    FailingFiles& operator=(const FailingFiles&) = delete;

    static inline bool fails = false;

  private:
    static int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
        const int code = real_->xOpen(real_, name, file, flags, out_flags);
        if (code != SQLITE_OK) return code;
        // A main file and its log have methods of their own.
        const auto [known, fresh] = methods_.try_emplace(file->pMethods, *file->pMethods);
        synchronize_ = file->pMethods->xSync;
        known->second.xSync = [](sqlite3_file* opened, int how) {
            return fails ? SQLITE_IOERR_FSYNC : synchronize_(opened, how);
        };
        file->pMethods = &known->second;
        return code;
    }

    static inline sqlite3_vfs* real_ = nullptr;
    static inline std::map<const sqlite3_io_methods*, sqlite3_io_methods> methods_;
    static inline int (*synchronize_)(sqlite3_file*, int) = nullptr;
    sqlite3_vfs shim_ = {};
};

/// First column of the first row, as text.
std::string ask(const std::string& path, const std::string& sql) {
    auto database = SqliteDatabase::open(path, SqliteDatabase::Mode::read_only);
    if (!database.ok()) return database.error().text();
    auto statement = database->prepare(sql);
    if (!statement.ok()) return statement.error().text();
    return statement->step() == SQLITE_ROW ? std::string(statement->text(0)) : "nothing";
}

TEST(SqliteSink, APostingIsARowWithItsLinesAndKeyFields) {
    const Folder folder;
    SqliteSink sink({.path = folder / "sub/ledger.db"}, "plant_to_ledger");
    ASSERT_TRUE(sink.open().ok());
    const Sink::Delivery delivery = deliver_one(sink, goods_receipt("a", 1'500'000, -1234));
    EXPECT_EQ(delivery.state, Sink::State::accepted);
    EXPECT_EQ(delivery.reference, "1");
    const std::string path = folder / "sub/ledger.db";
    EXPECT_EQ(
        ask(path,
            "SELECT quantity || ' ' || unit || ' ' || amount || ' ' || currency || ' ' || window_start FROM posting"),
        "1.500000 pcs -12.34 EUR 2026-05-12T04:00:00Z");
    EXPECT_EQ(
        ask(path, "SELECT group_concat(side || account || amount || coalesce(cost_center, '-')) FROM posting_line"),
        "debit130000-12.34-,credit895000-12.34CC-1");
    EXPECT_EQ(ask(path, "SELECT count(*) FROM posting_key"), "3") << "absent key fields have no row";
    EXPECT_EQ(ask(path, "SELECT key_fields FROM posting"),
              R"({"plant":"P100","order_id":"PO-1","material":"FG-PUMP"})");
}

TEST(SqliteSink, ARepeatTakesNoEffectAlsoAfterReopening) {
    const Folder folder;
    const Posting posting = goods_receipt("a", 1'000'000, 100);
    {
        const std::unique_ptr<SqliteSink> owned = open_ledger(folder / "l.db");
        SqliteSink& sink = *owned;
        EXPECT_EQ(deliver_one(sink, posting).reference, "1");
        const std::vector<Posting> twice{posting, goods_receipt("b", 1, 1), posting};
        const auto deliveries = sink.deliver(twice);
        ASSERT_TRUE(deliveries.ok());
        EXPECT_EQ(deliveries->at(0).reference, "1");
        EXPECT_EQ(deliveries->at(2).state, Sink::State::accepted);
    }  // no finish: as after a crash
    const std::unique_ptr<SqliteSink> owned = open_ledger(folder / "l.db");
    SqliteSink& sink = *owned;
    EXPECT_EQ(deliver_one(sink, posting).reference, "1");
    EXPECT_EQ(ask(folder / "l.db", "SELECT count(*) FROM posting"), "2");
    EXPECT_EQ(ask(folder / "l.db", "SELECT count(*) FROM posting_line"), "4");
}

TEST(SqliteSink, TheSameKeyWithAnotherPayloadIsRefusedAndChangesNothing) {
    const Folder folder;
    const std::unique_ptr<SqliteSink> owned = open_ledger(folder / "l.db");
    SqliteSink& sink = *owned;
    EXPECT_EQ(deliver_one(sink, goods_receipt("a", 1'000'000, 100)).state, Sink::State::accepted);
    const Sink::Delivery delivery = deliver_one(sink, goods_receipt("a", 1'000'000, 999));
    EXPECT_EQ(delivery.state, Sink::State::refused);
    EXPECT_EQ(delivery.reason, "IDEMPOTENCY_CONFLICT");
    EXPECT_EQ(ask(folder / "l.db", "SELECT group_concat(amount) FROM posting"), "1.00");
    EXPECT_EQ(ask(folder / "l.db", "SELECT count(*) FROM posting_line"), "2");
}

TEST(SqliteSink, WhatSqlCannotSumExactlyIsRefused) {
    const Folder folder;
    const std::unique_ptr<SqliteSink> owned = open_ledger(folder / "l.db");
    SqliteSink& sink = *owned;
    Posting posting = goods_receipt("a", INT64_MAX, INT64_MAX);
    EXPECT_EQ(deliver_one(sink, posting).state, Sink::State::accepted);
    EXPECT_EQ(ask(folder / "l.db", "SELECT quantity FROM posting"), "9223372036854.775807");
    EXPECT_EQ(ask(folder / "l.db", "SELECT debit FROM v_balance"), "92233720368547758.07");
    posting = goods_receipt("b", 1, 1);
    posting.amount = Int128{INT64_MAX} + 1;
    const Sink::Delivery delivery = deliver_one(sink, posting);
    EXPECT_EQ(delivery.state, Sink::State::refused);
    EXPECT_EQ(delivery.reason, "OUT_OF_RANGE");
    EXPECT_EQ(ask(folder / "l.db", "SELECT count(*) FROM posting"), "1");
}

TEST(SqliteSink, APostingWithoutAmountHasNoAmountInAnyForm) {
    const Folder folder;
    const std::unique_ptr<SqliteSink> owned = open_ledger(folder / "l.db");
    SqliteSink& sink = *owned;
    Posting posting = goods_receipt("a", 5, 0);
    posting.has_amount = false;
    posting.has_quantity = false;
    posting.lines.clear();
    posting.window_start = posting.window_end = std::nullopt;
    EXPECT_EQ(deliver_one(sink, posting).state, Sink::State::accepted);
    EXPECT_EQ(ask(folder / "l.db",
                  "SELECT coalesce(quantity, quantity_units, amount, amount_cumulative, amount_units, window_start, "
                  "'none') FROM posting"),
              "none");
    EXPECT_EQ(ask(folder / "l.db", "SELECT coalesce(quantity, amount, 'none') FROM v_posting_net"), "none");
}

TEST(SqliteSink, ViewsShowNetPanesAndBalancesExactly) {
    const Folder folder;
    const std::unique_ptr<SqliteSink> owned = open_ledger(folder / "l.db");
    SqliteSink& sink = *owned;
    Posting second = goods_receipt("a2", -300'000, -5);
    second.revision = 2;
    EXPECT_EQ(deliver_one(sink, goods_receipt("a1", 1'000'000, 10)).state, Sink::State::accepted);
    EXPECT_EQ(deliver_one(sink, second).state, Sink::State::accepted);
    EXPECT_EQ(ask(folder / "l.db",
                  "SELECT quantity || ' ' || amount || ' ' || revisions || ' ' || events FROM v_posting_net"),
              "0.700000 0.05 2 6");
    EXPECT_EQ(ask(folder / "l.db",
                  "SELECT group_concat(account || ' ' || debit || ' ' || credit || ' ' || balance) FROM v_balance"),
              "130000 0.05 0.00 0.05,895000 0.00 0.05 -0.05");
}

TEST(SqliteSink, DeadLettersAreKeptOnceWithTheirBytes) {
    const Folder folder;
    const std::unique_ptr<SqliteSink> owned = open_ledger(folder / "l.db");
    SqliteSink& sink = *owned;
    const std::vector<DeadLetter> letters{sample::dead_letter(1, "DECODE", std::string("\0\xFF", 2)),
                                          sample::dead_letter(2, "TOO_LATE")};
    ASSERT_TRUE(sink.keep(letters).ok());
    ASSERT_TRUE(sink.keep(letters).ok());
    EXPECT_EQ(ask(folder / "l.db", "SELECT group_concat(reason || hex(bytes)) FROM dead_letter"),
              "DECODE00FF,TOO_LATE7B7D");
    EXPECT_EQ(ask(folder / "l.db", "SELECT count FROM v_dead_letter_count WHERE reason = 'DECODE'"), "1");
}

TEST(SqliteSink, ASummaryReplacesTheOneBefore) {
    const Folder folder;
    const std::unique_ptr<SqliteSink> owned = open_ledger(folder / "l.db");
    SqliteSink& sink = *owned;
    ASSERT_TRUE(sink.summarize(std::vector<Sink::OutcomeCount>{{"accepted", "", 1}, {"filtered", "x", 2}}).ok());
    ASSERT_TRUE(sink.summarize(std::vector<Sink::OutcomeCount>{{"accepted", "", 5}}).ok());
    EXPECT_EQ(ask(folder / "l.db", "SELECT group_concat(outcome || rule || count) FROM outcome"), "accepted5");
}

TEST(SqliteSink, AFailureTakesTheWholeCallBack) {
    const Folder folder;
    const std::unique_ptr<SqliteSink> owned = open_ledger(folder / "l.db");
    SqliteSink& sink = *owned;
    auto other = SqliteDatabase::open(folder / "l.db", SqliteDatabase::Mode::read_write);
    ASSERT_TRUE(other.ok());
    ASSERT_TRUE(other
                    ->run("CREATE TRIGGER full BEFORE INSERT ON posting WHEN NEW.amount_units = 3 BEGIN SELECT "
                          "raise(FAIL, 'no'); END")
                    .ok());
    const std::vector<Posting> postings{goods_receipt("a", 1, 1), goods_receipt("b", 1, 3)};
    EXPECT_EQ(sink.deliver(postings).error().code, "F626");
    EXPECT_EQ(ask(folder / "l.db", "SELECT count(*) FROM posting"), "0");
    EXPECT_EQ(deliver_one(sink, postings[0]).state, Sink::State::accepted) << "the sink goes on";
}

TEST(SqliteSink, AfterAFailedSynchronizationNobodyTriesAgain) {
    FailingFiles files;
    Folder folder;
    SqliteSink ledger({.path = folder / "ledger.db", .synchronous = SqliteSink::Synchronous::full}, "plant_to_ledger");
    const Status opened = ledger.open();
    ASSERT_TRUE(opened.ok()) << opened.error().text();
    ASSERT_TRUE(ledger.deliver(std::vector{goods_receipt("a", 1, 1)}).ok());
    FailingFiles::fails = true;
    const auto delivered = ledger.deliver(std::vector{goods_receipt("b", 1, 1)});
    ASSERT_FALSE(delivered.ok());
    EXPECT_EQ(delivered.error().code, "F709");
}

TEST(SqliteSink, ABusyLedgerIsTriedAgain) {
    const Folder folder;
    SqliteSink sink({.path = folder / "l.db", .busy = std::chrono::milliseconds(1)}, "p");
    ASSERT_TRUE(sink.open().ok());
    auto other = SqliteDatabase::open(folder / "l.db", SqliteDatabase::Mode::read_write);
    ASSERT_TRUE(other->run("BEGIN IMMEDIATE").ok());
    EXPECT_THAT(deliver_one(sink, goods_receipt("a", 1, 1)).reason, HasSubstr("E620"));
    ASSERT_TRUE(other->run("ROLLBACK").ok());
    EXPECT_EQ(deliver_one(sink, goods_receipt("a", 1, 1)).state, Sink::State::accepted);
}

TEST(SqliteSink, AnotherDatabaseIsNotTouched) {
    const Folder folder;
    {
        auto other = SqliteDatabase::open(folder / "other.db", SqliteDatabase::Mode::read_write);
        ASSERT_TRUE(other->run("CREATE TABLE x (y)").ok());
    }
    SqliteSink sink({.path = folder / "other.db"}, "p");
    const Status status = sink.open();
    ASSERT_FALSE(status.ok());
    EXPECT_THAT(status.error().text(), HasSubstr("C621"));
    EXPECT_EQ(ask(folder / "other.db", "SELECT count(*) FROM sqlite_schema"), "1");

    std::ofstream(folder / "text.db")
        << "this is no database, but long enough to look like one ......................................";
    SqliteSink text({.path = folder / "text.db"}, "p");
    EXPECT_THAT(text.open().error().text(), HasSubstr("C620"));

    open_ledger(folder / "newer.db").reset();
    auto newer = SqliteDatabase::open(folder / "newer.db", SqliteDatabase::Mode::read_write);
    ASSERT_TRUE(newer->run("PRAGMA user_version = 99").ok());
    SqliteSink old({.path = folder / "newer.db"}, "p");
    EXPECT_THAT(old.open().error().text(), HasSubstr("version 99"));
}

std::unique_ptr<SqliteSink> ledger_of(const std::string& path, const RunIdentity& run) {
    auto sink = std::make_unique<SqliteSink>(
        SqliteSink::Options{.path = path, .synchronous = SqliteSink::Synchronous::off}, "plant_to_ledger");
    sink->resume({.run = run, .confirmed = {}, .unconfirmed = false});
    return sink;
}

TEST(SqliteSink, OnlyTheLatestStartOfAPipelineMayWrite) {
    const Folder folder;
    const std::vector<Posting> one{goods_receipt("a", 1, 1)};
    const std::vector<Posting> two{goods_receipt("b", 1, 1)};
    const auto first = ledger_of(folder / "l.db", {"state", 1});
    ASSERT_TRUE(first->open().ok());
    ASSERT_TRUE(first->deliver(one).ok());
    const auto second = ledger_of(folder / "l.db", {"state", 2});
    ASSERT_TRUE(second->open().ok());
    const auto late = first->deliver(two);
    ASSERT_FALSE(late.ok());
    EXPECT_EQ(late.error().code, "F624");
    EXPECT_THAT(late.error().message, HasSubstr("start 2 of pipeline 'plant_to_ledger' now, and this is start 1"));
    EXPECT_EQ(first->keep(std::vector<DeadLetter>(1)).error().code, "F624");
    EXPECT_EQ(first->summarize({}).error().code, "F624");
    EXPECT_EQ(ask(folder / "l.db", "SELECT count(*) FROM posting"), "1");
    EXPECT_EQ(first->open().error().code, "F624") << "it must not take the ledger back";
    EXPECT_TRUE(second->deliver(two).ok());
    EXPECT_TRUE(open_ledger(folder / "l.db")->deliver(two).ok()) << "a run without a state is no run of it";
}

TEST(SqliteSink, ACopyThatWasStartedAsOftenDoesNotShareTheLedger) {
    const Folder folder;
    const std::vector<Posting> one{goods_receipt("a", 1, 1)};
    const auto original = ledger_of(folder / "l.db", {"state", 2});
    ASSERT_TRUE(original->open().ok());
    EXPECT_TRUE(original->open().ok()) << "the number is its own";
    const auto copy = ledger_of(folder / "l.db", {"state", 2});
    const Status opened = copy->open();
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().code, "F624");
    EXPECT_THAT(opened.error().message, HasSubstr("belongs to a start 2 of pipeline 'plant_to_ledger' already"));
    EXPECT_TRUE(original->deliver(one).ok());
    ASSERT_TRUE(ledger_of(folder / "l.db", {"state", 3})->open().ok());
    EXPECT_EQ(original->deliver(one).error().code, "F624");
}

TEST(SqliteSink, AStateThatWasBegunAnewTakesTheLedgerOver) {
    const Folder folder;
    const auto old = ledger_of(folder / "l.db", {"old", 7});
    ASSERT_TRUE(old->open().ok());
    const auto fresh = ledger_of(folder / "l.db", {"fresh", 1});
    ASSERT_TRUE(fresh->open().ok());
    const std::vector<Posting> one{goods_receipt("a", 1, 1)};
    EXPECT_EQ(old->deliver(one).error().code, "F624");
    EXPECT_TRUE(fresh->deliver(one).ok());
}

TEST(SqliteSink, ALedgerThatLacksWhatItHadAcceptedIsNotGoneOnWith) {
    const Folder folder;
    const auto first = ledger_of(folder / "l.db", {"state", 1});
    ASSERT_TRUE(first->open().ok());
    ASSERT_TRUE(first->deliver(std::vector<Posting>{goods_receipt("a", 1, 1), goods_receipt("b", 1, 1)}).ok());
    const SinkPosition accepted = first->position();
    EXPECT_EQ(accepted.last_sequence, 2u);
    ASSERT_TRUE(first->deliver(std::vector<Posting>{goods_receipt("a", 1, 1)}).ok());
    EXPECT_EQ(first->position(), accepted) << "a repeat is no newer row";
    const auto open_again = [&](const std::string& path) {
        SqliteSink sink({.path = path, .synchronous = SqliteSink::Synchronous::off}, "plant_to_ledger");
        sink.resume({.run = {"state", 2}, .confirmed = accepted, .unconfirmed = false});
        const Status opened = sink.open();
        return opened.ok() ? "" : opened.error().code;
    };
    EXPECT_EQ(open_again(folder / "l.db"), "");
    EXPECT_EQ(open_again(folder / "new.db"), "F524");
    auto database = SqliteDatabase::open(folder / "l.db", SqliteDatabase::Mode::read_write);
    ASSERT_TRUE(database->run("UPDATE posting SET pipeline = 'another' WHERE id = 2").ok());
    EXPECT_EQ(open_again(folder / "l.db"), "F524");
}

TEST(SqliteSink, ALedgerThatWasMadeWithoutAFenceGetsOne) {
    const Folder folder;
    open_ledger(folder / "l.db").reset();
    {
        auto database = SqliteDatabase::open(folder / "l.db", SqliteDatabase::Mode::read_write);
        ASSERT_TRUE(database.ok());
        ASSERT_TRUE(database->run("DROP TABLE fence").ok());
    }
    ASSERT_TRUE(ledger_of(folder / "l.db", {"state", 3})->open().ok());
    EXPECT_EQ(ask(folder / "l.db", "SELECT state || ' ' || incarnation FROM fence"), "state 3");
}

}  // namespace
}  // namespace takt
