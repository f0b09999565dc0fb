#include "sinks/ledger_lineage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sinks/sqlite.h"
#include "tests/unit/sinks/sample_posting.h"

namespace takt {
namespace {

using sample::Folder;
using sample::goods_receipt;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Five revisions of a pane, each of 1 pcs and 0.02 EUR, of which the ledger has some.
class LedgerLineageTest : public testing::Test {
  protected:
    void SetUp() override {
        for (std::uint32_t revision = 1; revision <= 5; ++revision) {
            Posting& posting = chain_.emplace_back(goods_receipt(fmt::format("a{}", revision), 1'000'000, 2));
            posting.revision = revision;
            posting.quantity_cumulative = 1'000'000 * Int128{revision};
            posting.amount_cumulative = 2 * Int128{revision};
            if (revision > 1) posting.previous_key = chain_[revision - 2].key;
        }
    }
    void deliver(const std::vector<std::uint32_t>& revisions) {
        SqliteSink sink({.path = path_, .synchronous = SqliteSink::Synchronous::off}, "plant_to_ledger");
        ASSERT_TRUE(sink.open().ok());
        std::vector<Posting> postings;
        for (const std::uint32_t revision : revisions) postings.push_back(chain_[revision - 1]);
        ASSERT_TRUE(sink.deliver(postings).ok());
        ASSERT_TRUE(sink.finish().ok());
    }
    std::vector<UnbookedPosting> closed(const std::vector<std::uint32_t>& revisions) {
        std::vector<UnbookedPosting> postings;
        for (const std::uint32_t revision : revisions)
            postings.push_back({std::make_shared<const Posting>(chain_[revision - 1]), true});
        return postings;
    }
    LedgerLineage lineage(std::vector<UnbookedPosting> unbooked) {
        Result<LedgerLineage> ledger = LedgerLineage::open(path_);
        EXPECT_TRUE(ledger.ok());
        ledger->set_unbooked(std::move(unbooked));
        return std::move(*ledger);
    }
    /// "revision of the last one, how many are closed: posted quantity and amount", of each pane.
    std::vector<std::string> panes(std::vector<UnbookedPosting> unbooked) {
        const auto panes = lineage(std::move(unbooked)).panes("plant_to_ledger");
        if (!panes) return {panes.error().text()};
        std::vector<std::string> texts;
        for (const LedgerPane& pane : *panes) {
            EXPECT_EQ(pane.first_key, chain_[0].key);
            EXPECT_EQ(pane.last_key, chain_[pane.revision - 1].key);
            EXPECT_EQ(pane.key_fields, "plant=P100 order_id=PO-1 material=FG-PUMP");
            EXPECT_EQ(pane.posting_date, chain_[0].posting_date);
            EXPECT_EQ(pane.window_end, chain_[0].window_end);
            EXPECT_EQ(compare(*pane.quantity, *pane.posted_quantity), 0);
            texts.push_back(fmt::format("revision {}, {} closed: {} {}", pane.revision, pane.closed,
                                        format_decimal(pane.posted_quantity->units, pane.posted_quantity->scale),
                                        format_decimal(pane.posted_amount->units, pane.posted_amount->scale)));
        }
        return texts;
    }

    Folder folder_;
    std::string path_ = folder_ / "ledger.db";
    std::vector<Posting> chain_;
};

TEST_F(LedgerLineageTest, WhatWasClosedIsPartOfItsPane) {
    deliver({3, 5});
    EXPECT_THAT(panes(closed({4, 2, 1})), ElementsAre("revision 5, 3 closed: 5.000000 0.10"));
    EXPECT_THAT(panes(closed({1, 4})), ElementsAre(HasSubstr("F626: " + path_ + ": posting " + chain_[2].key +
                                                             " follows posting " + chain_[1].key)));
    std::vector<UnbookedPosting> held = closed({1, 2, 4});
    held[2].closed = false;
    EXPECT_THAT(panes(held), ElementsAre(HasSubstr("posting " + chain_[4].key + " follows")));
}

TEST_F(LedgerLineageTest, WhatWasClosedLastIsPartOfItsPaneToo) {
    deliver({1, 2});
    EXPECT_THAT(panes(closed({3, 4})), ElementsAre("revision 4, 2 closed: 4.000000 0.08"));
    EXPECT_THAT(panes(closed({2, 1})), ElementsAre("revision 2, 0 closed: 2.000000 0.04")) << "the ledger has them";
    // The ledger has lost what they follow: it does not hide that.
    EXPECT_THAT(panes(closed({4, 5})), ElementsAre("revision 2, 0 closed: 2.000000 0.04"));
}

TEST_F(LedgerLineageTest, APaneMayBeClosedWhole) {
    deliver({});
    EXPECT_THAT(panes(closed({2, 1})), ElementsAre("revision 2, 2 closed: 2.000000 0.04"));
    EXPECT_THAT(panes({}), IsEmpty());
}

TEST_F(LedgerLineageTest, APostingIsFoundWithTheLedgerOrWithout) {
    deliver({1, 2});
    std::vector<UnbookedPosting> unbooked = closed({2, 3, 4});
    unbooked[2].closed = false;
    LedgerLineage ledger = lineage(std::move(unbooked));
    const auto found = [&](std::uint32_t revision) {
        const Result<TracedPosting> traced = ledger.posting(chain_[revision - 1].key.substr(0, 12));
        if (!traced) return traced.error().text();
        EXPECT_EQ(traced->posting.key, chain_[revision - 1].key);
        EXPECT_EQ(traced->posting.lineage.events, 3u);
        return std::string(traced->booked ? "booked" : traced->closed ? "closed" : "open");
    };
    EXPECT_EQ(found(1), "booked");
    EXPECT_EQ(found(2), "booked");
    EXPECT_EQ(found(3), "closed");
    EXPECT_EQ(found(4), "open");
    EXPECT_THAT(found(5), HasSubstr("D621: no posting"));
    // A beginning that fits one that is there and one that is not.
    Posting twin = chain_[4];
    twin.key = chain_[0].key.substr(0, 12) + std::string(20, '0');
    ledger.set_unbooked({{std::make_shared<const Posting>(twin), true}});
    EXPECT_THAT(found(1), HasSubstr("D621: more than one posting"));
    EXPECT_TRUE(ledger.posting(chain_[0].key)->booked);
    EXPECT_TRUE(ledger.posting(twin.key)->closed);
}

}  // namespace
}  // namespace takt
