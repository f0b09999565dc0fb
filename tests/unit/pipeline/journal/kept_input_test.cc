#include "pipeline/journal/kept_input.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/journal/journal.h"
#include "tests/support/simulated_disk.h"

namespace takt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

FrameContext context(const std::vector<std::string>& sources, std::uint64_t incarnation) {
    FrameContext context;
    context.incarnation = incarnation;
    context.engine_version = "0.1.0";
    context.config_hash = "c0ffee";
    context.tzdb_version = "2024a";
    context.sources = sources;
    return context;
}

class KeptInputTest : public testing::Test {
  protected:
    KeptInputTest() {
        EXPECT_FALSE(disk_.make_directory("./state"));
        EXPECT_FALSE(disk_.make_directory("./state/journal"));
    }
    /// Goes on with so many epochs, of three messages of the source `heard` each; every third one has none.
    void write(std::uint64_t epochs, const std::vector<std::string>& sources = {"read", "heard"}) {
        journal_.reset();
        auto opened = Journal::open(disk_, "./state/journal", context(sources, ++incarnation_),
                                    {.segment_bytes = 16 * kSectorBytes});
        ASSERT_TRUE(opened.ok()) << opened.error().text();
        journal_ = std::move(opened).value();
        for (std::uint64_t i = 0; i < epochs; ++i) {
            EpochResult result;
            result.epoch = journal_->last_epoch() + 1;
            for (std::uint32_t source = 0; source < sources.size(); ++source) {
                std::uint64_t last = 1000 * result.epoch;
                for (int n = 0; sources[source] == "heard" && result.epoch % 3 != 0 && n < 3; ++n) {
                    ++sequence_;
                    result.input_records.push_back({source, sequence_, 7, "plant", fmt::format("m{}", sequence_)});
                }
                if (sources[source] == "heard") last = sequence_;
                result.cuts.push_back({.last_sequence = last});
            }
            ASSERT_TRUE(journal_->append(FrameView(result)).ok());
        }
    }
    /// "4-6 7-9": what is given at once; the error's text behind it.
    std::string read(std::uint64_t first, std::uint64_t last) {
        std::string text;
        const Status read =
            read_kept_input(disk_, "./state", "heard", first, last, [&](const std::vector<InputRecord>& records) {
                for (const InputRecord& record : records) EXPECT_EQ(record.data, fmt::format("m{}", record.sequence));
                text += fmt::format("{}-{} ", records.front().sequence, records.back().sequence);
            });
        return read ? text : text + read.error().text();
    }
    SimulatedDisk disk_{1};
    std::unique_ptr<Journal> journal_;
    std::uint64_t incarnation_ = 0;
    std::uint64_t sequence_ = 0;
};

TEST_F(KeptInputTest, GivesARangeInItsOrderThroughAllRuns) {
    write(2);
    write(3);
    EXPECT_EQ(read(1, 100), "1-3 4-6 7-9 10-12 ");
    EXPECT_EQ(read(5, 8), "5-6 7-8 ");
    EXPECT_EQ(read(13, 20), "");
}

TEST_F(KeptInputTest, AJournalThatWasNeverBegunHasNothing) {
    EXPECT_EQ(read(1, 100), "");
}

TEST_F(KeptInputTest, FindsTheSourceByItsNameInEachFrame) {
    write(1, {"read"});
    write(2, {"heard", "read"});
    write(2, {"read", "heard"});
    EXPECT_EQ(read(1, 100), "1-3 4-6 7-9 ");
}

TEST_F(KeptInputTest, SaysWhatIsGoneWithRemovedFrames) {
    write(60);
    ASSERT_TRUE(journal_->drop_before(20).ok());
    // Epochs 3n+1 and 3n+2 have three each.
    std::uint64_t gone = 0;
    for (std::uint64_t epoch = 1; epoch < journal_->first_epoch(); ++epoch) gone += epoch % 3 == 0 ? 0 : 3;
    ASSERT_GT(gone, 9u);
    EXPECT_THAT(read(gone, sequence_),
                testing::StartsWith(fmt::format("C667: the journal of ./state has the messages of source 'heard' from "
                                                "{} on, and not those from {} to {}",
                                                gone + 1, gone, gone)));
    EXPECT_THAT(read(gone + 1, sequence_), testing::EndsWith(fmt::format("{}-{} ", sequence_ - 2, sequence_)));
}

TEST_F(KeptInputTest, SaysFromWhereOnItIsWholeWhereTheSourceWasAnotherOne) {
    write(2);
    sequence_ += 40;  // a stream of its name was read in between, which keeps its messages itself
    write(2, {"read", "other"});
    write(2);
    EXPECT_EQ(read(1, 100),
              "1-3 4-6 C667: the journal of ./state has the messages of source 'heard' from 47 on, and not "
              "those from 1 to 46");
    EXPECT_EQ(read(47, 100), "47-49 ");
}

TEST_F(KeptInputTest, SequencesThatBeganAgainAreNotMixed) {
    write(2);
    sequence_ = 0;
    write(2);
    EXPECT_THAT(read(1, 100), HasSubstr("C667: source 'heard' begins at 1 again in epoch 3"));
    EXPECT_THAT(read(1, 5), HasSubstr("C667: source 'heard' begins at 1 again in epoch 3"));
}

}  // namespace
}  // namespace takt
