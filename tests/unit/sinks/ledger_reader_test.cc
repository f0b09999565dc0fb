#include "sinks/ledger_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sinks/atomic_file.h"
#include "sinks/sqlite.h"
#include "tests/unit/sinks/sample_posting.h"

namespace takt {
namespace {

using sample::Folder;
using sample::goods_receipt;
using sample::text_of;
using testing::ElementsAre;
using testing::HasSubstr;

/// A ledger with a revised goods receipt, another order's, and a lot status.
class LedgerReaderTest : public testing::Test {
  protected:
    void SetUp() override {
        SqliteSink sink({.path = path_, .synchronous = SqliteSink::Synchronous::off}, "plant_to_ledger");
        ASSERT_TRUE(sink.open().ok());
        Posting revision = goods_receipt("a2", 500'000, 461);
        revision.revision = 2;
        revision.previous_key = goods_receipt("a1", 0, 0).key;
        Posting other = goods_receipt("b", 1'000'000, 922);
        other.correlation_id = "PO-2";
        other.key_fields[1].value = "PO-2";
        other.posting_date += 1;
        other.key_fields[3].value = "L,1";
        Posting status = goods_receipt("c", 1'500'000, 0);
        status.type = "lot_status";
        status.has_amount = false;
        status.has_quantity = false;
        status.unit = status.currency = status.debit = status.credit = status.correlation_id = "";
        status.lines.clear();
        status.window_start = status.window_end = std::nullopt;
        status.key_fields = {
            {"plant", "P100"}, {"material", "FG"}, {"lot", "L2"}, {"status", "released"}, {"event_id", "e-9"}};
        ASSERT_TRUE(
            sink.deliver(std::vector<Posting>{goods_receipt("a1", 3'000'000, 2766), revision, other, status}).ok());
        ASSERT_TRUE(
            sink.keep(std::vector<DeadLetter>{sample::dead_letter(12, "DECODE"), sample::dead_letter(7, "TOO_LATE"),
                                              sample::dead_letter(9, "TOO_LATE")})
                .ok());
        ASSERT_TRUE(
            sink.summarize(std::vector<Sink::OutcomeCount>{{"filtered", "telemetry", 5}, {"accepted", "", 4}}).ok());
        auto reader = LedgerReader::open(path_);
        ASSERT_TRUE(reader.ok()) << reader.error().text();
        reader_.emplace(std::move(*reader));
    }

    const Folder folder_;
    const std::string path_ = folder_ / "l.db";
    std::optional<LedgerReader> reader_;
};

std::vector<std::string> column(const Result<ReportTable>& table, const std::string& name) {
    if (!table.ok()) return {table.error().text()};
    std::vector<std::string> values;
    for (std::size_t i = 0; i < table->columns.size(); ++i)
        if (table->columns[i].name == name)
            for (const auto& row : table->rows) values.push_back(row[i]);
    return values;
}

TEST_F(LedgerReaderTest, PostingsAreSortedAndFiltered) {
    EXPECT_THAT(column(reader_->postings({}), "amount"), ElementsAre("27.66", "4.61", "", "9.22"));
    EXPECT_THAT(column(reader_->postings({.order = "PO-1"}), "revision"), ElementsAre("1", "2"));
    EXPECT_THAT(column(reader_->postings({.order = "PO-2"}), "for"),
                ElementsAre("plant=P100 order_id=PO-2 material=FG-PUMP lot=L,1"));
    EXPECT_THAT(column(reader_->postings({.type = "lot_status"}), "revision"), ElementsAre("1"));
    EXPECT_THAT(column(reader_->postings({.from_date = "2026-05-13"}), "amount"), ElementsAre("9.22"));
    EXPECT_THAT(column(reader_->postings({.to_date = "2026-05-12", .limit = 2}), "amount"),
                ElementsAre("27.66", "4.61"));
    EXPECT_THAT(column(reader_->postings({.pipeline = "other"}), "amount"), ElementsAre());
}

TEST_F(LedgerReaderTest, NetSumsTheRevisionsOfAPane) {
    const auto net = reader_->net({});
    EXPECT_THAT(column(net, "amount"), ElementsAre("32.27", "", "9.22"));
    EXPECT_THAT(column(net, "quantity"), ElementsAre("3.500000", "", "1.000000"));
    EXPECT_THAT(column(net, "revisions"), ElementsAre("2", "1", "1"));
}

TEST_F(LedgerReaderTest, TotalsCountCorrections) {
    const auto totals = reader_->totals({});
    EXPECT_THAT(column(totals, "type"), ElementsAre("goods_receipt", "lot_status"));
    EXPECT_THAT(column(totals, "postings"), ElementsAre("3", "1"));
    EXPECT_THAT(column(totals, "corrections"), ElementsAre("1", "0"));
    EXPECT_THAT(column(totals, "amount"), ElementsAre("41.49", ""));
}

TEST_F(LedgerReaderTest, BalancesCloseWithARowOfSums) {
    const auto balances = reader_->balances({});
    EXPECT_THAT(column(balances, "account"), ElementsAre("130000", "895000", "all accounts"));
    EXPECT_THAT(column(balances, "debit_sum"), ElementsAre("41.49", "0.00", "41.49"));
    EXPECT_THAT(column(balances, "balance"), ElementsAre("41.49", "-41.49", "0.00"));
    EXPECT_THAT(column(reader_->unbalanced(), "key"), ElementsAre());
}

TEST_F(LedgerReaderTest, SumsAreExactBeyond64Bits) {
    SqliteSink sink({.path = path_, .synchronous = SqliteSink::Synchronous::off}, "plant_to_ledger");
    ASSERT_TRUE(sink.open().ok());
    for (int i = 0; i < 3; ++i) {
        Posting posting = goods_receipt(fmt::format("big {}", i), 1, INT64_MAX);
        posting.type = "big";
        ASSERT_TRUE(sink.deliver(std::span(&posting, 1)).ok());
    }
    EXPECT_THAT(column(reader_->totals({.type = "big"}), "amount"), ElementsAre("276701161105643274.21"));
    EXPECT_THAT(column(reader_->balances({.type = "big"}), "balance"),
                ElementsAre("276701161105643274.21", "-276701161105643274.21", "0.00"));
}

TEST_F(LedgerReaderTest, DeadLettersByReasonAndOwner) {
    const auto counts = reader_->dead_letter_counts({});
    EXPECT_THAT(column(counts, "reason"), ElementsAre("TOO_LATE", "DECODE"));
    EXPECT_THAT(column(counts, "count"), ElementsAre("2", "1"));
    EXPECT_THAT(column(reader_->dead_letters({}, "TOO_LATE"), "sequence"), ElementsAre("7", "9"));
    EXPECT_THAT(column(reader_->dead_letters({.limit = 1}), "event_id"), ElementsAre("e-7"));
    EXPECT_THAT(column(reader_->outcomes({}), "count"), ElementsAre("4", "5"));
}

TEST_F(LedgerReaderTest, OnePostingShowsLinesLineageAndAllRevisions) {
    const std::string key = goods_receipt("a2", 0, 0).key;
    const auto page = reader_->posting(key.substr(0, 8));
    ASSERT_TRUE(page.ok()) << page.error().text();
    EXPECT_THAT(*page, HasSubstr(key));
    EXPECT_THAT(*page, HasSubstr("895000   CC-1"));
    EXPECT_THAT(*page, HasSubstr(R"([{"source":"floor","first_sequence":1,"last_sequence":9}])"));
    EXPECT_THAT(*page, HasSubstr(goods_receipt("a1", 0, 0).key));
    EXPECT_EQ(reader_->posting("abc").error().code, "D621");
    EXPECT_EQ(reader_->posting("zzzz").error().code, "D621");
}

TEST_F(LedgerReaderTest, ExportsNetPanesDeadLettersAndOutcomes) {
    ASSERT_TRUE(reader_->export_to(folder_ / "export").ok());
    EXPECT_EQ(text_of(folder_ / "export/postings.csv"),
              "type,plant,order_id,material,lot,work_center,reason,status,event_id,window_start,window_end,posting_"
              "date,quantity,unit,"
              "amount,currency,debit,credit\n"
              "goods_receipt,P100,PO-1,FG-PUMP,,,,,,2026-05-12T04:00:00Z,2026-05-12T12:00:00Z,2026-05-12,3.500000,pcs,"
              "32.27,EUR,130000,895000\n"
              "goods_receipt,P100,PO-2,FG-PUMP,\"L,1\",,,,,2026-05-12T04:00:00Z,2026-05-12T12:00:00Z,2026-05-13,1."
              "000000,pcs,9.22,EUR,130000,895000\n"
              "lot_status,P100,,FG,L2,,,released,e-9,,,2026-05-12,,,,,,\n");
    EXPECT_EQ(text_of(folder_ / "export/dead_letters.csv"),
              "event_id,line,reason\ne-7,7,TOO_LATE\ne-9,9,TOO_LATE\n,12,DECODE\n");
    EXPECT_EQ(text_of(folder_ / "export/outcomes.csv"), "outcome,rule,count\naccepted,,4\nfiltered,telemetry,5\n");
}

TEST(LedgerReader, AMissingFileIsNotMade) {
    const Folder folder;
    const auto reader = LedgerReader::open(folder / "none.db");
    ASSERT_FALSE(reader.ok());
    EXPECT_EQ(reader.error().code, "C620");
    EXPECT_FALSE(std::filesystem::exists(folder / "none.db"));
}

TEST(ReportTable, AlignsNumbersByTheirPointAndCountsCharacters) {
    const ReportTable table{.columns = {{"name"}, {"amount", Align::decimal}, {"n", Align::right}},
                            .rows = {{"B\xC3\xBCro", "1.5", "1"}, {"x\n", "-10.25", "10"}, {"", "", ""}}};
    EXPECT_EQ(table.text(),
              "name  amount   n\n"
              "----  ------  --\n"
              "B\xC3\xBCro    1.5    1\n"
              "x?    -10.25  10\n"
              "\n");
    EXPECT_EQ(table.csv(), "name,amount,n\nB\xC3\xBCro,1.5,1\n\"x\n\",-10.25,10\n,,\n");
    EXPECT_EQ(table.json(),
              "[\n{\"name\":\"B\xC3\xBCro\",\"amount\":\"1.5\",\"n\":\"1\"},\n{\"name\":\"x\\n\",\"amount\":\"-10.25\","
              "\"n\":\"10\"},\n{}\n]\n");
}

TEST(AtomicFile, AFileOfTheSameNameIsReplacedWhole) {
    const Folder folder;
    ASSERT_TRUE(write_atomically(folder / "sub/x", "long text").ok());
    ASSERT_TRUE(write_atomically(folder / "sub/x", "new").ok());
    EXPECT_EQ(text_of(folder / "sub/x"), "new");
    EXPECT_FALSE(std::filesystem::exists(AtomicFile::partial_path(folder / "sub/x")));
}

}  // namespace
}  // namespace takt
