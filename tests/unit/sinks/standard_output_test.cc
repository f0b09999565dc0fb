#include "sinks/standard_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sinks/discard.h"
#include "sinks/posting_json.h"
#include "tests/unit/sinks/sample_posting.h"

namespace takt {
namespace {

using sample::deliver_one;
using sample::goods_receipt;
using testing::HasSubstr;

/// A file that stands for the terminal.
class Output {
  public:
    Output() : file_(std::tmpfile()) {}
    ~Output() { std::fclose(file_); }
    std::FILE* file() { return file_; }
    std::string text() {
        std::string text(static_cast<std::size_t>(std::ftell(file_)), ' ');
        std::rewind(file_);
        text.resize(std::fread(text.data(), 1, text.size(), file_));
        return text;
    }

  private:
    std::FILE* file_;
};

TEST(StandardOutputSink, PrintsEachPostingOnceAsAJsonLine) {
    Output output;
    StandardOutputSink sink({}, output.file());
    const Posting posting = goods_receipt("a", 1, 1);
    EXPECT_EQ(deliver_one(sink, posting).state, Sink::State::accepted);
    EXPECT_EQ(deliver_one(sink, posting).state, Sink::State::accepted);
    EXPECT_EQ(deliver_one(sink, goods_receipt("a", 1, 2)).reason, "IDEMPOTENCY_CONFLICT");
    EXPECT_EQ(output.text(), posting_json(posting) + "\n");
}

TEST(StandardOutputSink, TheTableHasOneHeaderAndShowsNoControlCharacters) {
    Output output;
    StandardOutputSink sink({.format = StandardOutputSink::Format::table}, output.file());
    Posting evil = goods_receipt("b", 1, 1);
    evil.key_fields[1].value = "\x1B[2J";
    EXPECT_EQ(deliver_one(sink, goods_receipt("a", 1'500'000, -1234)).state, Sink::State::accepted);
    EXPECT_EQ(deliver_one(sink, evil).state, Sink::State::accepted);
    const std::string text = output.text();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
    EXPECT_THAT(text, HasSubstr("2026-05-12  goods_receipt"));
    EXPECT_THAT(text, HasSubstr("1.500000 pcs"));
    EXPECT_THAT(text, HasSubstr("-12.34 EUR"));
    EXPECT_THAT(text, HasSubstr("P100 ?[2J FG-PUMP"));
}

TEST(StandardOutputSink, AClosedOutputIsAnOutsideErrorAndThePostingCanBeDeliveredAgain) {
    std::FILE* full = std::fopen("/dev/full", "w");
    ASSERT_NE(full, nullptr);
    StandardOutputSink sink({}, full);
    for (int attempt = 0; attempt < 2; ++attempt)
        EXPECT_THAT(deliver_one(sink, goods_receipt("a", 1, 1)).reason, HasSubstr("E632"));
    std::fclose(full);
}

TEST(DiscardSink, TheDigestDependsOnPostingsNotOnTheirOrderOrGrouping) {
    const std::vector<Posting> forth{goods_receipt("a", 1, 1), goods_receipt("b", 2, 2), goods_receipt("c", 3, 3)};
    const std::vector<Posting> back(forth.rbegin(), forth.rend());
    DiscardSink first({}), second({}), third({});
    ASSERT_TRUE(first.deliver(forth).ok());
    for (const Posting& posting : back) EXPECT_EQ(deliver_one(second, posting).state, Sink::State::accepted);
    EXPECT_EQ(first.describe(), second.describe());
    EXPECT_EQ(first.totals().postings, 3U);
    ASSERT_TRUE(third.deliver(std::span(forth).first(2)).ok());
    EXPECT_EQ(deliver_one(third, goods_receipt("c", 3, 4)).state, Sink::State::accepted);
    EXPECT_NE(third.totals().digest, first.totals().digest);
}

}  // namespace
}  // namespace takt
