#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sinks/jetstream.h"
#include "sinks/nats.h"
#include "sinks/nats_subject.h"
#include "sinks/posting_flatbuffers.h"
#include "sinks/posting_json.h"
#include "tests/support/nats_server.h"

namespace takt {
namespace {

using testing::HasSubstr;

Posting posting(int number, std::string_view hash = "11111111111111111111111111111111") {
    Posting posting;
    posting.key = fmt::format("{:032x}", number);
    posting.payload_hash = hash;
    posting.type = "goods_receipt";
    posting.pipeline = "plant";
    posting.window_start = 0;
    posting.window_end = 8 * kHour;
    posting.key_fields = {{"plant", "P100"}, {"lot", ""}};
    posting.quantity = -1'500'000;
    posting.quantity_cumulative = 2'000'000;
    posting.unit = "pc";
    posting.amount = 1234;
    posting.amount_cumulative = 5;
    posting.currency = "EUR";
    posting.lines = {{"130000", "", Side::debit, 1234}, {"890000", "4000", Side::credit, 1234}};
    posting.lineage.ranges = {{"floor", 1, 9}};
    posting.lineage.events = 7;
    return posting;
}

std::vector<Sink::Delivery> deliver(Sink& sink, const std::vector<Posting>& postings) {
    Result<std::vector<Sink::Delivery>> delivered = sink.deliver(postings);
    EXPECT_TRUE(delivered.ok());
    return std::move(delivered).value();
}

TEST(PostingJson, IsOneLineWithExactDecimals) {
    EXPECT_EQ(
        posting_json(posting(255)),
        R"({"key":"000000000000000000000000000000ff","payload_hash":"11111111111111111111111111111111","type":"goods_receipt",)"
        R"("pipeline":"plant","revision":1,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T08:00:00Z",)"
        R"("posting_date":"1970-01-01","key_fields":{"plant":"P100"},"quantity":"-1.500000","quantity_cumulative":"2.000000",)"
        R"("unit":"pc","amount":"12.34","amount_cumulative":"0.05","currency":"EUR","lines":[{"account":"130000","side":"debit",)"
        R"("amount":"12.34"},{"account":"890000","cost_center":"4000","side":"credit","amount":"12.34"}],"lineage":{"ranges":)"
        R"([{"source":"floor","first_sequence":1,"last_sequence":9}],"events":7,"ids":"00000000000000000000000000000000"},"epoch":0})");
}

TEST(PostingJson, EscapesTextAndKeepsOtherBytesInBase64) {
    std::string text;
    append_json_string(text, "a\"\\\n\x01 \xC3\xA4 \xFF");
    EXPECT_EQ(text, "\"a\\\"\\\\\\n\\u0001 \xC3\xA4 \xEF\xBF\xBD\"");
    DeadLetter letter;
    letter.source = "floor";
    letter.sequence = 3;
    letter.reason = "DECODE";
    letter.bytes = "{\"x\":1";
    EXPECT_THAT(dead_letter_json(letter), HasSubstr(R"("bytes":"{\"x\":1")"));
    letter.bytes = "\xFF\x01";
    EXPECT_THAT(dead_letter_json(letter), HasSubstr(R"("bytes_base64":"/wE=")"));
}

TEST(NatsSubject, FillsInWhatAPostingHolds) {
    Posting one = posting(1);
    one.key_fields[0].value = "P 1.00*";
    EXPECT_EQ(NatsSubject::parse("ledger.{type}.{plant}.{lot}.{key}").value().of(one),
              "ledger.goods_receipt.P_1_00_._.00000000000000000000000000000001");
    EXPECT_EQ(NatsSubject::parse("ledger.x{type}").value().pattern(), "ledger.>");
    EXPECT_EQ(NatsSubject::parse("ledger.all").value().pattern(), "ledger.all");
    for (const char* wrong : {"", ".", "a..b", "a.", "a.*", "a.>", "a.{type", "a.{}", "a b"})
        EXPECT_EQ(NatsSubject::parse(wrong).error().code, "C525") << wrong;
}

class NatsSinkTest : public testing::Test {
  protected:
    void SetUp() override {
        server_ = NatsServer::start({.extra_config = "", .jetstream = true, .max_payload_bytes = 64 << 10});
        if (!server_) GTEST_SKIP() << "no nats-server on this machine";
        options_.server = {server_->url()};
        options_.ack_timeout = std::chrono::milliseconds(500);
        NatsConnectionOptions options;
        options.server = {server_->url()};
        reader_ = NatsConnection::connect(options, NatsConnection::Use::consume).value();
        jetstream_ = reader_->jetstream(std::chrono::seconds(5)).value();
    }
    std::uint64_t stored() const {
        jsStreamInfo* found = nullptr;
        EXPECT_EQ(js_GetStreamInfo(&found, jetstream_.get(), "LEDGER", nullptr, nullptr), NATS_OK);
        const StreamInfoHandle info(found);
        return info ? info->State.Msgs : 0;
    }
    NatsMessageHandle message(std::uint64_t sequence) const {
        natsMsg* found = nullptr;
        EXPECT_EQ(js_GetMsg(&found, jetstream_.get(), "LEDGER", sequence, nullptr, nullptr), NATS_OK);
        return NatsMessageHandle(found);
    }
    static std::vector<Posting> postings(int from, int to) {
        std::vector<Posting> list;
        for (int i = from; i < to; ++i) list.push_back(posting(i));
        return list;
    }

    std::unique_ptr<NatsServer> server_;
    JetStreamSink::Options options_;
    std::unique_ptr<NatsConnection> reader_;
    JetStreamHandle jetstream_;
};

TEST_F(NatsSinkTest, KeepsPostingsInOrderAndARepeatTakesNoEffect) {
    JetStreamSink sink(options_);
    ASSERT_TRUE(sink.open().ok());
    const auto first = deliver(sink, postings(0, 1000));
    ASSERT_EQ(first.size(), 1000u);
    for (std::size_t i = 0; i < first.size(); ++i) {
        ASSERT_EQ(first[i].state, Sink::State::accepted) << first[i].reason;
        ASSERT_EQ(first[i].reference, fmt::format("LEDGER:{}", i + 1));
    }
    const auto again = deliver(sink, postings(990, 1010));
    for (std::size_t i = 0; i < again.size(); ++i) EXPECT_EQ(again[i].reference, fmt::format("LEDGER:{}", 991 + i));
    EXPECT_EQ(stored(), 1010u);
    const NatsMessageHandle one = message(1);
    EXPECT_EQ(nats_data(one.get()), posting_json(posting(0)));
    EXPECT_EQ(std::string(natsMsg_GetSubject(one.get())), "ledger.goods_receipt." + posting(0).key);
}

TEST_F(NatsSinkTest, EachPostingHasASubjectThatTheStreamTakesOnce) {
    JetStreamSink sink(options_);
    ASSERT_TRUE(sink.open().ok());
    const std::vector<Posting> one = {posting(1)};
    ASSERT_EQ(deliver(sink, one)[0].reference, "LEDGER:1");
    // The fence is the stream's: whoever publishes there for an empty subject finds it taken, whatever the message's
    // id.
    jsPubOptions other;
    jsPubOptions_Init(&other);
    other.MsgId = "another id";
    other.ExpectNoMessage = true;
    jsErrCode code{};
    const std::string subject = "ledger.goods_receipt." + posting(1).key;
    EXPECT_NE(js_Publish(nullptr, jetstream_.get(), subject.c_str(), "x", 1, &other, &code), NATS_OK);
    EXPECT_EQ(static_cast<int>(code), 10071);
    EXPECT_EQ(stored(), 1u);
}

TEST_F(NatsSinkTest, SendsFlatBuffersWhereTheyAreExact) {
    JetStreamSink::Options options = options_;
    options.format = MessageFormat::flatbuffers;
    JetStreamSink sink(options);
    ASSERT_TRUE(sink.open().ok());
    std::vector<Posting> list = postings(0, 3);
    list[1].quantity = Int128{INT64_MAX} + 1;
    const auto deliveries = deliver(sink, list);
    EXPECT_EQ(deliveries[0].reference, "LEDGER:1");
    EXPECT_EQ(deliveries[1].state, Sink::State::refused);
    EXPECT_EQ(deliveries[1].reason, "OUT_OF_RANGE");
    EXPECT_EQ(deliveries[2].reference, "LEDGER:2");
    const auto read = read_posting_flatbuffer(nats_data(message(2).get()));
    ASSERT_TRUE(read);
    EXPECT_EQ(posting_json(*read), posting_json(list[2]));
    DeadLetter letter;
    letter.source = "floor";
    letter.reason = "DECODE";
    letter.bytes = "\xFF";
    ASSERT_TRUE(sink.keep(std::vector<DeadLetter>{letter}).ok());
    EXPECT_EQ(read_dead_letter_flatbuffer(nats_data(message(3).get())).value().bytes, "\xFF");
}

TEST_F(NatsSinkTest, TheSameKeyWithAnotherPayloadIsAConflict) {
    for (const char* subject : {"ledger.{type}", "ledger.{type}.{key}"}) {
        JetStreamSink::Options options = options_;
        options.subject = subject;
        JetStreamSink sink(options);
        ASSERT_TRUE(sink.open().ok());
        const int number = subject[std::strlen(subject) - 2] == 'y' ? 2 : 1;
        const std::vector<Posting> original = {posting(number)};
        const std::vector<Posting> changed = {posting(number, "22222222222222222222222222222222")};
        EXPECT_EQ(deliver(sink, original)[0].state, Sink::State::accepted);
        const Sink::Delivery conflict = deliver(sink, changed)[0];
        EXPECT_EQ(conflict.state, Sink::State::refused);
        EXPECT_EQ(conflict.reason, "IDEMPOTENCY_CONFLICT");
    }
    EXPECT_EQ(stored(), 2u);
}

TEST_F(NatsSinkTest, AKeyInTheSubjectHoldsBeyondTheDuplicateWindow) {
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    const char* subjects[] = {"ledger.>"};
    config.Name = "LEDGER";
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Duplicates = 100 * kMillisecond;
    ASSERT_EQ(js_AddStream(nullptr, jetstream_.get(), &config, nullptr, nullptr), NATS_OK);
    JetStreamSink::Options options = options_;
    options.subject = "ledger.{type}.{key}";
    JetStreamSink sink(options);
    ASSERT_TRUE(sink.open().ok());
    const std::vector<Posting> one = {posting(1)};
    ASSERT_EQ(deliver(sink, one)[0].reference, "LEDGER:1");
    // Until the window is over: an id of its own, sent with a fresh subject each time, is stored a second time.
    const Timestamp end = system_clock().monotonic() + 10 * kSecond;
    for (int i = 0; stored() < 3 && system_clock().monotonic() < end; ++i) {
        jsPubOptions probe;
        jsPubOptions_Init(&probe);
        probe.MsgId = "probe";
        js_Publish(nullptr, jetstream_.get(), "ledger.probe", "x", 1, &probe, nullptr);
    }
    ASSERT_EQ(stored(), 3u);
    const Sink::Delivery again = deliver(sink, one)[0];
    EXPECT_EQ(again.state, Sink::State::accepted);
    EXPECT_EQ(again.reference, "LEDGER:1");
    EXPECT_EQ(stored(), 3u);
}

// Servers (2.9) count the messages of a filter wrongly where a subject has several, from a sequence in the middle on.
TEST_F(NatsSinkTest, AStartReadsBackToTheEndWhateverTheServerCounts) {
    std::vector<DeadLetter> letters(3);
    const auto keep = [&](JetStreamSink& sink, int round) {
        for (std::size_t i = 0; i < letters.size(); ++i) {
            letters[i].source = "floor";
            letters[i].sequence = 10 * static_cast<std::uint64_t>(round) + i;
        }
        ASSERT_TRUE(sink.keep(letters).ok());
    };
    constexpr int kRounds = 40;
    std::vector<SinkPosition> positions;
    {
        JetStreamSink first(options_);
        first.resume({.run = {"state", 1}, .confirmed = {}, .unconfirmed = false});
        ASSERT_TRUE(first.open().ok());
        for (int round = 0; round < kRounds; ++round) {
            deliver(first, postings(5 * round, 5 * round + 5));
            keep(first, round);
            positions.push_back(first.position());
        }
    }
    const std::uint64_t all = stored();
    ASSERT_EQ(all, 8u * kRounds);
    for (std::size_t from = 0; from < positions.size(); from += 3) {
        JetStreamSink next(options_);
        next.resume({.run = {"state", 2}, .confirmed = positions[from], .unconfirmed = true});
        const Status opened = next.open();
        ASSERT_TRUE(opened.ok()) << "after " << positions[from].last_sequence << ": " << opened.error().text();
        for (int round = static_cast<int>(from) + 1; round < kRounds; ++round) {
            for (const Sink::Delivery& one : deliver(next, postings(5 * round, 5 * round + 5)))
                ASSERT_EQ(one.state, Sink::State::accepted);
            keep(next, round);
        }
    }
    EXPECT_EQ(stored(), all);
}

TEST_F(NatsSinkTest, AStartReadsBackWhatWasSentHoweverLongAgo) {
    // Nothing in the subject tells postings apart, and the duplicate window is over when the second run sends.
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    const char* subjects[] = {"ledger.>"};
    config.Name = "LEDGER";
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Duplicates = 100 * kMillisecond;
    ASSERT_EQ(js_AddStream(nullptr, jetstream_.get(), &config, nullptr, nullptr), NATS_OK);
    JetStreamSink::Options options = options_;
    options.subject = "ledger.{type}";
    std::vector<DeadLetter> letters(1);
    letters[0].source = "floor";
    SinkPosition confirmed;
    {
        JetStreamSink first(options);
        first.resume({.run = {"state", 1}, .confirmed = {}, .unconfirmed = false});
        ASSERT_TRUE(first.open().ok());
        deliver(first, postings(0, 10));
        confirmed = first.position();
        EXPECT_EQ(confirmed.last_sequence, 10u);
        deliver(first, postings(10, 1200));
        ASSERT_TRUE(first.keep(letters).ok());
    }
    const Timestamp end = system_clock().monotonic() + 10 * kSecond;
    while (stored() < 1203 && system_clock().monotonic() < end) {
        jsPubOptions probe;
        jsPubOptions_Init(&probe);
        probe.MsgId = "probe";
        js_Publish(nullptr, jetstream_.get(), "ledger.probe", "x", 1, &probe, nullptr);
    }
    ASSERT_EQ(stored(), 1203u);
    JetStreamSink second(options);
    second.resume({.run = {"state", 2}, .confirmed = confirmed, .unconfirmed = true});
    ASSERT_TRUE(second.open().ok());
    EXPECT_EQ(second.position(), confirmed) << "what was not confirmed must be found by the next start, too";
    const auto again = deliver(second, postings(10, 1201));
    for (std::size_t i = 0; i + 1 < again.size(); ++i) ASSERT_EQ(again[i].reference, fmt::format("LEDGER:{}", 11 + i));
    EXPECT_EQ(again.back().reference, "LEDGER:1204");
    ASSERT_TRUE(second.keep(letters).ok());
    EXPECT_EQ(stored(), 1204u) << "the dead letter is there already";
    EXPECT_EQ(second.position().last_sequence, 1204u);
    const std::vector<Posting> changed = {posting(700, "22222222222222222222222222222222")};
    const Sink::Delivery conflict = deliver(second, changed)[0];
    EXPECT_EQ(conflict.state, Sink::State::refused);
    EXPECT_EQ(conflict.reason, "IDEMPOTENCY_CONFLICT");
}

TEST_F(NatsSinkTest, AStreamThatHasLostPostingsIsRefused) {
    JetStreamSink first(options_);
    first.resume({.run = {"state", 1}, .confirmed = {}, .unconfirmed = false});
    ASSERT_TRUE(first.open().ok());
    deliver(first, postings(0, 3));
    SinkPosition beyond = first.position();
    beyond.last_sequence = 4;
    SinkPosition of_another = first.position();
    *of_another.created -= 1;
    for (const SinkPosition& confirmed : {beyond, of_another}) {
        JetStreamSink second(options_);
        second.resume({.run = {"state", 2}, .confirmed = confirmed, .unconfirmed = true});
        const Status opened = second.open();
        ASSERT_FALSE(opened.ok());
        EXPECT_EQ(opened.error().code, "F524");
        EXPECT_THAT(opened.error().message, HasSubstr("SINK_REGRESSION"));
    }
}

TEST_F(NatsSinkTest, WithoutAnAnswerTheStateIsUnknownAndSendingAgainIsSafe) {
    JetStreamSink sink(options_);
    ASSERT_TRUE(sink.open().ok());
    server_->pause();
    const std::vector<Posting> list = postings(0, 5);
    for (const Sink::Delivery& delivery : deliver(sink, list)) EXPECT_EQ(delivery.state, Sink::State::unknown);
    server_->resume();
    const Timestamp end = system_clock().monotonic() + 20 * kSecond;
    std::size_t accepted = 0;
    while (accepted < list.size() && system_clock().monotonic() < end) {
        accepted = 0;
        for (const Sink::Delivery& delivery : deliver(sink, list))
            accepted += delivery.state == Sink::State::accepted ? 1 : 0;
    }
    EXPECT_EQ(accepted, list.size());
    EXPECT_EQ(stored(), 5u);
}

TEST_F(NatsSinkTest, RefusesWhatTheServerTakesNever) {
    JetStreamSink sink(options_);
    ASSERT_TRUE(sink.open().ok());
    std::vector<Posting> list = postings(0, 2);
    list[0].correlation_id.assign(100'000, 'x');
    const auto deliveries = deliver(sink, list);
    EXPECT_EQ(deliveries[0].state, Sink::State::refused);
    EXPECT_EQ(deliveries[0].reason, "TOO_LARGE");
    EXPECT_EQ(deliveries[1].state, Sink::State::accepted);
}

TEST_F(NatsSinkTest, KeepsEachDeadLetterOnce) {
    JetStreamSink sink(options_);
    ASSERT_TRUE(sink.open().ok());
    DeadLetter letter;
    letter.source = "floor";
    letter.reason = "DECODE";
    std::vector<DeadLetter> letters(3, letter);
    for (std::size_t i = 0; i < letters.size(); ++i) letters[i].part = static_cast<std::uint32_t>(i % 2);
    ASSERT_TRUE(sink.keep(letters).ok());
    EXPECT_EQ(stored(), 2u);
    EXPECT_EQ(std::string(natsMsg_GetSubject(message(1).get())), "ledger.dead_letters");
}

TEST_F(NatsSinkTest, CoreNatsGetsWhatIsDelivered) {
    natsSubscription* made = nullptr;
    ASSERT_EQ(natsConnection_SubscribeSync(&made, reader_->get(), "bus.>"), NATS_OK);
    const NatsSubscriptionHandle listener(made);
    ASSERT_EQ(natsConnection_Flush(reader_->get()), NATS_OK);
    NatsSink::Options options;
    options.server = {server_->url()};
    options.subject = "bus.{type}";
    options.dead_letters = "bus.dead";
    options.timeout = std::chrono::milliseconds(500);
    NatsSink sink(options);
    ASSERT_TRUE(sink.open().ok());
    const std::vector<Posting> list = postings(0, 2);
    for (const Sink::Delivery& delivery : deliver(sink, list)) EXPECT_EQ(delivery.state, Sink::State::accepted);
    ASSERT_TRUE(sink.keep(std::vector<DeadLetter>(1)).ok());
    for (const char* subject : {"bus.goods_receipt", "bus.goods_receipt", "bus.dead"}) {
        natsMsg* received = nullptr;
        ASSERT_EQ(natsSubscription_NextMsg(&received, listener.get(), 5'000), NATS_OK);
        const NatsMessageHandle got(received);
        EXPECT_STREQ(natsMsg_GetSubject(received), subject);
    }
    server_->pause();
    EXPECT_EQ(deliver(sink, list)[0].state, Sink::State::unknown);
    server_->resume();
}

TEST_F(NatsSinkTest, CoreNatsGetsFlatBuffersToo) {
    natsSubscription* made = nullptr;
    ASSERT_EQ(natsConnection_SubscribeSync(&made, reader_->get(), "ledger.>"), NATS_OK);
    const NatsSubscriptionHandle listener(made);
    ASSERT_EQ(natsConnection_Flush(reader_->get()), NATS_OK);
    NatsSink::Options options;
    options.server = {server_->url()};
    options.format = MessageFormat::flatbuffers;
    NatsSink sink(options);
    ASSERT_TRUE(sink.open().ok());
    std::vector<Posting> list = postings(0, 2);
    list[0].amount = Int128{INT64_MAX} + 1;
    const auto deliveries = deliver(sink, list);
    EXPECT_EQ(deliveries[0].reason, "OUT_OF_RANGE");
    EXPECT_EQ(deliveries[1].state, Sink::State::accepted);
    natsMsg* received = nullptr;
    ASSERT_EQ(natsSubscription_NextMsg(&received, listener.get(), 5'000), NATS_OK);
    const NatsMessageHandle got(received);
    EXPECT_EQ(posting_json(read_posting_flatbuffer(nats_data(received)).value()), posting_json(list[1]));
}

}  // namespace
}  // namespace takt
