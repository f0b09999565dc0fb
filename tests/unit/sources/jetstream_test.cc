#include "sources/jetstream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "pipeline/plan/audit.h"
#include "tests/support/nats_server.h"

namespace takt {
namespace {

using testing::HasSubstr;

TEST(JetStreamReply, ReadsTheShortAndTheLongForm) {
    const auto brief = parse_jetstream_reply("$JS.ACK.V.v23AyGDc.1.4.5.1795575248535662687.6");
    ASSERT_TRUE(brief);
    EXPECT_EQ(brief->stream_sequence, 4u);
    EXPECT_EQ(brief->consumer_sequence, 5u);
    EXPECT_EQ(brief->stored, 1795575248535662687);
    EXPECT_EQ(brief->pending, 6u);
    const auto domain = parse_jetstream_reply("$JS.ACK.hub.ACCHASH.V.v23AyGDc.1.4.5.1795575248535662687.6.token");
    ASSERT_TRUE(domain);
    EXPECT_EQ(domain->stream_sequence, 4u);
    EXPECT_EQ(domain->pending, 6u);
    EXPECT_TRUE(parse_jetstream_reply("$JS.ACK.hub.ACCHASH.V.v23AyGDc.1.4.5.1795575248535662687.6"));
}

TEST(JetStreamReply, RefusesEverythingElse) {
    EXPECT_FALSE(parse_jetstream_reply(""));
    EXPECT_FALSE(parse_jetstream_reply("$JS.ACK.V.c.1.4.5.1795575248535662687"));
    EXPECT_FALSE(parse_jetstream_reply("$JS.ACK.V.c.1.4.5.1795575248535662687.6.7"));
    EXPECT_FALSE(parse_jetstream_reply("$JS.ACK.V.c.1.4x.5.1795575248535662687.6"));
    EXPECT_FALSE(parse_jetstream_reply("_INBOX.V.c.1.4.5.1795575248535662687.6"));
}

/// Of a start that has no snapshot: it reads from the first message on once more.
SourcePosition reading_again(const SourcePosition& position) {
    SourcePosition again;
    again.newest_anchor = position.anchor;
    return again;
}

/// A second connection: the plant, and whoever meddles.
class Plant {
  public:
    explicit Plant(const NatsServer& server) {
        NatsConnectionOptions options;
        options.server = {server.url()};
        auto connected = NatsConnection::connect(options, NatsConnection::Use::consume);
        EXPECT_TRUE(connected.ok()) << connected.error().text();
        connection_ = std::move(connected).value();
        jetstream_ = connection_->jetstream(std::chrono::seconds(2)).value();
    }
    void create_stream(std::int64_t max_messages = -1) {
        jsStreamConfig config;
        jsStreamConfig_Init(&config);
        const char* subjects[] = {"plant.>"};
        config.Name = "PLANT";
        config.Subjects = subjects;
        config.SubjectsLen = 1;
        config.MaxMsgs = max_messages;
        EXPECT_EQ(js_AddStream(nullptr, jetstream_.get(), &config, nullptr, nullptr), NATS_OK);
    }
    void delete_stream() { EXPECT_EQ(js_DeleteStream(jetstream_.get(), "PLANT", nullptr, nullptr), NATS_OK); }
    void purge() { EXPECT_EQ(js_PurgeStream(jetstream_.get(), "PLANT", nullptr, nullptr), NATS_OK); }
    void delete_message(std::uint64_t sequence) {
        EXPECT_EQ(js_DeleteMsg(jetstream_.get(), "PLANT", sequence, nullptr, nullptr), NATS_OK);
    }
    /// Publishes and waits for the ack; false when there is none, and then it may or may not be stored.
    bool publish(const std::string& text, const char* subject = "plant.a") {
        jsPubAck* ack = nullptr;
        const natsStatus status =
            js_Publish(&ack, jetstream_.get(), subject, text.data(), static_cast<int>(text.size()), nullptr, nullptr);
        jsPubAck_Destroy(ack);
        return status == NATS_OK;
    }
    void publish_many(int from, int to) {
        for (int i = from; i < to; ++i) EXPECT_TRUE(publish(std::to_string(i)));
    }
    /// Names of the stream's consumers.
    std::vector<std::string> consumers() {
        std::vector<std::string> names;
        jsConsumerNamesList* list = nullptr;
        if (js_ConsumerNames(&list, jetstream_.get(), "PLANT", nullptr, nullptr) == NATS_OK)
            for (int i = 0; i < list->Count; ++i) names.emplace_back(list->List[i]);
        jsConsumerNamesList_Destroy(list);
        return names;
    }
    void delete_consumers() {
        for (const std::string& name : consumers())
            js_DeleteConsumer(jetstream_.get(), "PLANT", name.c_str(), nullptr, nullptr);
    }
    jsCtx* jetstream() { return jetstream_.get(); }

  private:
    std::unique_ptr<NatsConnection> connection_;
    JetStreamHandle jetstream_;
};

class JetStreamSourceTest : public testing::Test {
  protected:
    void SetUp() override {
        server_ = NatsServer::start();
        if (!server_) GTEST_SKIP() << "no nats-server on this machine";
        plant_ = std::make_unique<Plant>(*server_);
        plant_->create_stream();
    }
    JetStreamSource::Options options() const {
        JetStreamSource::Options options;
        options.server = {server_->url()};
        options.stream = "PLANT";
        options.heartbeat = std::chrono::milliseconds(200);
        options.ping = std::chrono::milliseconds(200);
        options.request_timeout = std::chrono::milliseconds(500);
        return options;
    }
    struct Got {
        std::vector<std::string> texts;
        std::vector<std::uint64_t> sequences;
        std::string holes;  ///< "1-4 before_start;"
        std::uint64_t missing = 0;
        std::optional<Error> error;
    };
    /// Reads until `count` messages are there, an error comes or 20 s are over.
    static Got take(JetStreamSource& source, std::size_t count, Source::Limits limits = {}) {
        Got got;
        const Timestamp end = system_clock().monotonic() + 20 * kSecond;
        while (got.texts.size() < count && system_clock().monotonic() < end) {
            limits.messages = std::min(limits.messages, count - got.texts.size());
            MessageBlock block;
            const Result<Source::State> state = source.read(limits, block);
            if (!state.ok()) {
                got.error = state.error();
                return got;
            }
            EXPECT_EQ(*state == Source::State::more, !block.messages.empty());
            for (const Message& message : block.messages) {
                got.texts.emplace_back(message.data);
                got.sequences.push_back(message.sequence);
            }
            for (const SequenceHole& hole : block.holes) {
                got.holes += fmt::format("{}-{} {};", hole.first, hole.last, to_string(hole.kind));
                got.missing += hole.last - hole.first + 1;
                EXPECT_LT(hole.last, block.messages.back().sequence);
            }
        }
        return got;
    }
    static std::optional<Error> error_of(JetStreamSource& source) {
        const Timestamp end = system_clock().monotonic() + 20 * kSecond;
        while (system_clock().monotonic() < end) {
            MessageBlock block;
            if (const Result<Source::State> state = source.read({}, block); !state.ok()) return state.error();
        }
        return std::nullopt;
    }
    static bool reaches(JetStreamSource& source, Source::State wanted) {
        const Timestamp end = system_clock().monotonic() + 10 * kSecond;
        while (system_clock().monotonic() < end) {
            MessageBlock block;
            const Result<Source::State> state = source.read({}, block);
            if (state.ok() && *state == wanted) return true;
        }
        return false;
    }
    static std::vector<std::string> numbers(int from, int to) {
        std::vector<std::string> texts;
        for (int i = from; i < to; ++i) texts.push_back(std::to_string(i));
        return texts;
    }

    std::unique_ptr<NatsServer> server_;
    std::unique_ptr<Plant> plant_;
};

TEST_F(JetStreamSourceTest, DeliversWhatIsStoredThenSaysIdle) {
    plant_->publish_many(0, 50);
    JetStreamSource source(options());
    ASSERT_TRUE(source.open({}).ok());
    EXPECT_EQ(source.pending(), 50u);
    MessageBlock first;
    ASSERT_EQ(source.read({.messages = 7, .wait = 10 * kSecond}, first).value(), Source::State::more);
    const std::size_t count = first.messages.size();
    ASSERT_LE(count, 7u);
    EXPECT_EQ(first.messages[0].subject, "plant.a");
    EXPECT_EQ(first.messages[0].sequence, 1u);
    EXPECT_GT(first.messages[0].ingest_time, 0);
    EXPECT_EQ(source.pending(), 50 - count);
    EXPECT_EQ(take(source, 50 - count).texts, numbers(static_cast<int>(count), 50));
    EXPECT_EQ(first.messages[0].data, "0") << "a block keeps its bytes while others are read";
    EXPECT_TRUE(reaches(source, Source::State::idle));
    EXPECT_EQ(source.position().next_sequence, 51u);
}

TEST_F(JetStreamSourceTest, GoesOnAtItsPositionAndStartsWhereItIsTold) {
    plant_->publish_many(0, 20);
    SourcePosition position;
    {
        JetStreamSource source(options());
        ASSERT_TRUE(source.open({}).ok());
        EXPECT_EQ(take(source, 12).texts, numbers(0, 12));
        position = source.position();
        EXPECT_LE(position.anchor.size(), 256u);
    }
    EXPECT_TRUE(plant_->consumers().empty()) << "a source that ends takes its consumer with it";
    JetStreamSource again(options());
    ASSERT_TRUE(again.open(position).ok());
    const Got rest = take(again, 8);
    EXPECT_EQ(rest.texts, numbers(12, 20));
    EXPECT_EQ(rest.holes, "");

    JetStreamSource::Options late = options();
    late.start = JetStreamSource::Start::fresh;
    JetStreamSource fresh(late);
    ASSERT_TRUE(fresh.open({}).ok());
    plant_->publish_many(20, 22);
    const Got newest = take(fresh, 2);
    EXPECT_EQ(newest.texts, numbers(20, 22));
    EXPECT_EQ(newest.holes, "1-20 before_start;");

    late = options();
    late.start_sequence = 5;
    JetStreamSource fifth(late);
    ASSERT_TRUE(fifth.open({}).ok());
    const Got from_fifth = take(fifth, 1);
    EXPECT_EQ(from_fifth.texts, numbers(4, 5));
    EXPECT_EQ(from_fifth.holes, "1-4 before_start;");
}

TEST_F(JetStreamSourceTest, FiltersBySubjectAndTakesHolesAsTheyAre) {
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(plant_->publish(std::to_string(i), i % 2 == 0 ? "plant.a" : "plant.b"));
    JetStreamSource::Options filtered = options();
    filtered.subjects = {"plant.b"};
    JetStreamSource source(filtered);
    ASSERT_TRUE(source.open({}).ok());
    const Got odd = take(source, 5);
    EXPECT_EQ(odd.sequences, (std::vector<std::uint64_t>{2, 4, 6, 8, 10}));
    EXPECT_EQ(odd.holes, "1-1 filtered;3-3 filtered;5-5 filtered;7-7 filtered;9-9 filtered;");

    plant_->delete_message(3);
    JetStreamSource all(options());
    ASSERT_TRUE(all.open({}).ok());
    const Got most = take(all, 9);
    EXPECT_EQ(most.sequences, (std::vector<std::uint64_t>{1, 2, 4, 5, 6, 7, 8, 9, 10}));
    EXPECT_EQ(most.holes, "3-3 deleted;");
    EXPECT_EQ(all.dropped(), 0u);
}

TEST_F(JetStreamSourceTest, LosesAndRepeatsNothingWhileTheServerIsKilledAndStoppedUnderLoad) {
    std::atomic<int> published = 0;
    std::atomic<bool> ends = false;
    std::thread publisher([&] {
        Plant plant(*server_);
        for (int i = 0; !ends; ++i)
            if (plant.publish(std::to_string(i))) ++published;
    });
    JetStreamSource source(options());
    ASSERT_TRUE(source.open({}).ok());
    Got got = take(source, 500);
    server_->kill();
    ASSERT_TRUE(server_->restart());
    const auto add = [&](Got more) {
        got.sequences.insert(got.sequences.end(), more.sequences.begin(), more.sequences.end());
        ASSERT_FALSE(more.error) << more.error->text();
    };
    add(take(source, 500));
    server_->stop();
    ASSERT_TRUE(server_->restart());
    add(take(source, 500));
    ends = true;
    publisher.join();
    while (!reaches(source, Source::State::idle)) {
    }
    ASSERT_EQ(got.sequences.size(), 1500u);
    for (std::size_t i = 0; i < got.sequences.size(); ++i) ASSERT_EQ(got.sequences[i], i + 1);
    EXPECT_GE(source.rebuilds(), 2u);
    EXPECT_GE(published.load(), 1000);
}

TEST_F(JetStreamSourceTest, MakesAnotherConsumerWhenItsOwnIsDeleted) {
    plant_->publish_many(0, 3);
    JetStreamSource source(options());
    ASSERT_TRUE(source.open({}).ok());
    EXPECT_EQ(take(source, 3).texts, numbers(0, 3));
    plant_->delete_consumers();
    plant_->publish_many(3, 6);
    EXPECT_EQ(take(source, 3).texts, numbers(3, 6));
    EXPECT_GE(source.rebuilds(), 1u);
}

TEST_F(JetStreamSourceTest, IsNotIdleWhileTheServerSaysNothingAndGoesOnAfterwards) {
    plant_->publish_many(0, 3);
    JetStreamSource source(options());
    ASSERT_TRUE(source.open({}).ok());
    EXPECT_EQ(take(source, 3).texts, numbers(0, 3));
    ASSERT_TRUE(reaches(source, Source::State::idle));
    server_->pause();
    EXPECT_TRUE(reaches(source, Source::State::quiet));
    const Timestamp end = system_clock().monotonic() + kSecond;
    while (system_clock().monotonic() < end) {
        MessageBlock block;
        ASSERT_EQ(source.read({}, block).value(), Source::State::quiet);
    }
    server_->resume();
    for (int i = 3; i < 6; ++i)
        while (!plant_->publish(std::to_string(i))) {
        }
    const Got got = take(source, 3);
    ASSERT_EQ(got.texts.size(), 3u);
    EXPECT_EQ(got.sequences.front(), 4u);
}

TEST_F(JetStreamSourceTest, HaltsWhenTheStreamWasCreatedAnew) {
    plant_->publish_many(0, 3);
    JetStreamSource source(options());
    ASSERT_TRUE(source.open({}).ok());
    take(source, 3);
    const SourcePosition position = source.position();
    plant_->delete_stream();
    plant_->create_stream();
    plant_->publish_many(10, 20);
    const std::optional<Error> error = error_of(source);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, "F530");
    EXPECT_THAT(error->message, HasSubstr("SOURCE_IDENTITY"));
    JetStreamSource again(options());
    EXPECT_EQ(again.open(position).error().code, "F530");
    JetStreamSource from_the_beginning(options());
    EXPECT_EQ(from_the_beginning.open(reading_again(position)).error().code, "F530");
}

TEST_F(JetStreamSourceTest, HaltsWhenTheStreamLostItsTailOrUsedItsSequencesAgain) {
    plant_->publish_many(0, 2);
    server_->stop();
    const std::string store = server_->folder() + "/js";
    const std::string copy = server_->folder() + "/older";
    std::filesystem::copy(store, copy, std::filesystem::copy_options::recursive);
    ASSERT_TRUE(server_->restart());
    while (!plant_->publish("2")) {
    }
    SourcePosition position;
    {
        JetStreamSource source(options());
        ASSERT_TRUE(source.open({}).ok());
        EXPECT_EQ(take(source, 3).texts.size(), 3u);
        position = source.position();
        JetStreamSource again(options());
        ASSERT_TRUE(again.open(reading_again(position)).ok());
        EXPECT_EQ(take(again, 3).texts.size(), 3u);
    }
    server_->stop();
    std::filesystem::remove_all(store);
    std::filesystem::copy(copy, store, std::filesystem::copy_options::recursive);
    ASSERT_TRUE(server_->restart());
    JetStreamSource shorter(options());
    const Status regression = shorter.open(position);
    ASSERT_FALSE(regression.ok());
    EXPECT_EQ(regression.error().code, "F531") << regression.error().message;
    EXPECT_EQ(shorter.open(reading_again(position)).error().code, "F531");

    while (!plant_->publish("another message 3")) {
    }
    JetStreamSource reused(options());
    const Status other = reused.open(position);
    ASSERT_FALSE(other.ok());
    EXPECT_EQ(other.error().code, "F532") << other.error().message;
    EXPECT_EQ(reused.open(reading_again(position)).error().code, "F532");
}

TEST_F(JetStreamSourceTest, HaltsAtMessagesThatWentBeforeTheyWereReadUnlessToldToCountThem) {
    plant_->publish_many(0, 5);
    JetStreamSource source(options());
    ASSERT_TRUE(source.open({}).ok());
    take(source, 3);
    const SourcePosition position = source.position();
    plant_->purge();
    plant_->publish_many(5, 6);
    JetStreamSource halted(options());
    const Status gap = halted.open(position);
    ASSERT_FALSE(gap.ok());
    EXPECT_EQ(gap.error().code, "F533");
    EXPECT_THAT(gap.error().message, HasSubstr("messages 4 to 5"));

    JetStreamSource::Options tolerant = options();
    tolerant.on_gap = JetStreamSource::OnGap::record;
    JetStreamSource recording(tolerant);
    ASSERT_TRUE(recording.open(position).ok());
    const Got after = take(recording, 1);
    EXPECT_EQ(after.texts, numbers(5, 6));
    EXPECT_EQ(after.holes, "4-5 lost;");
    EXPECT_EQ(recording.dropped(), 2u);
}

TEST_F(JetStreamSourceTest, NoticesMessagesThatALimitDroppedWhileItWasBehind) {
    plant_->delete_stream();
    plant_->create_stream(100);
    JetStreamSource::Options small = options();
    small.batch = 2;
    JetStreamSource source(small);
    ASSERT_TRUE(source.open({}).ok());
    plant_->publish_many(0, 300);
    const std::optional<Error> error = error_of(source);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, "F533");
}

TEST_F(JetStreamSourceTest, TellsEachSequenceThatItDoesNotDeliver) {
    plant_->delete_stream();
    plant_->create_stream(100);
    JetStreamSource::Options small = options();
    small.batch = 2;
    small.on_gap = JetStreamSource::OnGap::record;
    JetStreamSource source(small);
    ASSERT_TRUE(source.open({}).ok());
    plant_->publish_many(0, 300);
    Got got;
    while (got.sequences.empty() || got.sequences.back() < 300) {
        const Got more = take(source, 1);
        ASSERT_FALSE(more.error) << more.error->text();
        ASSERT_FALSE(more.sequences.empty());
        got.sequences.push_back(more.sequences.back());
        got.missing += more.missing;
        EXPECT_EQ(got.sequences.size() + got.missing, got.sequences.back()) << more.holes;
    }
    EXPECT_GT(got.missing, 0u);
    EXPECT_EQ(got.missing, source.dropped());
}

TEST_F(JetStreamSourceTest, LargeMessagesAreAskedForInRequestsThatHoldThem) {
    JetStreamSource::Options small = options();
    small.max_bytes = SizeBytes{4096};
    JetStreamSource source(small);
    ASSERT_TRUE(source.open({}).ok());
    const std::string large(3 << 20, 'x');
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(plant_->publish(large));
    const Got got = take(source, 8);
    EXPECT_EQ(got.texts.size(), 8u);
    EXPECT_EQ(source.rebuilds(), 0u);
}

TEST_F(JetStreamSourceTest, SaysWhatIsMissing) {
    JetStreamSource::Options other = options();
    other.stream = "NONE";
    JetStreamSource source(other);
    const Status missing = source.open({});
    ASSERT_FALSE(missing.ok());
    EXPECT_EQ(missing.error().code, "E522");
    EXPECT_THAT(missing.error().message, HasSubstr("there is no stream NONE"));
    server_->stop();
    JetStreamSource nowhere(options());
    EXPECT_EQ(nowhere.open({}).error().code, "E520");
}

}  // namespace
}  // namespace takt
