#include "pipeline/runtime/sink_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <thread>

namespace takt {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// What a sink was given, and what it is to answer.
struct Book {
    std::mutex mutex;
    std::vector<std::vector<std::string>> calls;                 ///< keys, by call of `deliver`
    std::map<std::string, std::vector<Sink::Delivery>> answers;  ///< by key, one after the other; then accepted
    std::set<std::string> unknown;                               ///< keys of which nothing is known yet
    std::vector<std::string> dead_letters;
    std::uint64_t stored = 0;
    std::optional<Sink::Past> past;
};

class BookSink final : public Sink {
  public:
    explicit BookSink(Book& book) : book_(book) {}
    void resume(const Past& past) override { book_.past = past; }
    Status open() override { return {}; }
    Result<std::vector<Delivery>> deliver(std::span<const Posting> postings) override {
        std::lock_guard lock(book_.mutex);
        auto& call = book_.calls.emplace_back();
        std::vector<Delivery> deliveries;
        for (const Posting& posting : postings) {
            call.push_back(posting.key);
            if (book_.unknown.contains(posting.key)) {
                deliveries.push_back({State::unknown, {}, "late"});
                continue;
            }
            auto& answers = book_.answers[posting.key];
            deliveries.push_back(answers.empty() ? Delivery{State::accepted, "doc " + posting.key, {}}
                                                 : answers.front());
            if (!answers.empty()) answers.erase(answers.begin());
            ++book_.stored;
        }
        return deliveries;
    }
    Status keep(std::span<const DeadLetter> dead_letters) override {
        std::lock_guard lock(book_.mutex);
        for (const DeadLetter& letter : dead_letters) book_.dead_letters.push_back(letter.source);
        return {};
    }
    Status summarize(std::span<const OutcomeCount>) override { return {}; }
    Status finish() override { return {}; }
    SinkPosition position() const override {
        std::lock_guard lock(book_.mutex);
        SinkPosition position;
        position.created = 5;
        position.last_sequence = book_.stored;
        return position;
    }
    std::string describe() const override { return "book"; }

  private:
    Book& book_;
};

/// "2:1" is a posting of epoch 2; "3:1<2:1" corrects it.
std::shared_ptr<const EpochResult> epoch_of(std::uint64_t epoch, const std::vector<std::string>& postings) {
    auto result = std::make_shared<EpochResult>();
    result->epoch = epoch;
    for (const std::string& text : postings) {
        Posting& posting = result->postings.emplace_back();
        const std::size_t corrects = text.find('<');
        posting.key = text.substr(0, corrects);
        if (corrects != std::string::npos) posting.previous_key = text.substr(corrects + 1);
        posting.epoch = epoch;
        posting.type = "goods_receipt";
    }
    return result;
}

class SinkWriterTest : public testing::Test {
  protected:
    SinkWriterTest() {
        plan_.name = "ledger";
        plan_.connector = "book";
        plan_.make = [this]() -> Result<std::unique_ptr<Sink>> { return std::unique_ptr<Sink>(new BookSink(book_)); };
        writer_ = std::make_unique<SinkWriter>(
            plan_, outcomes_, SinkWriter::Options{8, {.first = kMillisecond, .longest = kMillisecond}, &system_clock()},
            [] {}, [](const Error& error) { ADD_FAILURE() << error.text(); });
    }
    /// Until everything is delivered.
    void deliver(const std::vector<std::shared_ptr<const EpochResult>>& epochs) {
        ASSERT_TRUE(writer_->start().ok());
        for (const auto& epoch : epochs) ASSERT_TRUE(writer_->push(epoch));
        writer_->finish();
    }
    /// Until so many are held, and a frame before that of `next` says so; gives what it says.
    std::vector<std::string> hold(std::size_t held, const std::vector<std::shared_ptr<const EpochResult>>& epochs,
                                  std::uint64_t next) {
        for (const auto& epoch : epochs) EXPECT_TRUE(writer_->push(epoch));
        while (writer_->status().held < held || writer_->status().waiting > 0) std::this_thread::yield();
        return taken(next - 1);
    }
    /// What the frame of this epoch is told.
    std::vector<std::string> taken(std::uint64_t epoch = 100) {
        SinkAnswers answers;
        writer_->take_answers(epoch, answers);
        std::vector<std::string> texts;
        for (const SinkConfirmation& said : answers.confirmations)
            texts.push_back(
                fmt::format("{} {} {} {} {}", said.key, int(said.state), said.attempt, said.reference, said.reason));
        for (const SinkPosition& position : answers.positions)
            texts.push_back(
                fmt::format("{} settled {} at {}", position.sink, position.settled, position.last_sequence));
        return texts;
    }

    Book book_;
    SinkPlan plan_;
    OutcomeTable outcomes_;
    std::unique_ptr<SinkWriter> writer_;
};

constexpr int kAccepted = static_cast<int>(DeliveryState::accepted);
constexpr int kRefused = static_cast<int>(DeliveryState::refused);
constexpr int kParked = static_cast<int>(DeliveryState::parked);

TEST_F(SinkWriterTest, SaysOfWhatIsAcceptedOnlyHowFarItIs) {
    deliver({epoch_of(1, {"1:1", "1:2"}), epoch_of(2, {}), epoch_of(3, {"3:1"})});
    EXPECT_TRUE(writer_->has_answers());
    EXPECT_THAT(taken(), ElementsAre("ledger settled 3 at 3"));
    EXPECT_FALSE(writer_->has_answers());
    EXPECT_THAT(taken(), IsEmpty());
    EXPECT_EQ(writer_->settled(), 0u);
    writer_->answers_are_durable();
    EXPECT_EQ(writer_->settled(), 3u);
}

TEST_F(SinkWriterTest, WhatCorrectsARefusedPostingIsParkedAndNotSent) {
    book_.answers["1:1"] = {{Sink::State::refused, {}, "CLOSED"}};
    book_.answers["1:3"] = {{Sink::State::parked, "D7", "ASK"}};
    deliver(
        {epoch_of(1, {"1:1", "1:2", "1:3"}), epoch_of(2, {"2:1<1:1", "2:2<1:2", "2:3<1:3"}), epoch_of(3, {"3:1<2:1"})});
    EXPECT_THAT(book_.calls, ElementsAre(ElementsAre("1:1", "1:2", "1:3"), ElementsAre("2:2")));
    EXPECT_THAT(taken(), ElementsAre(fmt::format("1:1 {} 1  CLOSED", kRefused), fmt::format("1:3 {} 1 D7 ASK", kParked),
                                     fmt::format("2:1 {} 0  EARLIER_REVISION", kParked),
                                     fmt::format("2:3 {} 0  EARLIER_REVISION", kParked),
                                     fmt::format("3:1 {} 0  EARLIER_REVISION", kParked), "ledger settled 3 at 4"));
    const SinkStatus status = writer_->status();
    EXPECT_EQ(status.accepted, 2u);
    EXPECT_EQ(status.refused, 1u);
    EXPECT_EQ(status.held, 5u);
    EXPECT_EQ(status.blocked, 3u);
    EXPECT_EQ(status.waiting, 0u);
}

TEST_F(SinkWriterTest, AfterAStartOnlyWhatWaitsIsSentAndWhatIsHeldStillHolds) {
    SinkPast past;
    past.until = 4;
    past.position.settled = 2;
    past.position.last_sequence = 40;
    past.waiting = {{"1:7", 2}, {"3:2", 5}, {"4:1", 0}};
    const auto held = [](const std::string& text, DeliveryState state, const std::string& reason) {
        const std::uint64_t epoch = std::stoull(text);
        auto posting = std::make_shared<const Posting>(epoch_of(epoch, {text})->postings[0]);
        return HeldPosting{{"ledger", posting->key, state, 1, "", reason, "", 0}, posting};
    };
    past.held = {held("1:1", DeliveryState::refused, "CLOSED"),
                 held("2:1<1:1", DeliveryState::parked, kEarlierRevision)};
    past.undelivered = {epoch_of(1, {"1:7"})->postings[0]};
    book_.answers["3:2"] = {{Sink::State::refused, {}, "CLOSED"}};
    writer_->resume(past, {"state", 9});
    auto second = std::make_shared<EpochResult>(*epoch_of(2, {"2:1<1:1", "2:2"}));
    second->dead_letters.emplace_back().source = "second";
    auto fourth = std::make_shared<EpochResult>(*epoch_of(4, {"4:1"}));
    fourth->dead_letters.emplace_back().source = "fourth";
    deliver({second, epoch_of(3, {"3:1", "3:2"}), fourth, epoch_of(5, {"5:1<2:1", "5:2"})});
    EXPECT_THAT(book_.calls,
                ElementsAre(ElementsAre("1:7"), ElementsAre("3:2"), ElementsAre("4:1"), ElementsAre("5:2")));
    EXPECT_THAT(book_.dead_letters, ElementsAre("fourth"));
    EXPECT_THAT(taken(), ElementsAre(fmt::format("3:2 {} 6  CLOSED", kRefused),
                                     fmt::format("5:1 {} 0  EARLIER_REVISION", kParked), "ledger settled 5 at 4"));
    const SinkStatus status = writer_->status();
    EXPECT_EQ(status.sent_again, 3u);
    EXPECT_EQ(status.held, 4u);
    EXPECT_EQ(status.blocked, 2u);
    EXPECT_EQ(status.waiting, 0u);
    ASSERT_TRUE(book_.past);
    EXPECT_EQ(book_.past->run.state, "state");
    EXPECT_EQ(book_.past->run.incarnation, 9u);
    EXPECT_EQ(book_.past->confirmed.last_sequence, 40u);
    EXPECT_TRUE(book_.past->unconfirmed);
}

/// The epoch with orders, "1:1" to send that again, "1:1!" to close it.
std::shared_ptr<const EpochResult> with_orders(const std::shared_ptr<const EpochResult>& epoch,
                                               const std::vector<std::string>& orders) {
    auto result = std::make_shared<EpochResult>(*epoch);
    for (const std::string& text : orders) {
        HoldOrder& order = result->cut.orders.emplace_back();
        order.sink = "ledger";
        order.key = text.substr(0, text.find('!'));
        order.action = order.key == text ? HoldOrder::Action::resend : HoldOrder::Action::close;
    }
    return result;
}

TEST_F(SinkWriterTest, AnOrderEndsAHoldAndThoseThatWaitBehindGoInTheirOrder) {
    book_.answers["1:1"] = {{Sink::State::refused, {}, "CLOSED"}};
    ASSERT_TRUE(writer_->start().ok());
    auto said = hold(3, {epoch_of(1, {"1:1", "1:2"}), epoch_of(2, {"2:1<1:1"}), epoch_of(3, {"3:1<2:1"})}, 5);
    said.resize(3);  // how far it is may come with the next frame
    ASSERT_TRUE(writer_->push(with_orders(epoch_of(5, {"5:1<3:1"}), {"1:1", "1:2"})));
    writer_->finish();
    EXPECT_THAT(book_.calls, ElementsAre(ElementsAre("1:1", "1:2"), ElementsAre("1:1"), ElementsAre("2:1"),
                                         ElementsAre("3:1"), ElementsAre("5:1")))
        << "what is not held is not sent again";
    EXPECT_THAT(
        said, ElementsAre(fmt::format("1:1 {} 1  CLOSED", kRefused), fmt::format("2:1 {} 0  EARLIER_REVISION", kParked),
                          fmt::format("3:1 {} 0  EARLIER_REVISION", kParked)));
    EXPECT_THAT(taken(),
                ElementsAre(fmt::format("1:1 {} 2 doc 1:1 ", kAccepted), fmt::format("2:1 {} 1 doc 2:1 ", kAccepted),
                            fmt::format("3:1 {} 1 doc 3:1 ", kAccepted), "ledger settled 5 at 6"));
    const SinkStatus status = writer_->status();
    EXPECT_EQ(status.accepted, 5u);
    EXPECT_EQ(status.held, 0u);
    EXPECT_EQ(status.blocked, 0u);
    EXPECT_EQ(status.waiting, 0u);
}

TEST_F(SinkWriterTest, WhatIsRefusedAgainHoldsAgainAndWhatIsClosedHoldsNothing) {
    book_.answers["1:1"] = {{Sink::State::refused, {}, "CLOSED"}, {Sink::State::refused, {}, "STILL_CLOSED"}};
    ASSERT_TRUE(writer_->start().ok());
    hold(2, {epoch_of(1, {"1:1"}), epoch_of(2, {"2:1<1:1"})}, 3);
    ASSERT_TRUE(writer_->push(with_orders(epoch_of(3, {}), {"1:1"})));
    while (writer_->status().refused < 2) std::this_thread::yield();
    hold(2, {}, 4);
    ASSERT_TRUE(writer_->push(with_orders(epoch_of(4, {"4:1<2:1"}), {"1:1!"})));
    writer_->finish();
    EXPECT_THAT(book_.calls,
                ElementsAre(ElementsAre("1:1"), ElementsAre("1:1"), ElementsAre("2:1"), ElementsAre("4:1")));
    EXPECT_EQ(writer_->status().held, 0u);
    EXPECT_EQ(writer_->status().accepted, 2u);
    EXPECT_EQ(writer_->status().waiting, 0u);
}

// What the log makes of such an order is nothing, and so the sink must not be sent anything, either.
TEST_F(SinkWriterTest, AnOrderAboutAHoldThatNoFrameUpToItKnowsOfChangesNothing) {
    book_.answers["1:1"] = {{Sink::State::refused, {}, "CLOSED"}};
    ASSERT_TRUE(writer_->start().ok());
    ASSERT_TRUE(writer_->push(epoch_of(1, {"1:1"})));
    while (writer_->status().held < 1) std::this_thread::yield();
    ASSERT_TRUE(writer_->push(with_orders(epoch_of(2, {}), {"1:1!"})));  // no frame has the refusal
    EXPECT_EQ(taken(3)[0], fmt::format("1:1 {} 1  CLOSED", kRefused));
    ASSERT_TRUE(writer_->push(with_orders(epoch_of(3, {"3:1<1:1"}), {})));
    writer_->finish();
    EXPECT_THAT(book_.calls, ElementsAre(ElementsAre("1:1")));
    EXPECT_EQ(writer_->status().held, 2u);
    EXPECT_EQ(writer_->status().blocked, 1u);
}

TEST_F(SinkWriterTest, AnOrderOfAnEarlierRunIsNotFollowedTwice) {
    SinkPast past;
    past.until = 3;
    past.position.settled = 2;
    past.waiting = {{"1:1", 1}};
    writer_->resume(past, {"state", 2});
    deliver({epoch_of(1, {"1:1"}), epoch_of(2, {}), with_orders(epoch_of(3, {}), {"1:1"})});
    EXPECT_THAT(book_.calls, ElementsAre(ElementsAre("1:1")));
}

TEST_F(SinkWriterTest, WhatAnEarlierRunHeldIsSentByOrderOfThisOne) {
    SinkPast past;
    past.until = past.position.settled = 3;
    for (const char* text : {"1:1", "2:1<1:1", "3:1<2:1"}) {
        const auto posting = std::make_shared<const Posting>(epoch_of(std::stoull(text), {text})->postings[0]);
        const bool behind = !posting->previous_key.empty();
        past.held.push_back({{"ledger", posting->key, behind ? DeliveryState::parked : DeliveryState::refused,
                              behind ? 0u : 4u, "", behind ? kEarlierRevision : "CLOSED", "", 0},
                             posting});
    }
    writer_->resume(past, {"state", 2});
    deliver({with_orders(epoch_of(4, {"4:1<3:1"}), {"1:1"})});
    EXPECT_THAT(book_.calls,
                ElementsAre(ElementsAre("1:1"), ElementsAre("2:1"), ElementsAre("3:1"), ElementsAre("4:1")));
    EXPECT_EQ(taken()[0], fmt::format("1:1 {} 5 doc 1:1 ", kAccepted));
    EXPECT_EQ(writer_->status().held, 0u);
}

TEST_F(SinkWriterTest, WhereNothingWaitsNothingIsSentAndNothingIsWorthAFrame) {
    SinkPast past;
    past.until = past.position.settled = 2;
    writer_->resume(past, {"state", 2});
    deliver({epoch_of(1, {"1:1"}), epoch_of(2, {"2:1"}), epoch_of(3, {})});
    EXPECT_THAT(book_.calls, IsEmpty());
    EXPECT_FALSE(writer_->has_answers());
    EXPECT_FALSE(book_.past->unconfirmed);
    EXPECT_EQ(writer_->status().sent_again, 0u);
}

TEST_F(SinkWriterTest, OfAnEpochThatIsUnknownInPartEachPostingSpeaksForItself) {
    // Until answers are taken the sink does not know of the second posting.
    book_.unknown = {"1:2"};
    ASSERT_TRUE(writer_->start().ok());
    ASSERT_TRUE(writer_->push(epoch_of(1, {"1:1", "1:2"})));
    while (!writer_->has_answers()) std::this_thread::yield();
    const auto texts = taken();
    ASSERT_EQ(texts.size(), 2u);
    EXPECT_EQ(texts[0], fmt::format("1:1 {} 1 doc 1:1 ", static_cast<int>(DeliveryState::accepted)));
    EXPECT_THAT(texts[1],
                testing::MatchesRegex(fmt::format("1:2 {} [0-9]+  late", static_cast<int>(DeliveryState::unknown))));
    {
        std::lock_guard lock(book_.mutex);
        book_.unknown.clear();
    }
    writer_->finish();
    EXPECT_EQ(taken().back(), "ledger settled 1 at " + std::to_string(book_.stored));
}

TEST_F(SinkWriterTest, WhatIsRefusedAtLastIsNotUnknownAnyMore) {
    book_.answers["1:1"] = {{Sink::State::unknown, {}, "late"}, {Sink::State::refused, {}, "CLOSED"}};
    book_.unknown = {"1:2"};
    ASSERT_TRUE(writer_->start().ok());
    ASSERT_TRUE(writer_->push(epoch_of(1, {"1:1", "1:2"})));
    while (writer_->status().refused == 0) std::this_thread::yield();
    const auto texts = taken();
    ASSERT_EQ(texts.size(), 2u);
    EXPECT_EQ(texts[0], fmt::format("1:1 {} 2  CLOSED", kRefused));
    EXPECT_THAT(texts[1], testing::StartsWith(fmt::format("1:2 {} ", static_cast<int>(DeliveryState::unknown))));
    {
        std::lock_guard lock(book_.mutex);
        book_.unknown.clear();
    }
    writer_->finish();
}

}  // namespace
}  // namespace takt
