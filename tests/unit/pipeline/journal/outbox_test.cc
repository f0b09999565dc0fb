#include "pipeline/journal/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "pipeline/journal/journal.h"
#include "tests/support/simulated_disk.h"
#include "tests/unit/pipeline/journal/sample_frame.h"

namespace takt {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Posting posting_of(std::uint64_t epoch, int number, const std::string& type = "goods_receipt") {
    Posting posting;
    posting.key = to_hex(hash128(fmt::format("{}-{}", epoch, number)));
    posting.payload_hash = to_hex(hash128(posting.key));
    posting.type = type;
    posting.amount = static_cast<Int128>(epoch) * 100 + number;
    posting.currency = number % 2 == 0 ? "EUR" : "USD";
    posting.epoch = epoch;
    return posting;
}

/// An epoch with so many postings.
StoredFrame frame_of(std::uint64_t epoch, int postings) {
    StoredFrame stored;
    stored.sources = {"floor"};
    stored.frame.result.epoch = epoch;
    stored.frame.result.cuts.resize(1);
    for (int number = 0; number < postings; ++number)
        stored.frame.result.postings.push_back(posting_of(epoch, number, number == 0 ? "scrap" : "goods_receipt"));
    return stored;
}

SinkConfirmation said(const Posting& posting, DeliveryState state, const std::string& reason = {}) {
    SinkConfirmation said;
    said.sink = "ledger";
    said.key = posting.key;
    said.state = state;
    said.attempt = 1;
    said.reason = reason;
    return said;
}

SinkPosition settled(std::uint64_t epoch, const std::string& sink = "ledger") {
    SinkPosition position;
    position.sink = sink;
    position.settled = epoch;
    return position;
}

OutboxTotal total_of(const std::vector<Posting>& postings) {
    OutboxTotal total;
    for (const Posting& posting : postings) {
        ++total.count;
        total.amounts[{posting.currency, posting.amount_scale}] += posting.amount;
        total.postings += hash128(posting.key + posting.payload_hash);
    }
    return total;
}

std::vector<std::string> keys_of(const std::list<SinkOutbox::Entry>& entries) {
    std::vector<std::string> keys;
    for (const SinkOutbox::Entry& entry : entries) keys.push_back(entry.posting->key);
    return keys;
}

TEST(Outbox, APositionAcceptsAnEpochButForWhatIsSaidOtherwise) {
    Outbox outbox;
    StoredFrame first = frame_of(1, 4);
    first.frame.routes = {{"ledger", {}}};
    first.frame.result.postings[3].previous_key = first.frame.result.postings[1].key;
    outbox.add(first);
    const std::vector<Posting>& made = first.frame.result.postings;
    EXPECT_EQ(outbox.find("ledger")->total(DeliveryState::ready), total_of(made));

    StoredFrame second = frame_of(2, 1);
    second.frame.confirmations = {said(made[1], DeliveryState::refused, "PERIOD_CLOSED"),
                                  said(made[3], DeliveryState::parked, kEarlierRevision)};
    second.frame.positions = {settled(1)};
    outbox.add(second);
    const SinkOutbox& ledger = *outbox.find("ledger");
    EXPECT_EQ(ledger.total(DeliveryState::accepted), total_of({made[0], made[2]}));
    EXPECT_EQ(ledger.total(DeliveryState::refused), total_of({made[1]}));
    EXPECT_EQ(ledger.total(DeliveryState::parked), total_of({made[3]}));
    EXPECT_EQ(ledger.total(DeliveryState::ready), total_of(second.frame.result.postings));
    EXPECT_EQ(ledger.settled, 1u);
    EXPECT_THAT(keys_of(ledger.waiting), ElementsAre(second.frame.result.postings[0].key));
    EXPECT_THAT(keys_of(ledger.held), ElementsAre(made[1].key, made[3].key));
    EXPECT_EQ(ledger.held.front().last.reason, "PERIOD_CLOSED");
}

TEST(Outbox, OfAnEpochThatIsUnknownInPartEachPostingSpeaksForItself) {
    Outbox outbox;
    StoredFrame first = frame_of(1, 3);
    first.frame.routes = {{"ledger", {}}};
    outbox.add(first);
    const std::vector<Posting>& made = first.frame.result.postings;
    StoredFrame second = frame_of(2, 0);
    second.frame.confirmations = {said(made[0], DeliveryState::accepted), said(made[1], DeliveryState::unknown)};
    outbox.add(second);
    const SinkOutbox& ledger = *outbox.find("ledger");
    EXPECT_EQ(ledger.total(DeliveryState::accepted), total_of({made[0]}));
    EXPECT_EQ(ledger.total(DeliveryState::unknown), total_of({made[1]}));
    EXPECT_THAT(keys_of(ledger.waiting), ElementsAre(made[1].key, made[2].key));
    StoredFrame third = frame_of(3, 0);
    third.frame.positions = {settled(1)};
    outbox.add(third);
    EXPECT_EQ(ledger.total(DeliveryState::accepted), total_of(made));
    EXPECT_EQ(ledger.total(DeliveryState::unknown), OutboxTotal{});
    EXPECT_THAT(ledger.waiting, IsEmpty());
}

HoldOrder order_about(const Posting& posting, HoldOrder::Action action) {
    HoldOrder order;
    order.action = action;
    order.sink = "ledger";
    order.key = posting.key;
    order.reference = action == HoldOrder::Action::close ? "4711" : "";
    order.who = "anna";
    order.why = "the period is open again";
    return order;
}

/// Of four postings one is refused, and one waits behind it.
Outbox outbox_with_holds(std::vector<Posting>& made) {
    Outbox outbox;
    StoredFrame first = frame_of(1, 4);
    first.frame.routes = {{"ledger", {}}};
    first.frame.result.postings[3].previous_key = first.frame.result.postings[1].key;
    outbox.add(first);
    made = first.frame.result.postings;
    StoredFrame second = frame_of(2, 0);
    second.frame.confirmations = {said(made[1], DeliveryState::refused, "PERIOD_CLOSED"),
                                  said(made[3], DeliveryState::parked, kEarlierRevision)};
    second.frame.positions = {settled(1)};
    outbox.add(second);
    return outbox;
}

TEST(Outbox, WhatIsOrderedToBeSentAgainWaitsUntilTheOrdersEpochIsSettled) {
    std::vector<Posting> made;
    Outbox outbox = outbox_with_holds(made);
    StoredFrame third = frame_of(3, 1);
    third.frame.result.cut.orders = {order_about(made[1], HoldOrder::Action::resend),
                                     order_about(made[0], HoldOrder::Action::resend)};
    outbox.add(third);
    const SinkOutbox& ledger = *outbox.find("ledger");
    EXPECT_THAT(ledger.held, IsEmpty());
    EXPECT_THAT(keys_of(ledger.waiting), ElementsAre(made[1].key, made[3].key, third.frame.result.postings[0].key));
    EXPECT_EQ(ledger.total(DeliveryState::accepted), total_of({made[0], made[2]})) << "it was not held";
    // A position from before the order says nothing of it; nor does an answer that is none yet.
    StoredFrame fourth = frame_of(4, 0);
    fourth.frame.positions = {settled(2)};
    fourth.frame.confirmations = {said(made[1], DeliveryState::unknown)};
    outbox.add(fourth);
    EXPECT_EQ(ledger.waiting.size(), 3u);
    StoredFrame fifth = frame_of(5, 0);
    fifth.frame.confirmations = {said(made[1], DeliveryState::refused, "STILL"),
                                 said(made[3], DeliveryState::parked, kEarlierRevision)};
    fifth.frame.positions = {settled(3)};
    outbox.add(fifth);
    EXPECT_THAT(ledger.waiting, IsEmpty());
    EXPECT_THAT(keys_of(ledger.held), ElementsAre(made[1].key, made[3].key));
}

/// The sink parked it behind one that an order has let go before the parking was in a frame.
TEST(Outbox, AParkingThatComesAfterTheOrderThatEndedItIsNone) {
    std::vector<Posting> made;
    Outbox outbox = outbox_with_holds(made);
    StoredFrame third = frame_of(3, 1);
    third.frame.result.postings[0].previous_key = made[3].key;
    outbox.add(third);
    StoredFrame fourth = frame_of(4, 0);
    fourth.frame.result.cut.orders = {order_about(made[1], HoldOrder::Action::resend)};
    outbox.add(fourth);
    const Posting& late = third.frame.result.postings[0];
    StoredFrame fifth = frame_of(5, 0);
    fifth.frame.confirmations = {said(late, DeliveryState::parked, kEarlierRevision)};
    fifth.frame.positions = {settled(3)};
    outbox.add(fifth);
    const SinkOutbox& ledger = *outbox.find("ledger");
    EXPECT_THAT(ledger.held, IsEmpty());
    EXPECT_EQ(ledger.waiting.size(), 3u) << "nothing says that it was accepted";
    StoredFrame sixth = frame_of(6, 0);
    sixth.frame.positions = {settled(5)};
    outbox.add(sixth);
    EXPECT_THAT(ledger.waiting, IsEmpty());
    EXPECT_EQ(ledger.total(DeliveryState::accepted).count, 5u);
}

TEST(Outbox, WhatIsClosedIsNeitherHeldNorAccepted) {
    std::vector<Posting> made;
    Outbox outbox = outbox_with_holds(made);
    StoredFrame third = frame_of(3, 0);
    third.frame.result.cut.orders = {order_about(made[1], HoldOrder::Action::close)};
    outbox.add(third);
    StoredFrame fourth = frame_of(4, 0);
    fourth.frame.positions = {settled(3)};
    outbox.add(fourth);
    const SinkOutbox& ledger = *outbox.find("ledger");
    EXPECT_EQ(ledger.total(DeliveryState::closed), total_of({made[1]}));
    EXPECT_EQ(ledger.total(DeliveryState::accepted), total_of({made[0], made[2], made[3]}));
    EXPECT_THAT(ledger.held, IsEmpty());
    // It is still known, with who and why.
    ASSERT_THAT(keys_of(ledger.closed), ElementsAre(made[1].key));
    EXPECT_EQ(ledger.closed.front().last.owner, "anna");
    EXPECT_EQ(ledger.closed.front().last.reason, "the period is open again");
    EXPECT_EQ(ledger.closed.front().last.reference, "4711");
}

TEST(Outbox, ASinkGetsWhatItsRouteSaysFromTheFrameThatNamesItOn) {
    Outbox outbox;
    StoredFrame first = frame_of(1, 2);
    first.frame.routes = {{"ledger", {}}, {"waste", {"scrap"}}};
    outbox.add(first);
    StoredFrame second = frame_of(2, 2);
    second.frame.routes = {{"ledger", {}}, {"archive", {}}};
    outbox.add(second);
    EXPECT_EQ(outbox.find("ledger")->total(DeliveryState::ready).count, 4u);
    EXPECT_THAT(keys_of(outbox.find("waste")->waiting), ElementsAre(posting_of(1, 0).key));
    EXPECT_TRUE(outbox.find("waste")->gone);
    EXPECT_EQ(outbox.find("archive")->total(DeliveryState::ready), total_of(second.frame.result.postings));
    EXPECT_EQ(outbox.find("archive")->settled, 1u);
    EXPECT_EQ(outbox.find("stdout"), nullptr);
}

std::string text_of(const Outbox& outbox) {
    std::string text = fmt::format("epoch {}\n", outbox.epoch());
    for (const SinkOutbox& sink : outbox.sinks()) {
        text += fmt::format("{} gone {} settled {} at {}\n", sink.sink, sink.gone, sink.settled,
                            sink.position.last_sequence);
        for (const auto* list : {&sink.waiting, &sink.held, &sink.closed}) {
            for (const SinkOutbox::Entry& entry : *list)
                text += fmt::format(" {} {} {} {} {} {}\n", entry.posting->key, int(entry.last.state),
                                    entry.last.reason, entry.last.owner, entry.last.reference, entry.last.time);
        }
        for (std::size_t state = 0; state < kDeliveryStates; ++state) {
            const OutboxTotal& total = sink.totals[state];
            text += fmt::format(" {} {} {}", state, total.count, to_hex(total.postings));
            for (const auto& [of, units] : total.amounts)
                text += fmt::format(" {}{}:{}", of.first, of.second, sample::number(units));
            text += '\n';
        }
    }
    return text;
}

/// Epochs of a ledger that refuses, parks and forgets now and then, of people who end holds, and of a sink that goes
/// and comes.
std::vector<StoredFrame> history(std::uint64_t seed, std::uint64_t epochs) {
    std::mt19937_64 chance(seed);
    std::vector<StoredFrame> frames;
    std::uint64_t behind = 0;
    for (std::uint64_t epoch = 1; epoch <= epochs; ++epoch) {
        StoredFrame& frame = frames.emplace_back(frame_of(epoch, static_cast<int>(chance() % 4)));
        if (epoch % 9 == 1) frame.frame.routes = {{"ledger", {}}};
        if (epoch % 27 == 1) frame.frame.routes.push_back({"waste", {"scrap"}});
        for (; behind + 1 < epoch && chance() % 3 > 0; ++behind) {
            for (const Posting& posting : frames[behind].frame.result.postings) {
                if (chance() % 5 == 0)
                    frame.frame.confirmations.push_back(
                        said(posting, chance() % 2 == 0 ? DeliveryState::refused : DeliveryState::parked, "why"));
            }
        }
        if (chance() % 2 == 0) frame.frame.positions.push_back(settled(behind));
        if (epoch > 3 && chance() % 4 == 0) {
            for (const Posting& posting : frames[chance() % (epoch - 1)].frame.result.postings)
                frame.frame.result.cut.orders.push_back(
                    order_about(posting, chance() % 3 == 0 ? HoldOrder::Action::close : HoldOrder::Action::resend));
        }
    }
    return frames;
}

TEST(Outbox, WhatIsSavedAtAnyFrameGoesOnAsIfItNeverWas) {
    const auto frames = history(1, 60);
    Outbox whole;
    for (const StoredFrame& frame : frames) whole.add(frame);
    ASSERT_GT(whole.find("ledger")->held.size(), 5u);
    ASSERT_GT(whole.find("ledger")->total(DeliveryState::closed).count, 0u);
    for (std::size_t at = 0; at <= frames.size(); at += 7) {
        SimulatedDisk disk(1);
        Outbox before;
        for (std::size_t i = 0; i < at; ++i) before.add(frames[i]);
        if (at > 0) {
            FrameContext context = sample::context();
            ASSERT_TRUE(before.save(disk, "./OUTBOX", context).ok());
        }
        auto after = Outbox::load(disk, "./OUTBOX");
        ASSERT_TRUE(after) << after.error().text();
        EXPECT_EQ(text_of(*after), text_of(before)) << "at " << at;
        // Frames that are in it already change nothing.
        for (const StoredFrame& frame : frames) after->add(frame);
        EXPECT_EQ(text_of(*after), text_of(whole)) << "at " << at;
    }
}

TEST(Outbox, EveryPostingIsInExactlyOneState) {
    const auto frames = history(2, 80);
    Outbox outbox;
    std::vector<Posting> made;
    for (const StoredFrame& frame : frames) {
        outbox.add(frame);
        made.insert(made.end(), frame.frame.result.postings.begin(), frame.frame.result.postings.end());
        OutboxTotal all;
        for (const OutboxTotal& total : outbox.find("ledger")->totals) {
            all.count += total.count;
            all.postings += total.postings;
            for (const auto& [of, units] : total.amounts) all.amounts[of] += units;
        }
        ASSERT_EQ(all, total_of(made)) << "epoch " << outbox.epoch();
    }
}

TEST(Outbox, OfADirectoryIsReadWithoutTouchingIt) {
    SimulatedDisk disk(1);
    EXPECT_THAT(*read_outbox(disk, "./state"), IsEmpty());
    ASSERT_FALSE(disk.make_directory("./state"));
    ASSERT_FALSE(disk.make_directory("./state/journal"));
    FrameContext context = sample::context();
    context.sources = {"floor"};
    const auto frames = history(3, 40);
    Outbox expected;
    {
        auto journal = Journal::open(disk, "./state/journal", context, {.segment_bytes = 1u << 14});
        ASSERT_TRUE(journal) << journal.error().text();
        for (const StoredFrame& frame : frames) {
            ASSERT_TRUE((*journal)->append(frame.frame).ok());
            expected.add(frame);
        }
        // The first segments go, as StateLog lets them go: with what they have left in OUTBOX.
        const std::uint64_t last = (*journal)->last_dropped_before(30);
        ASSERT_GT(last, 5u);
        Outbox removed;
        for (std::uint64_t epoch = 1; epoch <= last; ++epoch) removed.add(frames[epoch - 1]);
        ASSERT_TRUE(removed.save(disk, outbox_path("./state"), context).ok());
        ASSERT_TRUE((*journal)->drop_before(30).ok());
        EXPECT_EQ((*journal)->first_epoch(), last + 1);
    }
    const std::uint64_t before = disk.operations();
    const auto read = read_outbox(disk, "./state");
    ASSERT_TRUE(read) << read.error().text();
    EXPECT_EQ(disk.operations(), before);
    ASSERT_EQ(read->size(), expected.sinks().size());
    for (std::size_t i = 0; i < read->size(); ++i) {
        EXPECT_EQ((*read)[i].totals, expected.sinks()[i].totals);
        EXPECT_EQ(keys_of((*read)[i].waiting), keys_of(expected.sinks()[i].waiting));
    }
    ASSERT_FALSE(disk.unlink("./state/OUTBOX"));
    const auto without = read_outbox(disk, "./state");
    ASSERT_FALSE(without);
    EXPECT_EQ(without.error().code, "F707");
}

}  // namespace
}  // namespace takt
