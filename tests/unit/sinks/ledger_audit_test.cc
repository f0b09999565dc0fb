#include "sinks/ledger_audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/sqlite/sqlite_database.h"
#include "sinks/sqlite.h"
#include "tests/unit/sinks/sample_posting.h"

namespace takt {
namespace {

using sample::Folder;
using sample::goods_receipt;
using testing::HasSubstr;
using testing::IsEmpty;

/// Two revisions of one pane, another pane, and a posting without numbers; and what another pipeline posts.
class LedgerAuditTest : public testing::Test {
  protected:
    void SetUp() override {
        Posting revision = goods_receipt("a2", 500'000, 461);
        revision.revision = 2;
        revision.previous_key = goods_receipt("a1", 0, 0).key;
        revision.quantity_cumulative = 3'500'000;
        revision.amount_cumulative = 3227;
        revision.epoch = 9;
        Posting status = goods_receipt("c", 0, 0);
        status.type = "lot_status";
        status.has_amount = status.has_quantity = false;
        status.unit = status.currency = "";
        status.lines.clear();
        postings_ = {goods_receipt("a1", 3'000'000, 2766), revision, goods_receipt("b", -1'000'000, -922), status};
        deliver("plant_to_ledger", postings_);
        Posting stranger = goods_receipt("x", 1, 1);
        stranger.pipeline = "other";
        deliver("other", {stranger});
    }
    void deliver(const std::string& pipeline, const std::vector<Posting>& postings) {
        SqliteSink sink({.path = path_, .synchronous = SqliteSink::Synchronous::off}, pipeline);
        ASSERT_TRUE(sink.open().ok());
        ASSERT_TRUE(sink.deliver(postings).ok());
        ASSERT_TRUE(sink.finish().ok());
    }
    LedgerAudit audit(std::uint64_t until_epoch = 100, const std::vector<const Posting*>& asked = {},
                      const std::vector<const Posting*>& closed = {}) {
        Result<LedgerAudit> audit = audit_ledger(path_, "plant_to_ledger", until_epoch, {asked, closed});
        EXPECT_TRUE(audit.ok()) << audit.error().text();
        return audit.ok() ? *audit : LedgerAudit{};
    }
    void change(const std::string& sql) {
        auto database = SqliteDatabase::open(path_, SqliteDatabase::Mode::read_write);
        ASSERT_TRUE(database.ok());
        ASSERT_TRUE(database->run(sql).ok());
    }
    std::string broken(const std::vector<const Posting*>& closed = {}) {
        std::string text;
        for (const Imbalance& one : audit(100, {}, closed).imbalances)
            text += fmt::format("{}: {}\n", static_cast<int>(one.equation), one.text);
        return text;
    }

    Folder folder_;
    std::string path_ = folder_ / "ledger.db";
    std::vector<Posting> postings_;
};

TEST_F(LedgerAuditTest, SumsAreThoseOfThePostings) {
    AuditTotals expected;
    for (const Posting& posting : postings_) expected.add(posting);
    const LedgerAudit found = audit();
    EXPECT_EQ(found.postings.size(), 2u);
    EXPECT_EQ(found.postings[0], expected.postings[0]);
    // Without numbers there are no scales.
    EXPECT_EQ(found.postings[1].type, "lot_status");
    EXPECT_EQ(found.postings[1].hash, expected.postings[1].hash);
    EXPECT_THAT(found.imbalances, IsEmpty());
    EXPECT_EQ(found.last_epoch, 9u);
}

TEST_F(LedgerAuditTest, LooksAtEpochsAndPostingsThatItIsAskedFor) {
    EXPECT_EQ(audit(8).postings[0].count, 2u) << "the revision is of epoch 9";
    const Posting not_there = goods_receipt("d", 1, 1);
    const LedgerAudit asked = audit(100, {&postings_[2], &not_there});
    ASSERT_EQ(asked.asked.size(), 1u);
    EXPECT_EQ(asked.asked[0].count, 1u);
    EXPECT_EQ(asked.asked[0].amount, -922);
    EXPECT_THAT(asked.imbalances, IsEmpty());
}

TEST_F(LedgerAuditTest, ARowThatIsAnotherPostingThanTheOneThatIsAskedForIsNamed) {
    Posting other_payload = postings_[2];
    other_payload.payload_hash = "c0de";
    Posting other_amount = postings_[2];
    other_amount.amount = -500;
    for (const Posting& made : {other_payload, other_amount}) {
        const LedgerAudit found = audit(100, {&made});
        EXPECT_THAT(found.asked, IsEmpty());
        ASSERT_EQ(found.imbalances.size(), 1u);
        EXPECT_EQ(found.imbalances[0].equation, Equation::sink);
        EXPECT_EQ(found.imbalances[0].text,
                  fmt::format("posting {0} in the ledger is another one than was made: it has payload {1}, quantity "
                              "-1.000000 pcs, amount -9.22 EUR; made was payload {2}, quantity -1.000000 pcs, amount "
                              "{3} EUR",
                              made.key, postings_[2].payload_hash, made.payload_hash,
                              format_decimal(made.amount, made.amount_scale)));
    }
}

TEST_F(LedgerAuditTest, WhatSomebodyChangedIsNamed) {
    change("UPDATE posting SET amount_units = amount_units + 1 WHERE id = 1");
    EXPECT_THAT(broken(), HasSubstr("5: posting " + postings_[0].key + ": its numbers as texts and as units differ"));
    change("UPDATE posting SET amount_units = amount_units - 1 WHERE id = 1");
    change("UPDATE posting_line SET amount_units = 1 WHERE posting = 3 AND line = 2");
    EXPECT_THAT(broken(), HasSubstr("a line's amount as text and as units differs"));
    change("UPDATE posting_line SET amount_units = 1, amount = '0.01' WHERE posting = 3 AND line = 2");
    EXPECT_THAT(broken(), HasSubstr("6: posting " + postings_[2].key +
                                    " (goods_receipt) in the ledger: debit -9.22 is not credit 0.01"));
    change("UPDATE posting_line SET amount_units = 1, amount = '0.01' WHERE posting = 3");
    EXPECT_THAT(broken(), HasSubstr("its lines say 0.01, its amount is -9.22"));
}

TEST_F(LedgerAuditTest, ARevisionWhosePredecessorIsGoneIsNamed) {
    change("DELETE FROM posting_line WHERE posting = 1; DELETE FROM posting WHERE id = 1");
    EXPECT_THAT(broken(), HasSubstr("4: in the ledger: posting " + postings_[1].key));
    EXPECT_THAT(broken(), Not(HasSubstr("6: ")));
}

TEST_F(LedgerAuditTest, ARevisionThatWasClosedIsNotMissed) {
    // The first three revisions of a pane were closed, the fourth is in the ledger.
    std::vector<Posting> chain;
    for (int revision = 1; revision <= 4; ++revision) {
        Posting& posting = chain.emplace_back(goods_receipt("d" + std::to_string(revision), 10, 1));
        posting.revision = static_cast<std::uint32_t>(revision);
        posting.quantity_cumulative = 10 * revision;
        posting.amount_cumulative = revision;
        if (revision > 1) posting.previous_key = chain[chain.size() - 2].key;
    }
    deliver("plant_to_ledger", {chain[3]});
    EXPECT_THAT(broken(), HasSubstr("4: in the ledger: posting " + chain[3].key));
    EXPECT_EQ(broken({&chain[2], &chain[0], &chain[1]}), "");
    // One of them is missing after all, or had other numbers.
    EXPECT_THAT(broken({&chain[2], &chain[0]}), HasSubstr("4: in the ledger: posting " + chain[2].key));
    Posting other = chain[1];
    other.amount_cumulative = 7;
    EXPECT_THAT(broken({&chain[0], &other, &chain[2]}), HasSubstr("4: in the ledger: posting " + other.key));
    // Somebody books one after all.
    deliver("plant_to_ledger", {chain[0]});
    EXPECT_EQ(broken({&chain[0], &chain[1], &chain[2]}),
              "5: posting " + chain[0].key + " is in the ledger, though a person has closed it: is it booked twice?\n");
}

TEST_F(LedgerAuditTest, ARowUnderAClosedKeyIsNamed) {
    EXPECT_EQ(broken({&postings_[0]}), "5: posting " + postings_[0].key +
                                           " is in the ledger, though a person has closed it: is it booked twice?\n");
    // It was closed because something else stands there: the next revision follows what was closed.
    Posting closed = postings_[0];
    change(
        "UPDATE posting SET payload_hash = 'c0de', quantity = '1', quantity_units = 1000000, quantity_cumulative = "
        "'1' WHERE id = 1");
    EXPECT_EQ(broken({&closed}),
              fmt::format("5: under the key of posting {}, which a person has closed, the ledger has "
                          "another one: it has payload c0de, quantity 1.000000 pcs, amount 27.66 "
                          "EUR; closed was payload {}, quantity 3.000000 pcs, amount 27.66 EUR\n",
                          closed.key, closed.payload_hash));
}

}  // namespace
}  // namespace takt
